"""Ledger rows and their totals. A row is never changed or removed, and each is stored once.

Owns the fold: rows, cycle totals, series totals and the journal's position move in one
transaction, so they always agree. Idempotent twice over: by the journal's position, and by
(request id, attempt, kind). Rows are numbered per organisation under its lock, so that a
reader's cursor never steps over one that commits late.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tollway.domain.clock import US_PER_S, month_start_us
from tollway.domain.ids import JournalId, OrgId
from tollway.domain.ledger import Entry, EntryKind, Outcome, Record
from tollway.domain.money import Nano
from tollway.domain.price import Cost
from tollway.domain.series import Series, increments
from tollway.domain.usage import Unit, completion_tokens, prompt_tokens
from tollway.store.database import all_orgs
from tollway.store.schema import cycle_totals, journals, ledger, org_totals, series_totals

_CLOCK_SLACK_US = 3600 * US_PER_S
"""A clock that was set back while a call ran lets it end before it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """A ledger row, read back."""

    seq: int
    entry: Entry


@all_orgs
def register_journal(db: Connection, journal: JournalId, now_us: int) -> None:
    """Make a journal known before its first entry is folded; again is harmless."""
    if db.execute(select(journals.c.id).where(journals.c.id == journal)).first() is None:
        db.execute(insert(journals).values(id=journal, folded_to=0, added_us=now_us))


@all_orgs
def fold(db: Connection, journal: JournalId, records: Sequence[Record], now_us: int) -> int:
    """Move entries of one journal, in offset order, into the ledger; returns how many were new."""
    where = journals.c.id == journal
    folded_to = db.execute(select(journals.c.folded_to).where(where).with_for_update()).scalar()
    if folded_to is None:  # the database was restored from before the journal began
        register_journal(db, journal, now_us)
        folded_to = 0
    fresh = [(offset, entry) for offset, entry in records if offset >= folded_to]
    if not fresh:
        return 0
    seqs = _next_seqs(db, [entry for _, entry in fresh])
    known = _known(db, [entry for _, entry in fresh])
    rows = []
    entries = []
    for offset, entry in fresh:
        if (entry.request_id, entry.attempt, entry.kind) in known:
            continue
        known.add((entry.request_id, entry.attempt, entry.kind))
        seqs[entry.org_id] += 1
        place = {"journal_id": journal, "journal_offset": offset, "folded_us": now_us}
        rows.append({"seq": seqs[entry.org_id], **place, **_row(entry)})
        entries.append(entry)
    if rows:
        db.execute(insert(ledger), rows)
    for org, seq in sorted(seqs.items()):
        db.execute(update(org_totals).where(org_totals.c.org_id == org).values(seq=seq))
    _add(db, cycle_totals, ("org_id", "cycle_start_us"), _cycle_increments(entries))
    _add(db, series_totals, ("org_id", *Series._fields), _series_increments(entries))
    db.execute(update(journals).where(where).values(folded_to=fresh[-1][0] + 1))
    return len(rows)


def read_entries(db: Connection, org: OrgId, *, after_seq: int = 0, limit: int) -> list[StoredEntry]:
    """The organisation's rows after `after_seq`, oldest first."""
    rows = db.execute(
        select(ledger)
        .where(ledger.c.org_id == org, ledger.c.seq > after_seq)
        .order_by(ledger.c.seq)
        .limit(limit)
    )
    return [StoredEntry(seq=row.seq, entry=_entry(row)) for row in rows]


def _next_seqs(db: Connection, entries: Iterable[Entry]) -> dict[OrgId, int]:
    """Lock the organisations, in sorted order against deadlocks; their newest row's number."""
    seqs = {}
    for org in sorted({entry.org_id for entry in entries}):
        _add(db, org_totals, ("org_id",), {(org,): {"seq": 0}})
        seqs[org] = db.execute(select(org_totals.c.seq).where(org_totals.c.org_id == org)).scalar_one()
    return seqs


def _known(db: Connection, entries: Sequence[Entry]) -> set[tuple[str, int, str]]:
    """Which of these are in the ledger already."""
    # The same attempt has the same start, and does not end before it: older partitions have none.
    oldest_us = min(entry.started_us for entry in entries) - _CLOCK_SLACK_US
    rows = db.execute(
        select(ledger.c.request_id, ledger.c.attempt, ledger.c.kind).where(
            ledger.c.request_id.in_({entry.request_id for entry in entries}),
            ledger.c.ended_us >= oldest_us,
        )
    )
    return {(row.request_id, row.attempt, row.kind) for row in rows}


def _cycle_increments(entries: Iterable[Entry]) -> dict[tuple[Any, ...], Counter[str]]:
    totals: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for entry in entries:
        totals[entry.org_id, month_start_us(entry.ended_us)].update(
            num_requests=int(entry.final and entry.kind == EntryKind.USAGE),
            prompt_tokens=prompt_tokens(entry.units),
            completion_tokens=completion_tokens(entry.units),
            cost_prompt_nano=entry.cost.prompt,
            cost_completion_nano=entry.cost.completion,
            savings_prompt_nano=entry.prompt_savings,
            savings_completion_nano=entry.completion_savings,
        )
    return totals


def _series_increments(entries: Iterable[Entry]) -> dict[tuple[Any, ...], Counter[str]]:
    totals: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for entry in entries:
        for series, amount in increments(entry):
            totals[entry.org_id, *series].update(value=amount)
    return totals


def _add(db: Connection, table: Table, keys: tuple[str, ...], totals: dict[tuple[Any, ...], Any]) -> None:
    """Add to totals, in sorted order; a row that is not there yet starts at 0."""
    if not totals:
        return
    upsert = (postgresql if db.dialect.name == "postgresql" else sqlite).insert(table)
    columns = [column.name for column in table.columns if column.name not in keys]
    adding = upsert.on_conflict_do_update(
        index_elements=keys, set_={name: table.c[name] + upsert.excluded[name] for name in columns}
    )
    rows = [
        dict(zip(keys, key, strict=True)) | {name: amounts[name] for name in columns}
        for key, amounts in sorted(totals.items())
    ]
    db.execute(adding, rows)


def _row(entry: Entry) -> dict[str, Any]:
    """The columns of an entry that do not depend on where it came from."""
    benchmark = entry.benchmark
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
        "price_version": entry.cost.version or None,
        "cost_prompt_nano": entry.cost.prompt,
        "cost_completion_nano": entry.cost.completion,
        "cost_by_unit": entry.cost.by_unit,
        "rate_card": entry.rate_card,
        "vendor_price_version": entry.vendor_cost.version or None,
        "vendor_cost_prompt_nano": entry.vendor_cost.prompt,
        "vendor_cost_completion_nano": entry.vendor_cost.completion,
        "vendor_cost_by_unit": entry.vendor_cost.by_unit,
        "benchmark_model": entry.benchmark_model,
        "benchmark_price_version": benchmark and benchmark.version,
        "benchmark_prompt_nano": benchmark and benchmark.prompt,
        "benchmark_completion_nano": benchmark and benchmark.completion,
        "benchmark_by_unit": benchmark and benchmark.by_unit,
        "started_us": entry.started_us,
        "first_token_us": entry.first_token_us,
    }


def _entry(row: Any) -> Entry:  # noqa: ANN401 - SQLAlchemy's rows are typed by their query only
    benchmark = None
    if row.benchmark_by_unit is not None:
        benchmark = _cost(row, "benchmark_price_version", "benchmark")
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
        cost=_cost(row, "price_version", "cost"),
        vendor_cost=_cost(row, "vendor_price_version", "vendor_cost"),
        rate_card=row.rate_card,
        benchmark_model=row.benchmark_model,
        benchmark=benchmark,
        started_us=row.started_us,
        ended_us=row.ended_us,
        first_token_us=row.first_token_us,
    )


def _units(counts: dict[str, int]) -> dict[Unit, int]:
    return {Unit(name): count for name, count in counts.items()}


def _cost(row: Any, version: str, name: str) -> Cost:  # noqa: ANN401 - as above
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented access by name
    return Cost(
        version=values[version] or "",
        by_unit={unit: Nano(nano) for unit, nano in _units(values[f"{name}_by_unit"]).items()},
        prompt=Nano(values[f"{name}_prompt_nano"]),
        completion=Nano(values[f"{name}_completion_nano"]),
    )
