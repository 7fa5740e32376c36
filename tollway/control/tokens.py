"""What people do with their personal access tokens.

Owns the operations and how many tokens a person may have; does not own the rows. A token
stands for its person, whole: one that a token made may do as much, and last as long.
"""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from tollway.domain.caller import Person
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import Conflict, Fault, Invalid, NotFound
from tollway.domain.ids import TokenId, UserId
from tollway.domain.token import Bearer, mint
from tollway.store import tokens
from tollway.store.tokens import StoredToken
from tollway.store.users import find_by_token

MAX_TOKENS = 90
"""Valid ones that a person made."""
MAX_SIGN_INS = 10
"""Valid ones that sign-ins made, besides; another one ends the oldest."""
SIGN_IN_US = 24 * 3_600 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token just made; `token` is shown this once."""

    token: str = field(repr=False)
    stored: StoredToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """Who is asking, and the token that they showed; None for a JWT of the issuer."""

    person: Person
    token: StoredToken | None


def recognise(db: Connection, token_hash: str, now_us: int) -> Recognised | None:
    """Whose valid token has this hash."""
    person = find_by_token(db, token_hash, now_us)
    return None if person is None else Recognised(person=person, token=tokens.find_token(db, token_hash))


def make_token(db: Connection, user: UserId, *, name: str, expires_us: int | None, now_us: int) -> NewToken:
    """Make a token of the user. Invalid if it would have expired already; Conflict if there are too many."""
    if expires_us is not None and expires_us <= now_us:
        fault = Fault(loc=("body", "expires_on"), msg="this is in the past", type="value_error")
        raise Invalid(fault)
    tokens.lock_user(db, user)
    tokens.drop_old_tokens(db, user, now_us)
    made_by_hand = [token for token in tokens.valid_tokens(db, user, now_us) if not token.from_sign_in]
    if len(made_by_hand) >= MAX_TOKENS:
        raise Conflict(
            f"you have {len(made_by_hand)} valid tokens, and may have {MAX_TOKENS}: revoke one first",
            code="too_many_tokens",
        )
    token = mint(Bearer.USER)
    stored = tokens.add_token(db, user, token=token, name=name, expires_us=expires_us, now_us=now_us)
    return NewToken(token=token, stored=stored)


def make_sign_in(db: Connection, user: UserId, now_us: int) -> NewToken:
    """Make the token of a sign-in, for a day; where there are too many of them, the oldest end."""
    tokens.lock_user(db, user)
    tokens.drop_old_tokens(db, user, now_us)
    signed_in = [token for token in tokens.valid_tokens(db, user, now_us) if token.from_sign_in]
    for old in signed_in[MAX_SIGN_INS - 1 :]:
        tokens.revoke_token(db, user, old.id, now_us)
    token = mint(Bearer.USER)
    stored = tokens.add_token(
        db,
        user,
        token=token,
        name="sign-in",
        expires_us=now_us + SIGN_IN_US,
        from_sign_in=True,
        now_us=now_us,
    )
    return NewToken(token=token, stored=stored)


def list_tokens(db: Connection, person: Person, now_us: int) -> list[StoredToken]:
    """The person's valid tokens, the newest first."""
    return tokens.valid_tokens(db, person.id, now_us)


def revoke_token(db: Connection, person: Person, token: TokenId, now_us: int) -> None:
    """End a token of the person, in every process at once; NotFound if they have no such valid one."""
    if not tokens.revoke_token(db, person.id, token, now_us):
        raise no_token()


def no_token() -> NotFound:
    """The answer to an id that is nobody's, not a person's own, or that of a token which ended."""
    return NotFound("you have no such valid token", code="token_not_found")
