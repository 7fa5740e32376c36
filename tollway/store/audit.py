"""What an audit reads: an organisation's rows as they are stored, and the totals made from them.

Rows are never changed, so the totals and the newest row's number, read together, say what a
later look at the rows has to add up to, however long it takes and whatever is folded meanwhile.
Owns the reading, also of what nobody should have stored; does not own a comparison
(`control/audit.py`).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import JSON, Connection, RowMapping, Text, and_, cast, func, or_, select, union_all

from tollway.domain.clock import moment
from tollway.domain.cycle import Cycle
from tollway.domain.ids import OrgId
from tollway.domain.ledger import Entry, EntryKind, Outcome
from tollway.domain.price import Price
from tollway.domain.series import WITHOUT_ROWS
from tollway.store.cycles import stored_cycles
from tollway.store.database import all_orgs
from tollway.store.prices import read_prices
from tollway.store.schema import cycle_totals, ledger, org_totals, orgs, series_totals, spender_totals

SeriesKey = tuple[str, ...]
"""app, model, provider, metric, label."""

_CYCLE_COLUMNS = tuple(column.name for column in cycle_totals.c if not column.primary_key)
_SERIES_KEY = ("app", "model", "provider", "metric", "label")
# As text: JSON that cannot be read is a finding, and must not end the audit.
_ROW = [
    cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column for column in ledger.c
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What is stored of an organisation beside its rows, at one moment."""

    org_name: str | None
    seq: int
    """Of the newest row, as it was noted."""
    last_seq: int
    """Of the newest row, as it is in the ledger; 0 without rows."""
    cycles: Sequence[Cycle]
    by_cycle: Mapping[int, Mapping[str, int]]
    by_series: Mapping[SeriesKey, int]
    by_spender: Mapping[tuple[str, int], int]
    """By the app's or key's id and the cycle's start; nano-dollars."""
    trial_nano: int
    """What the trial's balance paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A row of the same attempt with a smaller number."""

    seq: int
    kind: str
    is_unsettled: bool
    ended_us: int
    held_nano: int
    held_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedRow:
    """A ledger row; `entry` is None where it cannot be read as one, and `fault` says why."""

    seq: int
    ended_us: int
    request_id: str
    attempt: int
    entry: Entry | None
    fault: str
    has_cost: bool
    prompt_tokens: int
    completion_tokens: int
    earlier: Sequence[Earlier]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Consecutive rows, and those of their price versions that are stored."""

    rows: Sequence[AuditedRow]
    prices: Mapping[str, Price]


@all_orgs
def find_org(db: Connection, named: str) -> OrgId | None:
    """The organisation with this id, or else with this name: a name may look like another's id."""
    found = db.execute(
        select(orgs.c.id, orgs.c.org_name).where(or_(orgs.c.id == named, orgs.c.org_name == named))
    )
    ids = sorted((row.id != named, row.id) for row in found)
    return OrgId(ids[0][1]) if ids else None


@all_orgs
def next_org(db: Connection, after: str) -> OrgId | None:
    """The first organisation after this id that anything is stored of, in the database's order."""
    columns = (orgs.c.id, ledger.c.org_id, org_totals.c.org_id, cycle_totals.c.org_id, series_totals.c.org_id)
    least = union_all(*(select(func.min(column).label("id")).where(column > after) for column in columns))
    found = db.execute(select(func.min(least.subquery().c.id))).scalar()
    return None if found is None else OrgId(found)


@all_orgs
def num_rows(db: Connection) -> int:
    """How many rows there are in all, as it was noted."""
    return int(db.execute(select(func.coalesce(func.sum(org_totals.c.seq), 0))).scalar_one())


def read_totals(db: Connection, org: OrgId) -> Totals:
    """What the organisation's rows, as they are now, should add up to."""
    by_cycle = db.execute(select(cycle_totals).where(cycle_totals.c.org_id == org)).mappings()
    of_rows = (series_totals.c.org_id == org, series_totals.c.metric.not_in(WITHOUT_ROWS))
    by_series = db.execute(select(series_totals).where(*of_rows)).mappings()
    last_seq = db.execute(select(func.max(ledger.c.seq)).where(ledger.c.org_id == org)).scalar()
    by_spender = db.execute(select(spender_totals).where(spender_totals.c.org_id == org))
    noted = db.execute(select(org_totals).where(org_totals.c.org_id == org)).first()
    return Totals(
        org_name=db.execute(select(orgs.c.org_name).where(orgs.c.id == org)).scalar(),
        seq=noted.seq if noted else 0,
        last_seq=last_seq or 0,
        cycles=stored_cycles(db, org),
        by_cycle={row["cycle_start_us"]: {name: row[name] for name in _CYCLE_COLUMNS} for row in by_cycle},
        by_series={tuple(row[name] for name in _SERIES_KEY): row["value"] for row in by_series},
        by_spender={(row.spender_id, row.cycle_start_us): row.cost_nano for row in by_spender},
        trial_nano=noted.trial_nano if noted else 0,
    )


def read_page(db: Connection, org: OrgId, *, after: tuple[int, int] | None, upto: int, limit: int) -> Page:
    """The rows after this (seq, end) with numbers up to `upto`, in order."""
    query = select(*_ROW).where(ledger.c.org_id == org, ledger.c.seq <= upto)
    if after is not None:
        seq, ended_us = after
        is_later = or_(ledger.c.seq > seq, ledger.c.ended_us > ended_us)
        query = query.where(and_(ledger.c.seq >= seq, is_later))
    rows = db.execute(query.order_by(ledger.c.seq, ledger.c.ended_us).limit(limit)).mappings().all()
    same = _same_attempts(db, org, [row["request_id"] for row in rows])
    versions = {
        row[name]
        for row in rows
        for name in ("price_version", "vendor_price_version", "benchmark_price_version")
    }
    return Page(
        rows=[_audited(row, same[row["request_id"], row["attempt"]]) for row in rows],
        prices=_prices(db, versions - {None}),
    )


def _same_attempts(
    db: Connection, org: OrgId, requests: Collection[str]
) -> Mapping[tuple[str, int], list[Earlier]]:
    """Every row of these requests, by attempt."""
    found = db.execute(
        select(
            ledger.c.request_id,
            ledger.c.attempt,
            ledger.c.seq,
            ledger.c.kind,
            ledger.c.outcome,
            ledger.c.ended_us,
            ledger.c.held_nano,
            ledger.c.held_tokens,
        )
        .where(ledger.c.org_id == org, ledger.c.request_id.in_(requests))
        .order_by(ledger.c.seq)
    )
    same = defaultdict(list)
    for row in found:
        same[row.request_id, row.attempt].append(
            Earlier(
                seq=row.seq,
                kind=row.kind,
                is_unsettled=row.kind == EntryKind.USAGE and row.outcome == Outcome.UNSETTLED,
                ended_us=row.ended_us,
                held_nano=row.held_nano or 0,
                held_tokens=row.held_tokens or 0,
            )
        )
    return same


def _prices(db: Connection, versions: Collection[str]) -> dict[str, Price]:
    """Those that are stored and can be read."""
    prices: dict[str, Price] = {}
    for version in versions:
        try:
            prices |= read_prices(db, [version])
        except (AttributeError, LookupError, TypeError, ValueError):  # not what we wrote
            continue
    return {version: price for version, price in prices.items() if price.denominator > 0}


def _audited(row: RowMapping, same: Sequence[Earlier]) -> AuditedRow:
    entry, fault = None, ""
    try:
        entry = _entry(row)
        moment(entry.ended_us)
    except (msgspec.MsgspecError, OSError, OverflowError, ValueError) as error:  # or no time of a calendar
        entry, fault = None, str(error)
    return AuditedRow(
        seq=row["seq"],
        ended_us=row["ended_us"],
        request_id=row["request_id"],
        attempt=row["attempt"],
        entry=entry,
        fault=fault,
        has_cost=row["cost_by_unit"] is not None,
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        earlier=[one for one in same if one.seq < row["seq"]],
    )


def _entry(row: RowMapping) -> Entry:
    """The entry that a row was made from; MsgspecError if it says something that no entry does."""
    nothing = {"version": "", "by_unit": {}, "prompt": 0, "completion": 0}
    values = {
        **{str(name): value for name, value in row.items()},  # SQLAlchemy's names are a kind of their own
        "labels": msgspec.json.decode(row["labels"]),
        "units": msgspec.json.decode(row["units"]),
        "cost": _cost(row, "price_version", "cost") or nothing,
        "vendor_cost": _cost(row, "vendor_price_version", "vendor_cost") or nothing,
        "benchmark": _cost(row, "benchmark_price_version", "benchmark"),
        "held": row["held_nano"],
    }
    return msgspec.convert(values, Entry)


def _cost(row: RowMapping, version: str, name: str) -> dict[str, Any] | None:
    by_unit = row[f"{name}_by_unit"]
    if by_unit is None:
        return None
    return {
        "version": row[version] or "",
        "by_unit": msgspec.json.decode(by_unit),
        "prompt": row[f"{name}_prompt_nano"],
        "completion": row[f"{name}_completion_nano"],
    }
