"""`/v1/auth`: signing in with the configured OpenID Connect issuer, and out again.

A browser goes to `login`, from there to the issuer, and comes back to `callback`, which gives it
a token. What is remembered meanwhile is in a sealed cookie, so that any process may answer.
"""

import secrets
from html import escape
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Cookie, Query, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import JSONResponse, RedirectResponse, Response

from tollway.control import sign_in
from tollway.control.issuer import Issuer
from tollway.control.sign_in import BEGUN_US, Begun, CommandLine
from tollway.control.tokens import make_sign_in, revoke_token
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import BadRequest, Fault, Invalid, NotFound, Unauthenticated
from tollway.web.api.tokens import TokenCreated, TokenRevoked, created
from tollway.web.bearer import TheIssuer, TheRecognised, TheWorld
from tollway.web.fields import Body
from tollway.web.page import PRIVATE, page
from tollway.world import World

router = APIRouter(prefix="/v1/auth", tags=["auth"])

_COOKIE = "tollway_sign_in"
_PATH = "/v1/auth"
_SECRET_BYTES = 32

Challenge = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
Verifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.~-]{43,128}$")]
FromIssuer = Annotated[str | None, Query(max_length=4_096)]


class HandedOver(Body):
    """What a command line got from the browser, and what only it knows."""

    code: Annotated[str, Field(max_length=4_096)]
    verifier: Verifier


class SignedInAt(BaseModel):
    """For a command line that waits: where the browser brings its code to."""

    continue_at: str


@router.get("/login", status_code=303, response_class=RedirectResponse)
async def login(
    request: Request,
    world: TheWorld,
    configured: TheIssuer,
    port: Annotated[
        int | None,
        Query(ge=1024, le=65535, description="Of a command line that waits on this machine's loopback."),
    ] = None,
    challenge: Annotated[
        Challenge | None, Query(description="S256 of what it will show at /v1/auth/token.")
    ] = None,
) -> Response:
    """Go to the identity provider to sign in; for browsers, not for scripts."""
    issuer = _issuer(configured)
    if (port is None) != (challenge is None):
        raise Invalid(
            Fault(loc=("query", "challenge"), msg="port and challenge belong together", type="value_error")
        )
    state, nonce, verifier = (secrets.token_urlsafe(_SECRET_BYTES) for _ in range(3))
    base = _base(request, world)
    begun = Begun(
        nonce=nonce,
        verifier=verifier,
        redirect_uri=f"{base}{_PATH}/callback",
        until_us=world.clock.now_us() + BEGUN_US,
        command_line=CommandLine(port=port, challenge=challenge) if port and challenge else None,
    )
    url = await issuer.sign_in_url(
        redirect_uri=begun.redirect_uri, state=state, nonce=nonce, verifier=verifier
    )
    answer = RedirectResponse(url, 303, {**PRIVATE})
    answer.set_cookie(
        _COOKIE,
        sign_in.sealed_begin(world.vault, begun, state),
        max_age=BEGUN_US // US_PER_S,
        path=_cookie_path(base),
        secure=base.startswith("https:"),
        httponly=True,
        samesite="lax",  # it must come along when the issuer sends the browser back
    )
    return answer


@router.get(
    "/callback",
    response_model=TokenCreated | SignedInAt,
    responses={200: {"content": {"text/html": {}}}},
)
async def callback(
    request: Request,
    world: TheWorld,
    configured: TheIssuer,
    code: FromIssuer = None,
    state: FromIssuer = None,
    error: FromIssuer = None,
    iss: FromIssuer = None,
    tollway_sign_in: Annotated[str | None, Cookie(include_in_schema=False)] = None,
) -> Response:
    """Where the identity provider sends the browser back to: a token for a day, as a page or as JSON."""
    issuer = _issuer(configured)
    now_us = world.clock.now_us()
    begun = sign_in.opened_begin(world.vault, tollway_sign_in, state or "", now_us)
    if error is not None or code is None:
        raise Unauthenticated("the identity provider did not sign you in", code="sign_in_failed")
    if iss is not None and iss != issuer.registration.issuer:
        raise BadRequest("this is the answer of another identity provider", code="sign_in_not_begun")
    identity = await issuer.redeem(
        code, redirect_uri=begun.redirect_uri, nonce=begun.nonce, verifier=begun.verifier
    )
    opening = world.settings.opening
    wants_page = "text/html" in request.headers.get("accept", "")
    if begun.command_line is not None:
        person = await world.database.write(sign_in.enter_person, identity, opening, now_us)
        handed = sign_in.sealed_handover(world.vault, person.id, begun.command_line.challenge, now_us)
        answer = _handed_over(f"http://127.0.0.1:{begun.command_line.port}/?code={handed}", wants_page)
    else:
        made = created(await world.database.write(sign_in.sign_in, identity, opening, now_us))
        answer = _signed_in(made, wants_page)
    answer.delete_cookie(_COOKIE, path=_cookie_path(begun.redirect_uri.removesuffix(f"{_PATH}/callback")))
    return answer


@router.post("/token", status_code=201, response_model=TokenCreated)
async def take_over(body: HandedOver, world: TheWorld, response: Response) -> TokenCreated:
    """The token of a sign-in that a command line began."""
    response.headers.update(PRIVATE)
    now_us = world.clock.now_us()
    # Before the database is asked: anybody may try a code.
    user = sign_in.opened_handover(world.vault, body.code, body.verifier, now_us)
    made = await world.database.write(make_sign_in, user, now_us)
    return created(made)


@router.post("/logout", response_model=TokenRevoked)
async def logout(found: TheRecognised, world: TheWorld) -> TokenRevoked:
    """End the token that this request is made with, at once and in every process."""
    if found.token is None:
        raise BadRequest(
            "this token is the identity provider's: it ends by itself, or there", code="not_our_token"
        )
    await world.database.write(revoke_token, found.person, found.token.id, world.clock.now_us())
    return TokenRevoked(id=found.token.id)


def _issuer(configured: Issuer | None) -> Issuer:
    if configured is None or not configured.registration.client_id:
        raise NotFound(
            "there is no sign-in here: the operator makes users, with a token", code="sign_in_not_configured"
        )
    return configured


def _base(request: Request, world: World) -> str:
    return (world.settings.public_url or str(request.base_url)).rstrip("/")


def _cookie_path(base: str) -> str:
    return f"{urlsplit(base).path}{_PATH}"


def _signed_in(made: TokenCreated, wants_page: bool) -> Response:
    if not wants_page:
        return JSONResponse(made.model_dump(mode="json"), headers=PRIVATE)
    return page(
        "You are signed in",
        "Your token, for a day. It is shown this once:",
        f"<code>{escape(made.token)}</code>",
        "Send it as <code>Authorization: Bearer …</code>; for scripts, make one of their own with "
        "<code>POST /v1/users/tokens</code>; end it with <code>POST /v1/auth/logout</code>.",
    )


def _handed_over(url: str, wants_page: bool) -> Response:
    if not wants_page:
        return JSONResponse({"continue_at": url}, headers=PRIVATE)
    # A click, so that nobody is signed in at a command line by a link that somebody sent them.
    return page(
        "Sign in at the command line?",
        "Go on only if you have just started <code>tollway login</code> on this machine yourself.",
        f'<a href="{escape(url)}">Sign in</a>',
    )
