"""`/v1/apps/{app_id}`: an app's key made anew, and its named access tokens."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from tollway.control import apps_keys
from tollway.control.apps import NewApp
from tollway.control.apps_keys import no_token
from tollway.domain.app import AccessToken, NewAccessToken
from tollway.domain.caller import KeyPermission
from tollway.domain.ids import KeyId, is_id
from tollway.domain.moment import us_of
from tollway.web.api.apps import AppCreated, known_app
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.fields import Body, Instant, Name

router = APIRouter(prefix="/v1/apps/{app_id}", tags=["apps"])


class AccessTokenPut(Body):
    """An access token to be, or to be made anew."""

    name: Annotated[Name, Field(description="What it is for; one of this name ends.")]
    permissions: Annotated[
        list[Literal["inference", "logs"]],
        Field(min_length=1, max_length=10, description="inference: calls and models; logs: reading logs."),
    ]
    expires_on: Annotated[
        Instant | None,
        Field(description="With its zone: 2027-01-01T00:00:00Z; left out or null: never."),
    ] = None


class AccessTokenRevoked(BaseModel):
    """The access token that was ended."""

    id: str


@router.post("/regenerate-key", response_model=AppCreated)
async def regenerate_key(app_id: str, person: ThePerson, world: TheWorld, response: Response) -> NewApp:
    """Make the app's own key anew: it is shown this once, and the old one ends within a second."""
    response.headers["Cache-Control"] = "no-store"
    now_us = world.clock.now_us()
    return await world.database.write(apps_keys.regenerate_key, person, known_app(app_id), now_us)


@router.get("/access-tokens", response_model=list[AccessToken])
async def list_access_tokens(app_id: str, person: ThePerson, world: TheWorld) -> list[AccessToken]:
    """The app's access tokens, the oldest first; expired ones too, until they are deleted."""
    now_us = world.clock.now_us()
    return await world.database.read(apps_keys.list_access_tokens, person, known_app(app_id), now_us)


@router.post("/access-tokens", response_model=NewAccessToken)
async def put_access_token(
    app_id: str, body: AccessTokenPut, person: ThePerson, world: TheWorld, response: Response
) -> NewAccessToken:
    """Make an access token: shown this once. One of the same name ends within a second."""
    response.headers["Cache-Control"] = "no-store"
    return await world.database.write(
        apps_keys.put_access_token,
        person,
        known_app(app_id),
        name=body.name,
        permissions=frozenset(map(KeyPermission, body.permissions)),
        expires_us=None if body.expires_on is None else us_of(body.expires_on),
        now_us=world.clock.now_us(),
    )


@router.delete("/access-tokens/{access_token_id}", response_model=AccessTokenRevoked)
async def revoke_access_token(
    app_id: str, access_token_id: str, person: ThePerson, world: TheWorld
) -> AccessTokenRevoked:
    """End an access token: within a second it answers 401, in every process."""
    app = known_app(app_id)
    if not is_id(access_token_id):
        raise no_token()
    token = KeyId(access_token_id)
    await world.database.write(apps_keys.revoke_access_token, person, app, token, world.clock.now_us())
    return AccessTokenRevoked(id=access_token_id)
