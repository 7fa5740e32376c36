"""Which user an issuer's subject is. Owns the rows; does not own who may be linked with whom.

A user is of no organisation: these functions are among the ones by which one is found.
"""

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from tollway.domain.identity import Identity
from tollway.domain.ids import UserId
from tollway.store.database import all_orgs
from tollway.store.sign_in_schema import identities


@all_orgs
def find_identity(db: Connection, issuer: str, subject: str) -> UserId | None:
    """The user that this subject of this issuer is."""
    found = select(identities.c.user_id).where(identities.c.issuer == issuer, identities.c.subject == subject)
    user = db.execute(found).scalar_one_or_none()
    return None if user is None else UserId(user)


@all_orgs
def has_identity(db: Connection, user: UserId, issuer: str) -> bool:
    """Whether the user is somebody of this issuer already."""
    found = select(identities.c.subject).where(identities.c.user_id == user, identities.c.issuer == issuer)
    return db.execute(found.limit(1)).first() is not None


@all_orgs
def add_identity(db: Connection, user: UserId, identity: Identity, now_us: int) -> bool:
    """Make the subject this user; whether it was nobody before."""
    try:
        with db.begin_nested():
            db.execute(
                insert(identities).values(
                    issuer=identity.issuer, subject=identity.subject, user_id=user, added_us=now_us
                )
            )
    except IntegrityError:
        return False
    return True
