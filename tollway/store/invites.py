"""Invites: an address has at most one in each organisation, and of its token only the hash is stored.

Owns the rows; does not own who may invite whom (`control/invites.py`).
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, insert, select, update

from tollway.domain.ids import OrgId, UserId, new_id
from tollway.domain.invite import VALID_US, InviteStatus
from tollway.domain.role import Permissions, parse_permissions, words_of
from tollway.domain.token import digest
from tollway.store.database import all_orgs
from tollway.store.people_schema import invites

LETTER = "invite"
"""The kind of its letter in the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """A place for one e-mail address."""

    id: str
    org: OrgId
    email: str
    permissions: Permissions
    status: InviteStatus
    added_us: int
    expires_us: int


def put_invite(
    db: Connection,
    org: OrgId,
    *,
    email: str,
    permissions: Permissions,
    token: str,
    by: UserId,
    now_us: int,
) -> Invite:
    """Invite an address in its compared form; an earlier invite of it, and its token, end with that."""
    values = {
        "permissions": words_of(permissions),
        "status": InviteStatus.PENDING.value,
        "hash": digest(token),
        "invited_by": by,
        "expires_us": now_us + VALID_US,
        "answered_us": None,
    }
    where = (invites.c.org_id == org, invites.c.email == email)
    if not db.execute(update(invites).where(*where).values(values)).rowcount:
        db.execute(
            insert(invites).values(id=new_id(now_us), org_id=org, email=email, added_us=now_us, **values)
        )
    return _invite(db.execute(select(invites).where(*where)).one())


def list_pending(db: Connection, org: OrgId) -> list[Invite]:
    """Those that nobody answered, expired ones too; the first ones first."""
    rows = db.execute(
        select(invites)
        .where(invites.c.org_id == org, invites.c.status == InviteStatus.PENDING.value)
        .order_by(invites.c.added_us, invites.c.id)
    )
    return [_invite(row) for row in rows]


def find_invite(db: Connection, org: OrgId, id_: str) -> Invite | None:
    """The organisation's invite of this id, whatever became of it."""
    row = db.execute(select(invites).where(invites.c.org_id == org, invites.c.id == id_)).first()
    return None if row is None else _invite(row)


def answer_invite(db: Connection, org: OrgId, id_: str, status: InviteStatus, now_us: int) -> None:
    """Store what became of it."""
    db.execute(
        update(invites)
        .where(invites.c.org_id == org, invites.c.id == id_)
        .values(status=status.value, answered_us=now_us)
    )


def withdraw_invite(db: Connection, org: OrgId, id_: str) -> bool:
    """Remove one that nobody accepted; whether `org` has such an invite."""
    where = (invites.c.org_id == org, invites.c.id == id_, invites.c.status != InviteStatus.ACCEPTED.value)
    return bool(db.execute(delete(invites).where(*where)).rowcount)


@all_orgs
def find_by_hash(db: Connection, token_hash: str) -> Invite | None:
    """The invite with a token of this hash."""
    row = db.execute(select(invites).where(invites.c.hash == token_hash)).first()
    return None if row is None else _invite(row)


def letter_context(org: OrgId, id_: str) -> tuple[str, ...]:
    """What the link in a letter is bound to where it is sealed: it opens for this invite only."""
    return (LETTER, org, id_)


def _invite(row: Row[tuple[object, ...]]) -> Invite:
    return Invite(
        id=row.id,
        org=OrgId(row.org_id),
        email=row.email,
        permissions=parse_permissions(row.permissions),
        status=InviteStatus(row.status),
        added_us=row.added_us,
        expires_us=row.expires_us,
    )
