"""Users, their tokens, and what they may do in which organisation.

Owns the rows; does not own who may ask. A user is of no organisation: these functions are
the ones by which one is found.
"""

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from tollway.domain.caller import Person
from tollway.domain.errors import Conflict
from tollway.domain.ids import OrgId, UserId, new_id
from tollway.domain.org import Permission
from tollway.domain.token import digest, ending
from tollway.store.database import all_orgs
from tollway.store.schema import members, orgs, users
from tollway.store.sign_in_schema import user_tokens


@all_orgs
def create_user(db: Connection, *, email: str, name: str, token: str, now_us: int) -> UserId:
    """Add a user with a first token, of which only the hash is stored; Conflict if the e-mail is taken."""
    user = UserId(new_id(now_us))
    try:
        with db.begin_nested():
            db.execute(insert(users).values(id=user, email=email, name=name, added_us=now_us))
    except IntegrityError:
        raise Conflict(f"there is a user with the e-mail {email} already", code="email_taken") from None
    db.execute(
        insert(user_tokens).values(
            id=new_id(now_us),
            user_id=user,
            hash=digest(token),
            token_end=ending(token),
            name="first token",
            added_us=now_us,
        )
    )
    return user


@all_orgs
def find_by_token(db: Connection, token_hash: str, now_us: int) -> Person | None:
    """The user whose unrevoked, unexpired token has this hash."""
    found = (
        _people()
        .join(user_tokens, user_tokens.c.user_id == users.c.id)
        .where(
            user_tokens.c.hash == token_hash,
            user_tokens.c.revoked_us.is_(None),
            or_(user_tokens.c.expires_us.is_(None), user_tokens.c.expires_us > now_us),
        )
    )
    return _person(db.execute(found).first())


@all_orgs
def find_user(db: Connection, user: UserId) -> Person | None:
    """The user with this id."""
    return _person(db.execute(_people().where(users.c.id == user)).first())


@all_orgs
def users_with_email(db: Connection, email: str) -> list[UserId]:
    """Whose e-mail this is, in whatever case ASCII letters are."""
    wanted = _ascii_lower(email)
    found = db.execute(select(users.c.id, users.c.email).where(func.lower(users.c.email) == wanted))
    # PostgreSQL lowers more than ASCII: a Kelvin sign is no k.
    return [UserId(row.id) for row in found if _ascii_lower(row.email) == wanted]


@all_orgs
def has_users(db: Connection) -> bool:
    """Whether anybody was here before."""
    return db.execute(select(users.c.id).limit(1)).first() is not None


@all_orgs
def enter_org(db: Connection, user: UserId, org: OrgId) -> None:
    """Make `org` the user's current organisation."""
    db.execute(update(users).where(users.c.id == user).values(current_org_id=org))


def send_home(db: Connection, org: OrgId, user: UserId | None = None) -> None:
    """For whom `org` is current, their personal organisation is from now on; for all, or one user."""
    home = (
        select(orgs.c.id)
        .join(members, members.c.org_id == orgs.c.id)
        .where(members.c.user_id == users.c.id, orgs.c.is_personal)
        .limit(1)
        .scalar_subquery()
    )
    moved = update(users).where(users.c.current_org_id == org).values(current_org_id=home)
    db.execute(moved if user is None else moved.where(users.c.id == user))


def _people() -> Select[tuple[str, str, str, str | None, str | None]]:
    is_member = (members.c.user_id == users.c.id) & (members.c.org_id == users.c.current_org_id)
    return (
        select(users.c.id, users.c.email, users.c.name, users.c.current_org_id, members.c.permissions)
        .select_from(users)
        .outerjoin(members, is_member)
    )


def _person(row: Row[tuple[str, str, str, str | None, str | None]] | None) -> Person | None:
    if row is None:
        return None
    is_member = row.permissions is not None
    return Person(
        id=UserId(row.id),
        email=row.email,
        name=row.name,
        org_id=OrgId(row.current_org_id) if is_member else None,
        permissions=frozenset(Permission(word) for word in (row.permissions or "").split()),
    )


def _ascii_lower(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)
