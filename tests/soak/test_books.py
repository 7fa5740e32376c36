"""The comparison finds what it is there for: each way in which books can disagree."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.soak.books import Record, Row, compare, wrong_words
from tests.soak.load import Seen
from tollway.demo.bill import Line
from tollway.demo.faults import Fault

LINE = Line(
    number=1,
    client_request_id="a",
    user="one",
    model="small",
    status=200,
    service_tier="default",
    prompt_tokens=10,
    cached_tokens=4,
    completion_tokens=5,
    reasoning_tokens=2,
    reported=True,
    billed=True,
    cost_usd="0.0000108",
)
ROW = Row(
    seq=1,
    request_id="a",
    attempt=1,
    kind="usage",
    outcome="settled",
    status=200,
    error_code=None,
    service_tier="default",
    model="faulty/small",
    streamed=False,
    end_user="one",
    units={"input": 6, "cache_read": 4, "output": 3, "reasoning": 2, "request": 1},
    prompt_tokens=10,
    completion_tokens=5,
    cost_usd=Decimal("0.0000108"),
    vendor_cost_usd=Decimal("0.0000108"),
    savings_usd=Decimal("0.0000432"),
    held_usd=None,
)
SEEN = Seen(
    user="one",
    is_stream=False,
    request_id="a",
    status=200,
    cost_usd="0.0000108",
    is_complete=True,
    is_done=True,
)
NOTHING: dict[str, Any] = {
    "units": {},
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "cost_usd": Decimal(0),
    "vendor_cost_usd": Decimal(0),
    "savings_usd": Decimal(0),
}
UNKNOWN: dict[str, Any] = NOTHING | {
    "outcome": "unsettled",
    "status": 500,
    "cost_usd": None,
    "vendor_cost_usd": None,
    "savings_usd": None,
    "held_usd": Decimal("0.01"),
}
FAILED: dict[str, Any] = NOTHING | {"outcome": "failed", "status": 502}
UNREPORTED: dict[str, Any] = {"reported": False}
CUT: dict[str, Any] = UNREPORTED | {"fault": Fault.CUT_BODY}


@dataclass
class Case:
    """One request in all three books, each to be changed."""

    lines: list[Line]
    rows: list[Row]
    seen: list[Seen]

    def differences(self) -> list[str]:
        return compare(self.lines, self.rows, self.seen, sums(self.rows)).differences


def sums(rows: list[Row]) -> Record:
    return Record(
        num_requests=sum(row.kind == "usage" for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        total_tokens_cost=sum((row.cost_usd or Decimal(0) for row in rows), Decimal(0)),
        total_tokens_cost_savings=sum((row.savings_usd or Decimal(0) for row in rows), Decimal(0)),
    )


def case(line: dict[str, Any] | None, row: dict[str, Any] | None, seen: dict[str, Any] | None) -> Case:
    """A case with these changes; None takes the whole away."""
    change: Callable[..., Any] = msgspec.structs.replace
    return Case(
        lines=[] if line is None else [change(LINE, **line)],
        rows=[] if row is None else [change(ROW, **row)],
        seen=[] if seen is None else [change(SEEN, **seen)],
    )


BROKEN_OFF: dict[str, Any] = {"is_complete": False, "is_done": False}
LIMITED: dict[str, Any] = {"status": 402, "code": "spending_limit_reached", "is_done": False}
ERROR: dict[str, Any] = {"status": 502, "code": "vendor_unreachable", "is_done": False, "cost_usd": None}


@pytest.mark.parametrize(
    "agreeing",
    [
        case({}, {}, {}),
        case({}, UNKNOWN, BROKEN_OFF),
        case(None, UNKNOWN, BROKEN_OFF),
        case(CUT, FAILED, ERROR),
        case({"fault": Fault.DROPPED_UNBILLED, "billed": False, "reported": False}, FAILED, ERROR),
        case({"fault": Fault.USAGE_MISSING, "reported": False}, {"outcome": "estimated"}, {}),
        case({}, {"outcome": "estimated", "status": 499}, BROKEN_OFF),
        case(None, None, {"status": 503, "code": "metering_unavailable", "is_done": False}),
        case(None, None, LIMITED),
        case(
            {"fault": Fault.RATE_LIMITED, **UNREPORTED},
            {**FAILED, "status": 429, "error_code": "vendor_refused"},
            {**LIMITED, "status": 429},
        ),
        case(None, None, {"status": None, "request_id": None, "is_complete": False, "is_done": False}),
    ],
)
def test_books_that_agree_have_no_differences(agreeing: Case) -> None:
    assert agreeing.differences() == []


@pytest.mark.parametrize(
    ("told", "differing"),
    [
        ("there is no row", case({}, None, None)),
        ("there is no row", case({"billed": False, "fault": Fault.RATE_LIMITED}, None, None)),
        ("answered, and there is no row", case(None, None, {})),
        ("answered, and unsettled", case({}, UNKNOWN, {})),
        ("answered, and unsettled", case({}, UNKNOWN, ERROR)),
        ("did not report", case(None, {}, {})),
        ("did not report", case(UNREPORTED, {}, {})),
        ("tokens differ", case({"cached_tokens": 3}, {}, {})),
        ("tokens differ", case({"reasoning_tokens": 3}, {}, {})),
        ("cost differs", case({"cost_usd": "0.000010801"}, {}, {})),
        ("cost differs", case({}, {"vendor_cost_usd": Decimal("0.000010799")}, {})),
        ("service tier", case({"service_tier": "flex"}, {}, {})),
        ("settled with status", case({}, {"status": 502}, None)),
        ("kept the vendor from reporting", case({}, {"outcome": "estimated"}, {})),
        ("estimated with status", case(UNREPORTED, {"outcome": "estimated", "status": 502}, None)),
        ("though the vendor did not", case(UNREPORTED, FAILED, ERROR)),
        ("never asked", case(None, FAILED, ERROR)),
        ("tokens differ", case({"fault": Fault.BROKEN_EVENT}, FAILED, ERROR)),
        ("not reported", case(CUT, {**FAILED, "units": {"output": 1}}, None)),
        ("failed with status", case({"fault": Fault.RATE_LIMITED, **UNREPORTED}, FAILED, ERROR)),
        ("it has a cost", case({}, {**UNKNOWN, "cost_usd": Decimal(0)}, None)),
        ("less than the bill", case({}, {**UNKNOWN, "held_usd": Decimal("0.00001")}, None)),
        ("is none", case({}, {"outcome": "guessed"}, None)),
        ("user or streaming", case({"user": "two"}, {}, None)),
        ("model differs", case({"model": "large"}, {}, None)),
        ("another request", case({"user": "two"}, {"end_user": "two"}, {})),
        ("says otherwise", case(CUT, FAILED, {})),
        ("another cost", case({}, {}, {"cost_usd": "0.01"})),
        ("without an id", case({}, {}, {"request_id": None})),
        ("the vendor was asked", case({}, {}, {"code": "metering_unavailable", "is_done": False})),
        ("there is no row", case({}, None, LIMITED)),
        ("and there is a row", case(None, {}, LIMITED)),
        ("nameless", case({"client_request_id": None}, {}, None)),
    ],
)  # fmt: skip
def test_books_that_disagree_are_told_apart(told: str, differing: Case) -> None:
    assert any(told in difference for difference in differing.differences())


def test_a_row_that_is_there_twice_is_found() -> None:
    doubled = case({}, {}, {})
    doubled.rows.append(msgspec.structs.replace(ROW, seq=2))
    assert any("cannot be together" in difference for difference in doubled.differences())


def test_a_line_that_is_there_twice_is_found() -> None:
    doubled = case({}, {}, {})
    doubled.lines.append(msgspec.structs.replace(LINE, number=2))
    assert any("second or nameless" in difference for difference in doubled.differences())


def test_a_gap_in_the_numbers_is_found() -> None:
    assert any("number of another place" in text for text in case({}, {"seq": 2}, {}).differences())


def test_a_correction_explains_what_was_unsettled_and_nothing_else() -> None:
    late = msgspec.structs.replace(ROW, seq=2, kind="correction", outcome="correction")
    settled = case({}, UNKNOWN, {})
    settled.rows.append(late)
    assert settled.differences() == []
    settled.lines[0].cost_usd = "1"
    assert any("cost differs" in text for text in settled.differences())
    unneeded = case({}, {}, {})
    unneeded.rows.append(late)
    assert any("cannot be together" in text for text in unneeded.differences())


@pytest.mark.parametrize("name", Record.__struct_fields__)
def test_a_record_that_is_not_the_sum_of_the_rows_is_found(name: str) -> None:
    record = sums([ROW])
    setattr(record, name, getattr(record, name) + 1)
    found = compare([LINE], [ROW], [SEEN], record).differences
    assert [text for text in found if name in text] == found
    assert found


def test_words_that_must_not_be_said_are_found() -> None:
    said = "INFO well\nTraceback (most recent call last):\nERROR lost at the stop: the ends of 2 calls\n"
    assert len(wrong_words(said)) == 2
