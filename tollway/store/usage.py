"""Ledger rows and their totals. A row is never changed or removed, and each is stored once.

Owns the fold: rows, cycle totals, series totals and the journal's position move in one
transaction, so they always agree. Idempotent twice over: by the journal's position, and by
(organisation, request id, attempt). Rows are numbered per organisation under its lock, so that a
reader's cursor never steps over one that commits late.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, bindparam, func, insert, select, update

from tollway.domain.clock import US_PER_S
from tollway.domain.cycle import amounts
from tollway.domain.ids import JournalId, OrgId, RequestId
from tollway.domain.ledger import NOTHING, Batch, Entry, EntryKind, Outcome, Record, correction
from tollway.domain.money import Nano
from tollway.domain.price import Cost
from tollway.domain.refusal import Refused
from tollway.domain.series import Series, increments, refusal_increment
from tollway.domain.standing import TRIAL_FUNDING
from tollway.domain.usage import Unit, completion_tokens, prompt_tokens
from tollway.store.alerts import raise_crossed
from tollway.store.bodies import keep_bodies
from tollway.store.cycles import CountingCycles
from tollway.store.database import all_orgs
from tollway.store.facets import tell_logs
from tollway.store.journals import move_to, position_of
from tollway.store.leases import lock_org, spend_leases
from tollway.store.prices import keep_prices
from tollway.store.schema import cycle_totals, ledger, org_totals, spender_totals
from tollway.store.series import add_series
from tollway.store.upsert import adding

_CLOCK_SLACK_US = 3600 * US_PER_S
"""A clock that was set back while a call ran lets it end before it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """A ledger row, read back."""

    seq: int
    entry: Entry


@all_orgs
def fold(db: Connection, batch: Batch, now_us: int) -> int:
    """Move a batch into the ledger; returns the offset that the journal is folded to.

    It is moved only if it begins there or before: a journal whose beginning is not in this
    database (which was restored, say) has to be folded from the offset that is returned.
    """
    folded_to = position_of(db, batch.journal, now_us)
    if folded_to < batch.first or folded_to >= batch.upto:
        return folded_to
    keep_prices(db, batch.prices, now_us)
    keep_bodies(db, batch.bodies)
    _add_entries(db, batch.journal, [(at, entry) for at, entry in batch.entries if at >= folded_to], now_us)
    _add_refusals(db, [refused for at, refused in batch.refusals if at >= folded_to])
    move_to(db, batch.journal, batch.upto)
    return batch.upto


def read_entries(db: Connection, org: OrgId, *, after_seq: int = 0, limit: int) -> list[StoredEntry]:
    """The organisation's rows after `after_seq`, oldest first."""
    rows = db.execute(
        select(ledger)
        .where(ledger.c.org_id == org, ledger.c.seq > after_seq)
        .order_by(ledger.c.seq)
        .limit(limit)
    )
    return [StoredEntry(seq=row.seq, entry=_entry(row)) for row in rows]


def read_requests(
    db: Connection, org: OrgId, requests: Iterable[RequestId]
) -> dict[RequestId, list[StoredEntry]]:
    """All rows of these requests of the organisation, by request, oldest first."""
    found: defaultdict[RequestId, list[StoredEntry]] = defaultdict(list)
    # In an expression, so that no planner takes an index of all the organisation's rows.
    is_own = func.coalesce(ledger.c.org_id, "") == org
    rows = db.execute(
        select(ledger).where(is_own, ledger.c.request_id.in_(list(requests))).order_by(ledger.c.seq)
    )
    for row in rows:
        found[RequestId(row.request_id)].append(StoredEntry(seq=row.seq, entry=_entry(row)))
    return found


_ADD_ROWS = insert(ledger)
_COUNT_ROWS = (
    update(org_totals)
    .where(org_totals.c.org_id == bindparam("org"))
    .values(seq=bindparam("newest"), trial_nano=org_totals.c.trial_nano + bindparam("by_trial"))
)


def _add_entries(db: Connection, journal: JournalId, records: Sequence[Record], now_us: int) -> None:
    """Add what is new among these to rows and totals; a late end becomes a correction."""
    if not records:
        return
    seqs = _next_seqs(db, [entry for _, entry in records])
    known = _known(db, [entry for _, entry in records])
    cycles = CountingCycles(db)
    spent = _Spent(cycles)
    rows = []
    entries = []
    released: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for offset, found in records:
        earlier = known.get((found.org_id, *found.key))
        entry = found
        if earlier is not None:
            if earlier.is_explained or not found.is_known:
                continue
            entry = correction(found)
            held = {
                "num_unsettled": -1,
                "held_nano": -earlier.held_nano,
                "held_tokens": -earlier.held_tokens,
            }
            released[entry.org_id, cycles.start_us(entry.org_id, earlier.ended_us)].update(held)
            spent.release(entry, earlier.ended_us, earlier.held_nano)
        spent.add(entry)
        known[entry.org_id, *entry.key] = _Earlier(
            entry.ended_us, entry.is_known, entry.held or 0, entry.held_tokens or 0
        )
        seqs[entry.org_id] += 1
        place = {"journal_id": journal, "journal_offset": offset, "folded_us": now_us}
        rows.append({"seq": seqs[entry.org_id], **place, **_row(entry)})
        entries.append(entry)
    if rows:
        db.execute(_ADD_ROWS, rows)
        tell_logs(db, ((row["seq"], entry) for row, entry in zip(rows, entries, strict=True)))
    db.execute(
        _COUNT_ROWS,
        [{"org": org, "newest": seq, "by_trial": spent.by_trial[org]} for org, seq in sorted(seqs.items())],
    )
    by_cycle = _cycle_increments(entries, cycles, released)
    _add(db, cycle_totals, ("org_id", "cycle_start_us"), by_cycle)
    _add(db, spender_totals, ("org_id", "spender_id", "cycle_start_us"), spent.by_spender)
    add_series(db, _series_increments(entries))
    spend_leases(db, journal, entries)
    raise_crossed(db, by_cycle.keys(), now_us)


def _next_seqs(db: Connection, entries: Iterable[Entry]) -> dict[OrgId, int]:
    """Lock the organisations, in sorted order against deadlocks; their newest row's number."""
    return {org: lock_org(db, org) for org in sorted({entry.org_id for entry in entries})}


class _Spent:
    """What rows add to the totals of apps and keys, and to what the trial has paid; nano-dollars."""

    def __init__(self, cycles: CountingCycles) -> None:
        self._cycles = cycles
        self.by_spender: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
        self.by_trial: Counter[OrgId] = Counter()

    def add(self, entry: Entry) -> None:
        """A new row: its cost, or what is held for it."""
        self._change(entry, entry.ended_us, entry.charged)

    def release(self, entry: Entry, ended_us: int, held: int) -> None:
        """What was held for an earlier row of the attempt, which ended then."""
        self._change(entry, ended_us, -held)

    def _change(self, entry: Entry, ended_us: int, amount: int) -> None:
        if amount == 0:
            return
        start_us = self._cycles.start_us(entry.org_id, ended_us)
        for spender in (entry.app_id, entry.key_id):
            self.by_spender[entry.org_id, spender, start_us]["cost_nano"] += amount
        if entry.funding == TRIAL_FUNDING:
            self.by_trial[entry.org_id] += amount


class _Earlier(NamedTuple):
    """What the ledger says of an attempt already."""

    ended_us: int
    is_explained: bool
    held_nano: int
    held_tokens: int


_KNOWN = select(
    ledger.c.org_id,
    ledger.c.request_id,
    ledger.c.attempt,
    ledger.c.ended_us,
    ledger.c.outcome,
    ledger.c.held_nano,
    ledger.c.held_tokens,
).where(
    ledger.c.request_id.in_(bindparam("request_ids", expanding=True)),
    ledger.c.ended_us >= bindparam("oldest_us"),
)


def _known(db: Connection, entries: Sequence[Entry]) -> dict[tuple[str, str, int], _Earlier]:
    """Which attempts of these are in the ledger already, by organisation, request id and number."""
    # The same attempt has the same start, and does not end before it: older partitions have none.
    oldest_us = min(min(entry.started_us, entry.ended_us) for entry in entries) - _CLOCK_SLACK_US
    request_ids = {entry.request_id for entry in entries}
    rows = db.execute(_KNOWN, {"request_ids": list(request_ids), "oldest_us": oldest_us})
    known: dict[tuple[str, str, int], _Earlier] = {}
    for row in rows:
        attempt = (row.org_id, row.request_id, row.attempt)
        is_explained = row.outcome != Outcome.UNSETTLED
        if is_explained or attempt not in known:
            known[attempt] = _Earlier(row.ended_us, is_explained, row.held_nano or 0, row.held_tokens or 0)
    return known


def _cycle_increments(
    entries: Iterable[Entry],
    cycles: CountingCycles,
    totals: defaultdict[tuple[Any, ...], Counter[str]],
) -> dict[tuple[Any, ...], Counter[str]]:
    for entry in entries:
        totals[entry.org_id, cycles.start_us(entry.org_id, entry.ended_us)].update(amounts(entry))
    return totals


def _series_increments(entries: Iterable[Entry]) -> Counter[tuple[OrgId, Series]]:
    values: Counter[tuple[OrgId, Series]] = Counter()
    for entry in entries:
        for series, amount in increments(entry):
            values[entry.org_id, series] += amount
    return values


def _add_refusals(db: Connection, refusals: Iterable[Refused]) -> None:
    """Add counts of refused calls, which have no rows, to the series."""
    values: Counter[tuple[OrgId, Series]] = Counter()
    for refused in refusals:
        series, count = refusal_increment(refused)
        values[refused.org_id, series] += count
    add_series(db, values)


_ADDING = {table: adding(table) for table in (cycle_totals, spender_totals)}


def _add(db: Connection, table: Table, keys: tuple[str, ...], totals: dict[tuple[Any, ...], Any]) -> None:
    """Add to totals, in sorted order; a row that is not there yet starts at 0."""
    if not totals:
        return
    columns = [column.name for column in table.columns if column.name not in keys]
    rows = [
        dict(zip(keys, key, strict=True)) | {name: amounts[name] for name in columns}
        for key, amounts in sorted(totals.items())
    ]
    db.execute(_ADDING[table][db.dialect.name], rows)


def _row(entry: Entry) -> dict[str, Any]:
    """The columns of an entry that do not depend on where it came from."""
    return {
        "org_id": entry.org_id,
        "ended_us": entry.ended_us,
        "request_id": entry.request_id,
        "attempt": entry.attempt,
        "final": entry.final,
        "kind": entry.kind.value,
        "outcome": entry.outcome.value,
        "status": entry.status,
        "error_code": entry.error_code,
        "app_id": entry.app_id,
        "app": entry.app,
        "key_id": entry.key_id,
        "provider": entry.provider,
        "model": entry.model,
        "service_tier": entry.service_tier,
        "streamed": entry.streamed,
        "end_user": entry.end_user,
        "labels": entry.labels,
        "funding": entry.funding,
        "units": entry.units,
        "prompt_tokens": prompt_tokens(entry.units),
        "completion_tokens": completion_tokens(entry.units),
        **_cost_columns("price_version", "cost", entry.cost if entry.is_known else None),
        "rate_card": entry.rate_card,
        **_cost_columns("vendor_price_version", "vendor_cost", entry.vendor_cost if entry.is_known else None),
        "benchmark_model": entry.benchmark_model,
        **_cost_columns("benchmark_price_version", "benchmark", entry.benchmark),
        "started_us": entry.started_us,
        "first_token_us": entry.first_token_us,
        "held_nano": entry.held,
        "held_tokens": entry.held_tokens,
        "overrun": entry.overrun,
    }


def _cost_columns(version: str, name: str, cost: Cost | None) -> dict[str, Any]:
    """The four columns of one cost; null where it is not known."""
    return {
        version: (cost.version or None) if cost else None,
        f"{name}_prompt_nano": cost.prompt if cost else None,
        f"{name}_completion_nano": cost.completion if cost else None,
        f"{name}_by_unit": cost.by_unit if cost else None,
    }


def _entry(row: Any) -> Entry:  # noqa: ANN401 - SQLAlchemy's rows are typed by their query only
    return Entry(
        request_id=row.request_id,
        attempt=row.attempt,
        final=row.final,
        kind=EntryKind(row.kind),
        outcome=Outcome(row.outcome),
        status=row.status,
        error_code=row.error_code,
        org_id=row.org_id,
        app_id=row.app_id,
        app=row.app,
        key_id=row.key_id,
        provider=row.provider,
        model=row.model,
        service_tier=row.service_tier,
        streamed=row.streamed,
        end_user=row.end_user,
        labels=row.labels,
        funding=row.funding,
        units=_units(row.units),
        cost=_cost(row, "price_version", "cost") or NOTHING,
        vendor_cost=_cost(row, "vendor_price_version", "vendor_cost") or NOTHING,
        rate_card=row.rate_card,
        benchmark_model=row.benchmark_model,
        benchmark=_cost(row, "benchmark_price_version", "benchmark"),
        started_us=row.started_us,
        ended_us=row.ended_us,
        first_token_us=row.first_token_us,
        held=None if row.held_nano is None else Nano(row.held_nano),
        held_tokens=row.held_tokens,
        overrun=row.overrun,
    )


def _units(counts: dict[str, int]) -> dict[Unit, int]:
    return {Unit(name): count for name, count in counts.items()}


def _cost(row: Any, version: str, name: str) -> Cost | None:  # noqa: ANN401 - as above
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented access by name
    if values[f"{name}_by_unit"] is None:
        return None
    return Cost(
        version=values[version] or "",
        by_unit={unit: Nano(nano) for unit, nano in _units(values[f"{name}_by_unit"]).items()},
        prompt=Nano(values[f"{name}_prompt_nano"]),
        completion=Nano(values[f"{name}_completion_nano"]),
    )
