"""What the operator does with users. Owns the operation; does not own the rows."""

from dataclasses import dataclass

from sqlalchemy import Connection

from tollway.control.orgs import create_personal_org
from tollway.domain.ids import UserId
from tollway.domain.subscription import Opening
from tollway.domain.token import Bearer, mint
from tollway.store import users

_UNLIMITED = Opening()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user just made; `token` is shown this once."""

    id: UserId
    email: str
    name: str
    token: str


def create_user(
    db: Connection, *, email: str, name: str, opening: Opening = _UNLIMITED, now_us: int
) -> NewUser:
    """Make a user with a first token and an organisation of their own; Conflict if the e-mail is taken."""
    token = mint(Bearer.USER)
    user = users.create_user(db, email=email, name=name, token=token, now_us=now_us)
    create_personal_org(db, user, email=email, name=name, opening=opening, now_us=now_us)
    return NewUser(id=user, email=email, name=name, token=token)
