"""Who is asking the control plane: the operator, or a person, by bearer token.

Owns reading the header and finding who it belongs to; does not own what they may do
(`control/access.py`).
"""

import secrets
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tollway.domain.caller import Person
from tollway.domain.errors import Forbidden, Unauthenticated
from tollway.domain.token import Bearer, digest, is_minted
from tollway.store.deployment import operator_token_hash
from tollway.store.users import find_by_token
from tollway.world import World

_scheme = HTTPBearer(auto_error=False, description="A user's token (`twu_…`), or the operator's.")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]


def world_of(request: Request) -> World:
    """The world that the app was made for."""
    world: World = request.app.state.world
    return world


TheWorld = Annotated[World, Depends(world_of)]


async def person(credentials: Credentials, world: TheWorld) -> Person:
    """The signed-in user; Unauthenticated if there is none."""
    token = _token(credentials)
    if is_minted(token, Bearer.USER):
        found = await world.database.read(find_by_token, digest(token), world.clock.now_us())
        if found is not None:
            return found
    elif is_minted(token, Bearer.APP):
        raise Unauthenticated("this is an app key, for inference; here a user's token is needed")
    raise Unauthenticated("nobody has this token, or it is no longer valid")


async def operator(credentials: Credentials, world: TheWorld) -> None:
    """Passes the operator only; Unauthenticated or Forbidden."""
    token = _token(credentials)
    given = world.settings.operator_token
    wanted = digest(given) if given else await world.database.read(operator_token_hash)
    if wanted is not None and secrets.compare_digest(digest(token), wanted):
        return
    if is_minted(token, Bearer.USER) or is_minted(token, Bearer.APP):
        raise Forbidden("only the operator may do this")
    raise Unauthenticated("this is not the operator's token")


ThePerson = Annotated[Person, Depends(person)]
TheOperator = Depends(operator)


def _token(credentials: HTTPAuthorizationCredentials | None) -> str:
    if credentials is None or not credentials.credentials:
        raise Unauthenticated("no token: send 'Authorization: Bearer <token>'")
    return credentials.credentials
