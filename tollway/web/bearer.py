"""Who is asking the control plane: the operator, or a person, by bearer token.

Owns reading the header and finding who it belongs to; does not own what they may do
(`control/access.py`).
"""

import contextlib
import secrets
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tollway.control.tokens import Recognised, recognise
from tollway.domain.caller import Person
from tollway.domain.errors import Forbidden, StoreUnavailable, Unauthenticated
from tollway.domain.ids import TokenId
from tollway.domain.token import Bearer, digest, is_minted
from tollway.store.deployment import operator_token_hash
from tollway.store.tokens import note_use
from tollway.world import World

_scheme = HTTPBearer(auto_error=False, description="A user's token (`twu_…`), or the operator's.")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]


def world_of(request: Request) -> World:
    """The world that the app was made for."""
    world: World = request.app.state.world
    return world


TheWorld = Annotated[World, Depends(world_of)]


async def recognised(credentials: Credentials, world: TheWorld, afterwards: BackgroundTasks) -> Recognised:
    """The signed-in user and what they showed; Unauthenticated if there is none."""
    token = _token(credentials)
    if is_minted(token, Bearer.USER):
        now_us = world.clock.now_us()
        found = await world.database.read(recognise, digest(token), now_us)
        if found is not None:
            if found.token is not None and not found.token.is_use_noted(now_us):
                afterwards.add_task(_note_use, world, found.token.id, now_us)
            return found
    elif is_minted(token, Bearer.APP):
        raise Unauthenticated("this is an app key, for inference; here a user's token is needed")
    raise Unauthenticated("nobody has this token, or it is no longer valid")


TheRecognised = Annotated[Recognised, Depends(recognised)]


async def person(found: TheRecognised) -> Person:
    """The signed-in user; Unauthenticated if there is none."""
    return found.person


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


async def _note_use(world: World, token: TokenId, now_us: int) -> None:
    """After the answer, so that nobody waits; a use that could not be noted is no loss."""
    with contextlib.suppress(StoreUnavailable):
        await world.database.write(note_use, token, now_us)
