"""Users' tokens, of which only the hash is stored.

Owns the rows; does not own how many there may be (`control/tokens.py`). A token is a person's,
of no organisation: these functions take its user first.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from tollway.domain.clock import US_PER_S
from tollway.domain.ids import TokenId, UserId, new_id
from tollway.domain.token import digest, ending
from tollway.store.database import all_orgs
from tollway.store.schema import users
from tollway.store.sign_in_schema import user_tokens

USE_NOTED_EACH_US = 60 * US_PER_S
"""`last_used` is no more exact than this, so that a busy token writes once a minute."""

_KEPT_US = 90 * 86_400 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """A token, but for the token itself. Times in microseconds."""

    id: TokenId
    name: str
    token_end: str
    from_sign_in: bool
    added_us: int
    expires_us: int | None
    last_used_us: int | None

    def is_use_noted(self, now_us: int) -> bool:
        """Whether its last use is known well enough."""
        return self.last_used_us is not None and now_us - self.last_used_us < USE_NOTED_EACH_US


@all_orgs
def lock_user(db: Connection, user: UserId) -> None:
    """Nobody else makes a token of the user until the end of the transaction."""
    db.execute(select(users.c.id).where(users.c.id == user).with_for_update())


@all_orgs
def add_token(
    db: Connection,
    user: UserId,
    *,
    token: str,
    name: str,
    expires_us: int | None,
    from_sign_in: bool = False,
    now_us: int,
) -> StoredToken:
    """Store a new token of the user."""
    made = StoredToken(
        id=TokenId(new_id(now_us)),
        name=name,
        token_end=ending(token),
        from_sign_in=from_sign_in,
        added_us=now_us,
        expires_us=expires_us,
        last_used_us=None,
    )
    db.execute(
        insert(user_tokens).values(
            id=made.id,
            user_id=user,
            hash=digest(token),
            token_end=made.token_end,
            name=name,
            from_sign_in=from_sign_in,
            added_us=now_us,
            expires_us=expires_us,
        )
    )
    return made


@all_orgs
def valid_tokens(db: Connection, user: UserId, now_us: int) -> list[StoredToken]:
    """The user's tokens that are neither revoked nor expired, the newest first."""
    found = (
        select(*_COLUMNS)
        .where(user_tokens.c.user_id == user, _is_valid(now_us))
        .order_by(user_tokens.c.added_us.desc(), user_tokens.c.id.desc())
    )
    return [StoredToken(**row) for row in db.execute(found).mappings()]


@all_orgs
def find_token(db: Connection, token_hash: str) -> StoredToken | None:
    """The token with this hash, valid or not."""
    row = db.execute(select(*_COLUMNS).where(user_tokens.c.hash == token_hash)).mappings().first()
    return None if row is None else StoredToken(**row)


@all_orgs
def revoke_token(db: Connection, user: UserId, token: TokenId, now_us: int) -> bool:
    """End a token of the user at once; whether they have such a valid one."""
    revoked = db.execute(
        update(user_tokens)
        .where(user_tokens.c.user_id == user, user_tokens.c.id == token, _is_valid(now_us))
        .values(revoked_us=now_us)
    )
    return bool(revoked.rowcount)


@all_orgs
def note_use(db: Connection, token: TokenId, now_us: int) -> None:
    """The token was used now; nothing is written where that is known to the minute."""
    db.execute(
        update(user_tokens)
        .where(
            user_tokens.c.id == token,
            or_(
                user_tokens.c.last_used_us.is_(None),
                user_tokens.c.last_used_us <= now_us - USE_NOTED_EACH_US,
            ),
        )
        .values(last_used_us=now_us)
    )


@all_orgs
def drop_token(db: Connection, token_hash: str) -> None:
    """Remove a token that nobody ever held."""
    db.execute(delete(user_tokens).where(user_tokens.c.hash == token_hash))


@all_orgs
def drop_old_tokens(db: Connection, user: UserId, now_us: int) -> None:
    """Remove the user's tokens that ended long ago."""
    before_us = now_us - _KEPT_US
    db.execute(
        delete(user_tokens).where(
            user_tokens.c.user_id == user,
            or_(user_tokens.c.revoked_us < before_us, user_tokens.c.expires_us < before_us),
        )
    )


_COLUMNS = (
    user_tokens.c.id,
    user_tokens.c.name,
    user_tokens.c.token_end,
    user_tokens.c.from_sign_in,
    user_tokens.c.added_us,
    user_tokens.c.expires_us,
    user_tokens.c.last_used_us,
)


def _is_valid(now_us: int) -> ColumnElement[bool]:
    return and_(
        user_tokens.c.revoked_us.is_(None),
        or_(user_tokens.c.expires_us.is_(None), user_tokens.c.expires_us > now_us),
    )
