"""Members: who is in an organisation, and what they may do there.

Owns the rows; does not own the rules (`control/members.py`) or who is invited (`invites.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from tollway.domain.ids import OrgId, UserId
from tollway.domain.membership import UserOrgAccess
from tollway.domain.org import Permission
from tollway.domain.role import Permissions, words_of
from tollway.store.apps_members import forget_roles
from tollway.store.database import all_orgs
from tollway.store.schema import members, orgs, users


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A user in an organisation."""

    user: UserId
    email: str
    name: str
    permissions: Permissions
    added_us: int


_MEMBERS = (
    select(members.c.user_id, members.c.permissions, members.c.added_us, users.c.email, users.c.name)
    .join(users, users.c.id == members.c.user_id)
    .order_by(members.c.added_us, members.c.user_id)
)


def add_member(
    db: Connection, org: OrgId, user: UserId, permissions: Iterable[Permission], now_us: int
) -> None:
    """Add `user` to `org` with these permissions."""
    words = words_of(permissions)
    db.execute(insert(members).values(org_id=org, user_id=user, permissions=words, added_us=now_us))


def list_members(db: Connection, org: OrgId) -> list[Member]:
    """All of them, the first ones first."""
    rows = db.execute(_MEMBERS.where(members.c.org_id == org))
    return [
        Member(
            user=UserId(row.user_id),
            email=row.email,
            name=row.name,
            permissions=_permissions(row.permissions),
            added_us=row.added_us,
        )
        for row in rows
    ]


def find_member(db: Connection, org: OrgId, user: str) -> Member | None:
    """The member who is this user."""
    return next((member for member in list_members(db, org) if member.user == user), None)


def count_members(db: Connection, org: OrgId) -> int:
    """How many there are."""
    counted = select(func.count()).select_from(members).where(members.c.org_id == org)
    return int(db.execute(counted).scalar_one())


def put_permissions(db: Connection, org: OrgId, user: UserId, permissions: Permissions) -> None:
    """Store what the member may do from now on."""
    db.execute(
        update(members)
        .where(members.c.org_id == org, members.c.user_id == user)
        .values(permissions=words_of(permissions))
    )


def remove_member(db: Connection, org: OrgId, user: UserId) -> None:
    """The user is in `org` no more, nor in any of its apps."""
    forget_roles(db, org, user)
    db.execute(delete(members).where(members.c.org_id == org, members.c.user_id == user))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seats:
    """What decides how many members there may be; None is no limit."""

    bought: int | None
    tier: str | None


def lock_members(db: Connection, org: OrgId) -> Seats:
    """Lock the organisation's row: who is a member now, and that seats are left, stays so until the end."""
    row = db.execute(
        select(orgs.c.spaces_subscription_seats, orgs.c.subscription_tier)
        .where(orgs.c.id == org)
        .with_for_update()
    ).one()
    return Seats(bought=row.spaces_subscription_seats, tier=row.subscription_tier)


@all_orgs
def list_access(db: Connection, user: UserId, only: OrgId | None = None) -> list[UserOrgAccess]:
    """The organisations that a user is in, or one of them; their own, then as they came in."""
    query = (
        select(
            orgs.c.id,
            orgs.c.org_stripe_id,
            orgs.c.org_display_name,
            orgs.c.org_logo,
            orgs.c.org_name,
            orgs.c.billing_email,
            orgs.c.is_personal,
            users.c.name,
            members.c.permissions,
        )
        .join(members, members.c.org_id == orgs.c.id)
        .join(users, users.c.id == members.c.user_id)
        .where(members.c.user_id == user)
        .order_by(orgs.c.is_personal.desc(), members.c.added_us, orgs.c.id)
    )
    rows = db.execute(query if only is None else query.where(orgs.c.id == only))
    return [
        UserOrgAccess(
            auth0_id=user,
            org_id=OrgId(row.id),
            org_stripe_id=row.org_stripe_id or None,
            org_display_name=row.org_display_name or row.org_name,
            org_logo=row.org_logo,
            org_name=row.org_name,
            full_name=row.name,
            billing_email=row.billing_email or "",
            is_personal_org=row.is_personal,
            permissions=row.permissions,
        )
        for row in rows
    ]


def _permissions(words: str) -> Permissions:
    return frozenset(Permission(word) for word in words.split())
