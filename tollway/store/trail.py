"""The audit trail: each change of a person or the operator is a row, in the change's own transaction.

`acting()` surrounds what one request does: every transaction that it writes is watched, and what it
changed is added at its end, so that there is no change without its row and no row without its change.
Owns the rows and their numbers, without gaps in each organisation; does not own what counts as a
change (`store/watch.py`), or who may read of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, or_, select

from tollway.domain.ids import OrgId, UserId
from tollway.domain.operation import Operation
from tollway.store.database import around_writes
from tollway.store.schema import members, orgs, users
from tollway.store.trail_schema import trail, trail_heads
from tollway.store.upsert import adding
from tollway.store.watch import Changed, Watch, watching

OPERATOR = "operator"
MAX_ROWS_SHOWN = 100
"""Of one change; a deleted organisation may have thousands of members."""
NOBODYS = OrgId("")
_NEXT = {name: upsert.returning(trail_heads.c.seq) for name, upsert in adding(trail_heads).items()}

Change = Mapping[str, Any]
"""A row by the trail's column names."""


@dataclass(slots=True, kw_only=True)
class Act:
    """One request, as the trail tells of it. Who it is from is filled in when that is known."""

    operation: Operation
    at_us: int
    request_id: str
    address: str | None = None
    target: str | None = None
    user: UserId | None = None
    who: str | None = None


_acts: ContextVar[Act | None] = ContextVar("acts", default=None)


@contextmanager
def acting(act: Act) -> Iterator[None]:
    """All that is written within is this act's."""

    @contextmanager
    def recorded(db: Connection) -> Iterator[None]:
        with watching(db) as watch:
            yield
        _record(db, act, watch)

    named, around = _acts.set(act), around_writes.set(recorded)
    try:
        yield
    finally:
        around_writes.reset(around)
        _acts.reset(named)


def act_as(user: UserId | None, who: str) -> None:
    """The request that is being answered is from this user, or from the operator."""
    act = _acts.get()
    if act is not None:
        act.user, act.who = user, who


def _record(db: Connection, act: Act, watch: Watch) -> None:
    changes = watch.changes()
    if not changes:
        return
    user, who = act.user, act.who
    if who is None:  # a sign-in: whoever it makes a token for
        user = next((UserId(change.user) for change in changes if change.user is not None), None)
        who = _email(db, user)
    by_org: dict[str, list[Changed]] = {}
    for change in changes:
        if change.org is not None:
            by_org.setdefault(change.org, []).append(change)
    if not by_org:
        by_org[_home(db, user)] = changes
    # In one order, so that two at once do not wait for each other.
    for org in sorted(by_org):
        _add(db, OrgId(org), act, user, who, by_org[org])


def _add(
    db: Connection, org: OrgId, act: Act, user: UserId | None, who: str, changes: Sequence[Changed]
) -> None:
    seq = db.execute(_NEXT[db.dialect.name], {"org_id": org, "seq": 1}).scalar_one()
    db.execute(
        insert(trail).values(
            org_id=org,
            seq=seq,
            at_us=act.at_us,
            operation=act.operation.name.lower(),
            user_id=user,
            who=who,
            address=act.address,
            target=act.target or changes[0].target,
            before=_told(changes, "before"),
            after=_told(changes, "after"),
            request_id=act.request_id,
        )
    )


def _told(changes: Sequence[Changed], side: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for change in changes[:MAX_ROWS_SHOWN]:
        shown = change.shown(getattr(change, side))
        if shown is not None:
            told.setdefault(change.table.name, []).append(shown)
    if len(changes) > MAX_ROWS_SHOWN:
        told["more"] = len(changes) - MAX_ROWS_SHOWN
    return told


def _email(db: Connection, user: UserId | None) -> str:
    return db.execute(select(users.c.email).where(users.c.id == user)).scalar() or "nobody"


def _home(db: Connection, user: UserId | None) -> OrgId:
    """Where a person's own changes are told of: in their personal organisation."""
    home = (
        select(orgs.c.id)
        .join(members, members.c.org_id == orgs.c.id)
        .where(members.c.user_id == user, orgs.c.is_personal)
    )
    return OrgId(db.execute(home).scalar() or NOBODYS)


def read_trail(
    db: Connection,
    org: OrgId,
    *,
    before: int | None = None,
    after: int | None = None,
    operation: str | None = None,
    who: str | None = None,
    limit: int,
) -> list[Change]:
    """Rows of the organisation: newest first, or, `after` a number, oldest first."""
    query = select(trail).where(trail.c.org_id == org).limit(limit)
    if before is not None:
        query = query.where(trail.c.seq < before)
    if operation is not None:
        query = query.where(trail.c.operation == operation)
    if who is not None:
        query = query.where(or_(trail.c.who == who, trail.c.user_id == who))
    if after is not None:
        query = query.where(trail.c.seq > after).order_by(trail.c.seq)
    else:
        query = query.order_by(trail.c.seq.desc())
    return [dict(row) for row in db.execute(query).mappings()]
