"""`/v1/users/me` and `/v1/users/tokens`: who one is, and one's personal access tokens."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from tollway.control import tokens
from tollway.control.tokens import NewToken, Recognised, no_token
from tollway.domain.clock import moment
from tollway.domain.ids import TokenId, is_id
from tollway.domain.moment import us_of
from tollway.store.tokens import StoredToken
from tollway.web.bearer import ThePerson, TheRecognised, TheWorld
from tollway.web.fields import Body, Instant, Name

router = APIRouter(prefix="/v1/users", tags=["users"])


class TokenCreate(Body):
    """A token to be."""

    name: Annotated[Name, Field(description="What it is for, so that you know it again.")]
    expires_on: Annotated[
        Instant | None,
        Field(description="With its zone: 2027-01-01T00:00:00Z; left out or null: never."),
    ] = None


class TokenShown(BaseModel):
    """A valid token; never the token itself."""

    id: str
    name: str
    token_end: Annotated[str, Field(description="Its last four characters.")]
    added_on: datetime
    expires_on: datetime | None
    last_used: Annotated[datetime | None, Field(description="To the minute or so; null: not yet.")]
    from_sign_in: Annotated[bool, Field(description="Made by a sign-in, for a day.")]
    is_current: Annotated[bool, Field(description="The one that this request was made with.")]


class TokenCreated(TokenShown):
    """A new token; `token` is shown this once."""

    token: str


class Tokens(BaseModel):
    """The valid ones, the newest first."""

    tokens: list[TokenShown]


class TokenRevoked(BaseModel):
    """The token that was ended."""

    id: str


class Me(BaseModel):
    """Who the token stands for."""

    id: str
    email: str
    name: str
    org_id: Annotated[str | None, Field(description="The current organisation; null: none yet.")]
    permissions: Annotated[list[str], Field(description="In the current organisation.")]


@router.get("/me", response_model=Me)
async def show_me(person: ThePerson) -> Me:
    """The signed-in user."""
    return Me(
        id=person.id,
        email=person.email,
        name=person.name,
        org_id=person.org_id,
        permissions=sorted(person.permissions),
    )


@router.get("/tokens", response_model=Tokens)
async def list_tokens(found: TheRecognised, world: TheWorld) -> Tokens:
    """One's valid tokens, the newest first."""
    valid = await world.database.read(tokens.list_tokens, found.person, world.clock.now_us())
    return Tokens(tokens=[_shown(token, found) for token in valid])


@router.post("/tokens", status_code=201, response_model=TokenCreated)
async def make_token(
    body: TokenCreate, found: TheRecognised, world: TheWorld, response: Response
) -> TokenCreated:
    """Make a token that stands for oneself."""
    response.headers["Cache-Control"] = "no-store"
    made = await world.database.write(
        tokens.make_token,
        found.person.id,
        name=body.name,
        expires_us=None if body.expires_on is None else us_of(body.expires_on),
        now_us=world.clock.now_us(),
    )
    return created(made, found)


@router.delete("/tokens/{token_id}", response_model=TokenRevoked)
async def revoke_token(token_id: str, person: ThePerson, world: TheWorld) -> TokenRevoked:
    """End one of one's tokens, at once and in every process."""
    if not is_id(token_id):
        raise no_token()
    await world.database.write(tokens.revoke_token, person, TokenId(token_id), world.clock.now_us())
    return TokenRevoked(id=token_id)


def created(made: NewToken, found: Recognised | None = None) -> TokenCreated:
    """A new token as it is answered."""
    return TokenCreated(token=made.token, **_shown(made.stored, found).model_dump())


def _shown(token: StoredToken, found: Recognised | None) -> TokenShown:
    return TokenShown(
        id=token.id,
        name=token.name,
        token_end=token.token_end,
        added_on=moment(token.added_us),
        expires_on=None if token.expires_us is None else moment(token.expires_us),
        last_used=None if token.last_used_us is None else moment(token.last_used_us),
        from_sign_in=token.from_sign_in,
        is_current=found is not None and found.token is not None and found.token.id == token.id,
    )
