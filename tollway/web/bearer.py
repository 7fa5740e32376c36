"""Who is asking the control plane: the operator, or a person, by bearer token.

Owns reading the header and finding who it belongs to; does not own what they may do
(`control/access.py`).
"""

import contextlib
import secrets
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tollway.control.issuer import Issuer
from tollway.control.sign_in import enter_person, find_person
from tollway.control.tokens import Recognised, recognise
from tollway.domain.caller import Person
from tollway.domain.errors import Forbidden, StoreUnavailable, Unauthenticated
from tollway.domain.ids import TokenId
from tollway.domain.token import Bearer, digest, is_minted
from tollway.store.deployment import operator_token_hash
from tollway.store.tokens import note_use
from tollway.store.trail import OPERATOR, act_as
from tollway.world import World

_scheme = HTTPBearer(
    auto_error=False,
    description="A user's token (`twu_…`), a JWT of the configured issuer, or the operator's token.",
)

_DOTS_OF_A_JWT = 2

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]


def world_of(request: Request) -> World:
    """The world that the app was made for."""
    world: World = request.app.state.world
    return world


TheWorld = Annotated[World, Depends(world_of)]


def issuer_of(request: Request) -> Issuer | None:
    """The OpenID Connect issuer of this process; None where none is configured."""
    issuer: Issuer | None = request.app.state.issuer
    return issuer


TheIssuer = Annotated[Issuer | None, Depends(issuer_of)]


async def recognised(
    credentials: Credentials, world: TheWorld, issuer: TheIssuer, afterwards: BackgroundTasks
) -> Recognised:
    """The signed-in user and what they showed; Unauthenticated if there is none."""
    found = await _found(credentials, world, issuer, afterwards)
    act_as(found.person.id, found.person.email)
    return found


async def _found(
    credentials: Credentials, world: World, issuer: Issuer | None, afterwards: BackgroundTasks
) -> Recognised:
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
    elif issuer is not None and token.count(".") == _DOTS_OF_A_JWT:
        return Recognised(person=await _identified(world, issuer, token), token=None)
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
        act_as(None, OPERATOR)
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


async def _identified(world: World, issuer: Issuer, token: str) -> Person:
    """Whom the issuer's token stands for; one who is new here is let in as by a sign-in."""
    identity = await issuer.identify(token)
    found = await world.database.read(find_person, identity)
    if found is not None:
        return found
    opening, now_us = world.settings.opening, world.clock.now_us()
    return await world.database.write(enter_person, identity, opening, now_us)


async def _note_use(world: World, token: TokenId, now_us: int) -> None:
    """After the answer, so that nobody waits; a use that could not be noted is no loss."""
    with contextlib.suppress(StoreUnavailable):
        await world.database.write(note_use, token, now_us)
