"""How the installation as a whole is doing, for its operator: counted, not listed.

Owns the questions; they read the receivers, the journals and the outbox, never a table that grows with the
ledger. Names of organisations are read only where they are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, case, func, or_, select

from tollway.store.database import all_orgs
from tollway.store.outbox import count_letters
from tollway.store.schema import integrations, journals, org_totals, orgs

MAX_SHOWN = 2_000
"""Of receivers, where they are told apart; those that lag longest come first."""

NEW = "new"
"""The state of a receiver that nothing was pushed to yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """Receivers of one kind in one state, or one alone (`org`): the longest lag, and sums of lines.

    `since_us`: of the one that was not served for longest, when it last was, or when it was put;
    None where nothing waits.
    """

    kind: str
    state: str
    org: str | None = None
    count: int = 1
    since_us: int | None
    behind_rows: int
    refused: int
    too_old: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What all processes share. `pushed_by_org` is empty unless it was asked for."""

    open_journals: int
    pushed: Sequence[Pushed]
    pushed_by_org: Sequence[Pushed] = field(default=())
    letters_waiting: int = 0
    letters_given_up: int = 0


@all_orgs
def read_installation(db: Connection, *, by_org: bool = False) -> Installation:
    """One look at everything; `by_org`: with the names of organisations, at most MAX_SHOWN receivers."""
    waiting, given_up = count_letters(db)
    is_open = (journals.c.closed_us.is_(None), journals.c.forfeited_us.is_(None))
    return Installation(
        open_journals=int(
            db.execute(select(func.count()).select_from(journals).where(*is_open)).scalar_one()
        ),
        pushed=_pushed_by_state(db),
        pushed_by_org=_pushed_by_org(db) if by_org else (),
        letters_waiting=waiting,
        letters_given_up=given_up,
    )


def _receivers() -> Any:  # noqa: ANN401 - SQLAlchemy's type of it says nothing here
    """Every receiver: org_id, kind, state, since_us, behind_rows, refused, too_old."""
    behind = func.coalesce(org_totals.c.seq, 0) - integrations.c.cursor_seq
    waiting = or_(integrations.c.kind == "prom", behind > 0)
    return (
        select(
            integrations.c.org_id,
            integrations.c.kind,
            func.coalesce(integrations.c.state, NEW).label("state"),
            case((waiting, func.coalesce(integrations.c.last_success_us, integrations.c.modified_us))).label(
                "since_us"
            ),
            # Samples are a picture: nothing of them waits.
            case((integrations.c.kind == "loki", behind), else_=0).label("behind_rows"),
            integrations.c.dropped.label("refused"),
            integrations.c.too_old,
        )
        .outerjoin(org_totals, org_totals.c.org_id == integrations.c.org_id)
        .subquery()
    )


def _pushed_by_state(db: Connection) -> list[Pushed]:
    each = _receivers()
    rows = db.execute(
        select(
            each.c.kind,
            each.c.state,
            func.count().label("count"),
            func.min(each.c.since_us).label("since_us"),
            func.sum(each.c.behind_rows).label("behind_rows"),
            func.sum(each.c.refused).label("refused"),
            func.sum(each.c.too_old).label("too_old"),
        ).group_by(each.c.kind, each.c.state)
    )
    return [
        Pushed(
            kind=row.kind,
            state=row.state,
            count=row._mapping["count"],  # noqa: SLF001 - as documented; `row.count` is the tuple's own method
            since_us=row.since_us,
            behind_rows=int(row.behind_rows),
            refused=int(row.refused),
            too_old=int(row.too_old),
        )
        for row in rows
    ]


def _pushed_by_org(db: Connection) -> list[Pushed]:
    each = _receivers()
    rows = db.execute(
        select(each, orgs.c.org_name)
        .join(orgs, orgs.c.id == each.c.org_id)
        .order_by(each.c.since_us.nulls_last(), each.c.org_id, each.c.kind)
        .limit(MAX_SHOWN)
    )
    return [
        Pushed(
            org=row.org_name,
            kind=row.kind,
            state=row.state,
            since_us=row.since_us,
            behind_rows=row.behind_rows,
            refused=row.refused,
            too_old=row.too_old,
        )
        for row in rows
    ]
