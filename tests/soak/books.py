"""The books: the vendor's bill, the ledger's rows and what clients saw, compared request by request.

Each line of the bill, billed or not, has one row: the gateway's id is the bill's. What a row must
say, by its outcome (with its correction in place of an `unsettled` one):

- `settled`: the vendor billed and reported. Tokens of each kind, service tier, cost and vendor's
  cost are the bill's. Status 200, or 499 where a stop gave it up after the report.
- `estimated`, status 200: the vendor billed, and the answer ended without a report: the fault is
  `usage_missing`, or a stream that was cut behind its last word. Status 499: a stop gave it up;
  anything may be on the bill, also nothing.
- `failed`: the vendor's fault is one. Where it reported, tokens and costs are the bill's; else
  there are none and the cost is 0. Never where the bill has no fault, or only a missing report.
- `unsettled`: the server was killed in between. No tokens, cost null, and what is held is at
  least what the bill asks. The bill may say anything, or nothing.

No other row is without a line. An answer that came to its last byte is explained: its row is
there, and not unsettled; a completion's is settled or estimated, at the cost that its header said.
Only what was refused before the vendor was asked has no row. Sums of rows are the record's.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from tests.soak.load import Seen
from tollway.demo.bill import Line
from tollway.demo.faults import UNBILLED, Fault

OK = 200
GIVEN_UP = 499
_STATUS_OF: Mapping[str, int] = {Fault.RATE_LIMITED: 429, Fault.SERVER_ERROR: 500, Fault.UNAVAILABLE: 503}
_BROKEN_OFF = 502
_WITHOUT_REPORT = frozenset({Fault.USAGE_MISSING, Fault.TRUNCATED_STREAM, Fault.BROKEN_EVENT})
_NEVER_FAILED = frozenset({None, Fault.USAGE_MISSING})
REFUSED = frozenset(
    {"metering_unavailable", "limits_unavailable", "store_unavailable", "unavailable", "stopping"}
)
"""Codes of answers that are ours alone: the vendor was not asked, or we had to give up."""
LIMITED = frozenset({"spending_limit_reached", "rate_limit_exceeded", "too_many_in_flight"})
"""Codes of calls that a limit refused: they have no row, unless it was the vendor's own limit."""
_BY_THE_VENDOR = "vendor_refused"
_MUST_NOT_BE_SAID = (
    "Traceback",
    "lost at the stop",
    "are gone",
    "could not be stored",
    "is started again",
    "failed and",
)


class Row(msgspec.Struct, kw_only=True):
    """What is read of a ledger row, as `tollway ledger export` writes it."""

    seq: int
    request_id: str
    attempt: int
    kind: str
    outcome: str
    status: int
    error_code: str | None
    service_tier: str | None
    model: str
    streamed: bool
    end_user: str | None
    units: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None
    vendor_cost_usd: Decimal | None
    savings_usd: Decimal | None
    held_usd: Decimal | None


class Record(msgspec.Struct, kw_only=True):
    """What is read of an organisation's record."""

    num_requests: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens_cost: Decimal
    total_tokens_cost_savings: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What was found to differ, and how many there were of each."""

    differences: list[str]
    counts: Counter[str] = field(default_factory=Counter)


def compare(lines: Sequence[Line], rows: Sequence[Row], seen: Iterable[Seen], record: Record) -> Books:
    """Every demand above."""
    seen = list(seen)
    differences: list[str] = []
    billed: dict[str, Line] = {}
    for line in lines:
        if line.client_request_id is None or line.client_request_id in billed:
            differences.append(f"the bill has a second or nameless line: {line}")
            continue
        billed[line.client_request_id] = line
    explained = _explained(rows, differences)
    for request_id in sorted({*billed, *explained}):
        row, bill = explained.get(request_id), billed.get(request_id)
        wrong = ["there is no row"] if row is None else list(_wrong_row(row, bill))
        differences += [f"{request_id}: {what}\n    bill: {bill}\n    row:  {row}" for what in wrong]
    for one in seen:
        row, bill = explained.get(one.request_id or ""), billed.get(one.request_id or "")
        differences += [
            f"{one.request_id}: {what}\n    seen: {one}\n    bill: {bill}\n    row:  {row}"
            for what in _wrong_answer(one, row, bill)
        ]
    differences += _wrong_sums(rows, record)
    return Books(differences=differences, counts=_counts(lines, rows, seen))


def wrong_words(said: str) -> list[str]:
    """Lines that a server must never say, whatever befalls it."""
    return [line for line in said.splitlines() if any(words in line for words in _MUST_NOT_BE_SAID)]


def _explained(rows: Sequence[Row], differences: list[str]) -> dict[str, Row]:
    """The row that explains each request: the correction where there is one."""
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for at, row in enumerate(sorted(rows, key=lambda row: row.seq), 1):
        found[row.request_id].append(row)
        if row.seq != at:
            differences.append(f"row {row.seq} has the number of another place, {at}")
    explained = {}
    for request_id, same in found.items():
        explained[request_id] = same[-1]
        match [(row.attempt, row.kind, row.outcome == "unsettled") for row in same]:
            case [(1, "usage", _)] | [(1, "usage", True), (1, "correction", False)]:
                continue
        rest = "\n    ".join(str(row) for row in same)
        differences.append(f"{request_id}: rows that cannot be together\n    {rest}")
    return explained


def _wrong_row(row: Row, line: Line | None) -> Iterator[str]:
    if line is not None:
        if (row.end_user, row.streamed) != (line.user, line.streamed):
            yield "user or streaming differ"
        if row.model.rpartition("/")[2] != line.model:
            yield "the model differs"
    match row.outcome:
        case "settled":
            yield from _wrong_settled(row, line)
        case "estimated":
            yield from _wrong_estimate(row, line)
        case "failed":
            yield from _wrong_failure(row, line)
        case "unsettled":
            yield from _wrong_unsettled(row, line)
        case "correction" if line is not None and line.reported:
            yield from _wrong_amounts(row, line)
        case "correction":
            pass  # an end of whatever outcome, told late
        case other:
            yield f"the outcome {other} is none"


def _wrong_settled(row: Row, line: Line | None) -> Iterator[str]:
    if line is None or not (line.billed and line.reported):
        yield "settled, though the vendor did not report"
        return
    if row.status not in (OK, GIVEN_UP):
        yield f"settled with status {row.status}"
    if row.service_tier != line.service_tier:
        yield "the service tier differs"
    yield from _wrong_amounts(row, line)


def _wrong_amounts(row: Row, line: Line) -> Iterator[str]:
    units = {
        "input": line.prompt_tokens - line.cached_tokens,
        "cache_read": line.cached_tokens,
        "output": line.completion_tokens - line.reasoning_tokens,
        "reasoning": line.reasoning_tokens,
        "request": 1,
    }
    expected = {unit: count for unit, count in units.items() if count}
    if row.units != expected:
        yield f"the tokens differ: {row.units}, should be {expected}"
    if (row.prompt_tokens, row.completion_tokens) != (line.prompt_tokens, line.completion_tokens):
        yield "the sums of tokens differ"
    if not row.cost_usd == row.vendor_cost_usd == Decimal(line.cost_usd):
        yield f"the cost differs: {row.cost_usd} and {row.vendor_cost_usd}, should be {line.cost_usd}"


def _wrong_estimate(row: Row, line: Line | None) -> Iterator[str]:
    if row.cost_usd is None or row.cost_usd != row.vendor_cost_usd:
        yield "an estimate without a cost"
    if row.status == GIVEN_UP:
        return
    if row.status != OK:
        yield f"estimated with status {row.status}"
    if line is None or line.fault not in _WITHOUT_REPORT or line.reported:
        yield "estimated, though nothing kept the vendor from reporting"


def _wrong_failure(row: Row, line: Line | None) -> Iterator[str]:
    if line is None:
        yield "failed, though the vendor was never asked"
        return
    if line.fault in _NEVER_FAILED:
        yield "failed, though the vendor did not"
    if line.reported:
        yield from _wrong_amounts(row, line)
    elif row.units or row.cost_usd != 0 or row.vendor_cost_usd != 0:
        yield "it costs what was not reported"
    if row.status != _STATUS_OF.get(line.fault or "", _BROKEN_OFF):
        yield f"failed with status {row.status}"


def _wrong_unsettled(row: Row, line: Line | None) -> Iterator[str]:
    if row.units or row.cost_usd is not None or row.vendor_cost_usd is not None:
        yield "unsettled, and it has a cost"
    if row.held_usd is None or (line is not None and row.held_usd < Decimal(line.cost_usd)):
        yield "what is held is less than the bill asks"


def _wrong_answer(seen: Seen, row: Row | None, line: Line | None) -> Iterator[str]:
    if seen.status is None or not seen.is_complete:
        return
    if seen.request_id is None:
        yield "answered without an id"
    elif row is None:
        if seen.code not in REFUSED | LIMITED:
            yield "answered, and there is no row"
    elif row.end_user != seen.user:
        yield "the row is of another request"
    elif row.outcome == "unsettled":
        yield "answered, and unsettled"
    elif seen.code in LIMITED and row.error_code != _BY_THE_VENDOR:
        yield "refused by a limit, and there is a row"
    elif seen.is_done:
        yield from _wrong_completion(seen, row)
    elif seen.code == "metering_unavailable" and line is not None:
        yield "refused, and the vendor was asked"


def _wrong_completion(seen: Seen, row: Row) -> Iterator[str]:
    if row.outcome not in ("settled", "estimated", "correction"):
        yield "a completion whose row says otherwise"
    if seen.cost_usd is not None and row.cost_usd != Decimal(seen.cost_usd):
        yield "its header said another cost"


def _wrong_sums(rows: Sequence[Row], record: Record) -> Iterator[str]:
    sums = {
        "num_requests": sum(row.kind == "usage" for row in rows),
        "prompt_tokens": sum(row.prompt_tokens for row in rows),
        "completion_tokens": sum(row.completion_tokens for row in rows),
        "total_tokens_cost": sum((row.cost_usd or Decimal(0)) for row in rows),
        "total_tokens_cost_savings": sum((row.savings_usd or Decimal(0)) for row in rows),
    }
    for name, expected in sums.items():
        found = getattr(record, name)
        if found != expected:
            yield f"the record's {name} is {found}, should be {expected}"


def _counts(lines: Sequence[Line], rows: Sequence[Row], seen: Sequence[Seen]) -> Counter[str]:
    counts = Counter(row.outcome for row in rows)
    explained = {row.request_id for row in rows}
    counts.update(
        calls=len(seen),
        answered=sum(one.is_complete for one in seen),
        hung_up=sum(one.hung_up for one in seen),
        broken_off=sum(not (one.is_complete or one.hung_up) for one in seen),
        refused=sum(one.code in REFUSED for one in seen),
        limited=sum(one.code in LIMITED and one.request_id not in explained for one in seen),
        lines=len(lines),
        billed=sum(line.billed for line in lines),
        faults=sum(line.fault is not None and line.fault not in UNBILLED for line in lines),
    )
    return counts
