"""Signing in: from the issuer's word who somebody is, to the user that they are here.

Users are keyed by issuer and subject. A subject that is new is matched by its e-mail with a user
whom the operator made, or becomes a new user; only by an address that the issuer has verified,
and never with a user who is another subject of that issuer. Owns these rules and what is
remembered between the two halves of a sign-in; does not own what the issuer says (`issuer.py`).
"""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256

import msgspec
from sqlalchemy import Connection

from tollway.control.tokens import NewToken, make_sign_in
from tollway.control.users import create_user
from tollway.domain.caller import Person
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import BadRequest, Conflict, Forbidden
from tollway.domain.identity import Identity
from tollway.domain.ids import UserId
from tollway.domain.subscription import Opening
from tollway.domain.token import digest
from tollway.store.identities import add_identity, find_identity, has_identity
from tollway.store.tokens import drop_token, lock_user
from tollway.store.users import find_user, users_with_email
from tollway.store.vault import Vault, VaultError

BEGUN_US = 600 * US_PER_S
"""How long a sign-in may take at the issuer."""
HANDED_US = 60 * US_PER_S
"""How long a command line may take to fetch its token."""

_BEGUN = "sign-in begun"
_HANDED = "sign-in handed over"


class CommandLine(msgspec.Struct, frozen=True):
    """A `tollway login` that waits on the loopback; only who knows the verifier gets its token."""

    port: int
    challenge: str


class Begun(msgspec.Struct, frozen=True):
    """What is remembered while a person is at the issuer, by their browser, sealed."""

    nonce: str
    verifier: str
    redirect_uri: str
    until_us: int
    command_line: CommandLine | None = None


class _Handed(msgspec.Struct, frozen=True):
    user: str
    challenge: str
    until_us: int


def sealed_begin(vault: Vault, begun: Begun, state: str) -> str:
    """What the browser keeps: it opens with this state only."""
    return vault.seal(msgspec.json.encode(begun).decode(), (_BEGUN, state))


def opened_begin(vault: Vault, sealed: str | None, state: str, now_us: int) -> Begun:
    """What was begun by this browser with this state; BadRequest."""
    try:
        begun = msgspec.json.decode(vault.open(sealed or "", (_BEGUN, state)).reveal(), type=Begun)
    except (VaultError, UnicodeError):
        begun = None
    if begun is None or now_us >= begun.until_us:
        raise BadRequest(
            "this sign-in was not begun in this browser, or is over: start again at /v1/auth/login",
            code="sign_in_not_begun",
        )
    return begun


def sealed_handover(vault: Vault, user: UserId, challenge: str, now_us: int) -> str:
    """The code by which a command line gets the token of this user."""
    handed = _Handed(user=user, challenge=challenge, until_us=now_us + HANDED_US)
    return vault.seal(msgspec.json.encode(handed).decode(), (_HANDED,))


def opened_handover(vault: Vault, code: str, verifier: str, now_us: int) -> UserId:
    """The user whose code was handed to who knows the verifier; BadRequest."""
    try:
        handed = msgspec.json.decode(vault.open(code, (_HANDED,)).reveal(), type=_Handed)
    except (VaultError, UnicodeError):
        handed = None
    if (
        handed is None
        or now_us >= handed.until_us
        or not hmac.compare_digest(handed.challenge, challenge_of(verifier))
    ):
        raise BadRequest("the code is not of this sign-in, or is over: start again", code="sign_in_not_begun")
    return UserId(handed.user)


def challenge_of(verifier: str) -> str:
    """PKCE's S256, which shows nothing of the verifier."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def sign_in(db: Connection, identity: Identity, opening: Opening, now_us: int) -> NewToken:
    """The token of a person who has just signed in. Forbidden; Conflict."""
    return make_sign_in(db, enter(db, identity, opening, now_us), now_us)


def find_person(db: Connection, identity: Identity) -> Person | None:
    """The user that this subject is; None if it has never been here."""
    user = find_identity(db, identity.issuer, identity.subject)
    return None if user is None else find_user(db, user)


def enter_person(db: Connection, identity: Identity, opening: Opening, now_us: int) -> Person:
    """The same, letting them in if they have never been here. Forbidden; Conflict."""
    found = find_user(db, enter(db, identity, opening, now_us))
    if found is None:
        raise AssertionError("unreachable: an identity is of a user who is there")
    return found


def enter(db: Connection, identity: Identity, opening: Opening, now_us: int) -> UserId:
    """The user that this person is, matched or made at their first time. Forbidden; Conflict.

    `opening` is how the organisation of their own begins.
    """
    known = find_identity(db, identity.issuer, identity.subject)
    if known is not None:
        return known
    if identity.email is None:
        raise Forbidden(
            "the identity provider does not say that your e-mail address is verified: "
            "verify it there, and sign in again",
            code="email_not_verified",
        )
    try:
        user = _matched(db, identity, identity.email)
        if user is None:
            user = _made(db, identity, identity.email, opening, now_us)
    except Conflict:
        # Somebody was quicker: the same person, twice at once.
        known = find_identity(db, identity.issuer, identity.subject)
        if known is None:
            raise
        return known
    if not add_identity(db, user, identity, now_us):
        raise Conflict("you are being signed in by another request: try again", code="sign_in_twice")
    return user


def _matched(db: Connection, identity: Identity, email: str) -> UserId | None:
    """The user with this e-mail whom nobody of the issuer is yet; Conflict if somebody is."""
    found = users_with_email(db, email)
    if not found:
        return None
    for user in found:
        lock_user(db, user)
    if len(found) > 1 or has_identity(db, found[0], identity.issuer):
        raise Conflict(
            "your e-mail address belongs to another account here: ask the operator", code="email_taken"
        )
    return found[0]


def _made(db: Connection, identity: Identity, email: str, opening: Opening, now_us: int) -> UserId:
    made = create_user(db, email=email, name=identity.name, opening=opening, now_us=now_us)
    drop_token(db, digest(made.token))  # nobody was shown it
    return made.id
