"""The outbox: letters to organisations, written in the transaction that makes them true.

A letter is taken by a lease: it is due again when that is over, so that a process that dies loses
none, and what is noted of a letter that another took since is passed over. Owns the rows,
how long they stay and how often they are tried; does not own texts or sending (`notices/`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, delete, func, insert, null, or_, select, update

from tollway.domain.clock import US_PER_S
from tollway.domain.ids import OrgId, new_id
from tollway.domain.invite import InviteStatus
from tollway.domain.moment import iso
from tollway.domain.role import Role
from tollway.store.database import all_orgs
from tollway.store.invites import LETTER, find_invite
from tollway.store.members import list_members
from tollway.store.outbox_schema import outbox
from tollway.store.schema import orgs

Content = Mapping[str, Any]

LEASE_US = 300 * US_PER_S
"""Longer than a batch takes, every deadline in it met at the last moment."""
BATCH = 5
FIRST_PAUSE_US = 60 * US_PER_S
LONGEST_PAUSE_US = 6 * 3600 * US_PER_S
TRIED_FOR_US = 3 * 86_400 * US_PER_S
KEPT_US = 30 * 86_400 * US_PER_S
MAX_LISTED = 1_000

_MOST_DOUBLINGS = 20
_SEALED = "link_sealed"
"""What of a content is a secret: it goes once the letter is sent."""

_ADD = insert(outbox)
_UNLOGGED = (outbox.c.due_us.is_not(None), outbox.c.logged_us.is_(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A letter in hand until `lease_us`: nobody else sends it before."""

    id: str
    org: OrgId
    org_name: str
    display_name: str
    kind: str
    content: Content
    to: Sequence[str]
    """Addresses; none where the organisation has nobody left to be told."""
    added_us: int
    attempt: int
    """Which one this is, from 1."""
    lease_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an attempt; `again`: who may take it another time. `error` of those who did not."""

    again: Sequence[str] = ()
    sent: bool
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How it stands with a letter that was not sent. `due_us` is None once it is given up."""

    id: str
    org_name: str
    kind: str
    added_us: int
    attempts: int
    due_us: int | None
    last_error: str | None


def add_letter(
    db: Connection, org: OrgId, kind: str, content: Mapping[str, str | int | None], now_us: int
) -> None:
    """Add a letter of this kind (`alert.soft_limit`, …); `content` is what its text says."""
    letter = {"kind": kind, "content": dict(content), "added_us": now_us, "due_us": now_us}
    db.execute(_ADD, {"id": new_id(now_us), "org_id": org, **letter})


@all_orgs
def has_due(db: Connection, kinds: Collection[str], now_us: int) -> bool:
    """Whether there is anything to take: asked often, and it locks nothing."""
    due = select(outbox.c.id).where(outbox.c.due_us <= now_us, outbox.c.kind.in_(kinds)).limit(1)
    return db.execute(due).first() is not None


@all_orgs
def take_letters(db: Connection, kinds: Collection[str], now_us: int) -> list[Letter]:
    """Take what is due of these kinds, at most BATCH, those that wait longest first."""
    rows = db.execute(
        select(outbox, orgs.c.org_name, orgs.c.org_display_name, orgs.c.billing_email)
        .join(orgs, orgs.c.id == outbox.c.org_id)
        .where(outbox.c.due_us <= now_us, outbox.c.kind.in_(kinds))
        .order_by(outbox.c.due_us, outbox.c.id)
        .limit(BATCH)
        .with_for_update(of=outbox, skip_locked=True)
    ).all()
    taken = []
    for row in rows:
        if _is_moot(db, row, now_us):
            db.execute(delete(outbox).where(outbox.c.id == row.id))
        else:
            taken.append(_take(db, row, now_us))
    return taken


def note_letter(db: Connection, org: OrgId, letter: Letter, outcome: Outcome, now_us: int) -> bool:
    """Note what became of a letter in hand; whether it is given up with that.

    Nothing changes if it is in other hands now.
    """
    where = (
        outbox.c.id == letter.id,
        outbox.c.org_id == org,
        outbox.c.due_us == letter.lease_us,
        outbox.c.attempts == letter.attempt,
    )
    row = db.execute(select(outbox).where(*where).with_for_update()).first()
    if row is None:
        return False
    was_sent = outcome.sent or row.remaining is not None
    values: dict[str, Any] = {"last_error": outcome.error, "due_us": None}
    if outcome.again and now_us < row.tried_us + TRIED_FOR_US:
        values["due_us"] = now_us + _pause_us(letter.attempt)
        values["remaining"] = list(outcome.again) if was_sent else null()
    elif was_sent:
        values["sent_us"] = now_us
        values["content"] = {name: value for name, value in row.content.items() if name != _SEALED}
    else:
        values["failed_us"] = now_us
    db.execute(update(outbox).where(outbox.c.id == letter.id).values(values))
    return "failed_us" in values


@all_orgs
def has_unlogged(db: Connection) -> bool:
    """Whether a letter waits that the log did not tell of."""
    return db.execute(select(outbox.c.id).where(*_UNLOGGED).limit(1)).first() is not None


@all_orgs
def log_letters(db: Connection, now_us: int) -> list[tuple[str, str]]:
    """Kind, and organisation's name, of letters that wait and that this did not tell of before."""
    found = db.execute(
        select(outbox.c.id, outbox.c.kind, orgs.c.org_name)
        .join(orgs, orgs.c.id == outbox.c.org_id)
        .where(*_UNLOGGED)
        .order_by(outbox.c.id)
        .limit(MAX_LISTED)
        .with_for_update(of=outbox, skip_locked=True)
    ).all()
    if found:
        told = update(outbox).where(outbox.c.id == bindparam("letter")).values(logged_us=now_us)
        db.execute(told, [{"letter": row.id} for row in found])
    return [(row.kind, row.org_name) for row in found]


@all_orgs
def list_letters(db: Connection, only: OrgId | None = None) -> list[Standing]:
    """Those that wait or were given up, the first ones first, at most MAX_LISTED; or one organisation's."""
    query = (
        select(outbox, orgs.c.org_name)
        .join(orgs, orgs.c.id == outbox.c.org_id)
        .where(outbox.c.sent_us.is_(None))
        .order_by(outbox.c.added_us, outbox.c.id)
        .limit(MAX_LISTED)
    )
    rows = db.execute(query if only is None else query.where(outbox.c.org_id == only))
    return [
        Standing(
            id=row.id,
            org_name=row.org_name,
            kind=row.kind,
            added_us=row.added_us,
            attempts=row.attempts,
            due_us=row.due_us,
            last_error=row.last_error,
        )
        for row in rows
    ]


@all_orgs
def retry_letter(db: Connection, id_: str, now_us: int) -> bool:
    """Let one that was not sent be tried now, for as long again; whether there is such a letter."""
    changed = db.execute(
        update(outbox)
        .where(outbox.c.id == id_, outbox.c.sent_us.is_(None))
        .values(due_us=now_us, failed_us=None, tried_us=None, attempts=0)
    )
    return bool(changed.rowcount)


@all_orgs
def count_letters(db: Connection) -> tuple[int, int]:
    """How many wait, and how many were given up and are still kept."""
    row = db.execute(
        select(
            func.count(outbox.c.due_us).label("waiting"),
            func.sum(case((outbox.c.failed_us.is_not(None), 1), else_=0)).label("failed"),
        ).where(or_(outbox.c.due_us.is_not(None), outbox.c.failed_us.is_not(None)))
    ).one()
    return int(row.waiting), int(row.failed or 0)


@all_orgs
def prune_letters(db: Connection, now_us: int) -> None:
    """Remove what was sent, or given up, long ago."""
    before_us = now_us - KEPT_US
    db.execute(delete(outbox).where(or_(outbox.c.sent_us < before_us, outbox.c.failed_us < before_us)))


def _pause_us(attempt: int) -> int:
    return min(FIRST_PAUSE_US << min(attempt - 1, _MOST_DOUBLINGS), LONGEST_PAUSE_US)


def _is_moot(db: Connection, row: Row[Any], now_us: int) -> bool:
    """An invite that was answered, taken back, sent again or is over: its link leads nowhere."""
    if row.kind != LETTER:
        return False
    found = find_invite(db, OrgId(row.org_id), row.content["invite_id"])
    return (
        found is None
        or found.status is not InviteStatus.PENDING
        or found.expires_us <= now_us
        or iso(found.expires_us) != row.content["expires"]
    )


def _take(db: Connection, row: Row[Any], now_us: int) -> Letter:
    org = OrgId(row.org_id)
    lease_us, attempt = now_us + LEASE_US, row.attempts + 1
    tried_us = now_us if row.tried_us is None else row.tried_us
    db.execute(
        update(outbox)
        .where(outbox.c.id == row.id)
        .values(due_us=lease_us, attempts=attempt, tried_us=tried_us)
    )
    return Letter(
        id=row.id,
        org=org,
        org_name=row.org_name,
        display_name=row.org_display_name or row.org_name,
        kind=row.kind,
        content=row.content,
        to=row.remaining or _recipients(db, org, row),
        added_us=row.added_us,
        attempt=attempt,
        lease_us=lease_us,
    )


def _recipients(db: Connection, org: OrgId, row: Row[Any]) -> list[str]:
    """Whoever is invited; else the billing address, or, without one, all admins."""
    if row.kind == LETTER:
        return [row.content["email"]]
    if row.billing_email:
        return [str(row.billing_email)]
    admins = (each for each in list_members(db, org) if each.permissions >= Role.ADMIN.permissions)
    return sorted(each.email for each in admins)
