"""An organisation's ledger rows as they are stored, by time, in pages: for an export.

Rows are never changed, so all that have a number up to the newest one's at the start are the same
export, however long it takes. Owns the reading; does not own formats (`cli/export.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from tollway.domain.ids import OrgId
from tollway.store.schema import ledger, org_totals

_NAMES = [column.name for column in ledger.c]

Row = Mapping[str, Any]
"""A row by the ledger's column names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Rows that ended in [from, to), microseconds, None without a bound; numbered up to `upto`."""

    from_us: int | None = None
    to_us: int | None = None
    upto: int


def newest_seq(db: Connection, org: OrgId) -> int:
    """The number of the organisation's newest row; 0 without rows."""
    return db.execute(select(org_totals.c.seq).where(org_totals.c.org_id == org)).scalar() or 0


def count_rows(db: Connection, org: OrgId, span: Span) -> int:
    """How many rows the span has."""
    return int(db.execute(select(func.count()).select_from(ledger).where(*_within(org, span))).scalar_one())


def read_rows(db: Connection, org: OrgId, span: Span, *, after: Row | None, limit: int) -> Sequence[Row]:
    """The rows of the span that follow `after`, by their end, then by number."""
    where = _within(org, span)
    if after is not None:
        ended_us, seq = after["ended_us"], after["seq"]
        where += [ledger.c.ended_us >= ended_us, or_(ledger.c.ended_us > ended_us, ledger.c.seq > seq)]
    rows = db.execute(select(ledger).where(*where).order_by(ledger.c.ended_us, ledger.c.seq).limit(limit))
    return [dict(zip(_NAMES, row, strict=True)) for row in rows]


def _within(org: OrgId, span: Span) -> list[ColumnElement[bool]]:
    where = [ledger.c.org_id == org, ledger.c.seq <= span.upto]
    if span.from_us is not None:
        where.append(ledger.c.ended_us >= span.from_us)
    if span.to_us is not None:
        where.append(ledger.c.ended_us < span.to_us)
    return where
