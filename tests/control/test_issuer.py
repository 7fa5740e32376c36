"""Asking the issuer: bounded in size and time, once in a while, and nobody is believed but it."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.peers.issuer import DOCUMENT, JWKS, SmallIssuer, key_of, signed
from tests.push.receivers import server
from tests.world.clock import TurningClock
from tollway.control.issuer import MAX_ANSWER_BYTES, MAX_AT_ONCE, RETRY_S, Issuer
from tollway.domain.errors import IssuerUnavailable, Unauthenticated
from tollway.domain.identity import Registration
from tollway.domain.token import Secret

BACK = "https://tollway.example.com/v1/auth/callback"
NONCE = "n" * 43
VERIFIER = "v" * 43


@pytest.fixture
async def small() -> AsyncIterator[SmallIssuer]:
    async with SmallIssuer() as running:
        yield running


@pytest.fixture
def clock() -> TurningClock:
    return TurningClock()


@pytest.fixture
def issuer(small: SmallIssuer, clock: TurningClock) -> Issuer:
    return Issuer(registered(small.url), clock)


def registered(url: str, *, is_public: bool = False) -> Registration:
    secret = None if is_public else Secret("a-secret")
    return Registration(issuer=url, client_id="tollway", client_secret=secret, audience="us")


async def begin(issuer: Issuer) -> str:
    return await issuer.sign_in_url(redirect_uri=BACK, state="s", nonce=NONCE, verifier=VERIFIER)


async def redeem(issuer: Issuer) -> Any:  # noqa: ANN401 - an identity, whose fields are asked for
    return await issuer.redeem("a code", redirect_uri=BACK, nonce=NONCE, verifier=VERIFIER)


def id_claims(small: SmallIssuer, clock: TurningClock, **changes: object) -> dict[str, Any]:
    now_s = int(clock.now_s())
    whole = {
        "iss": small.url,
        "aud": "tollway",
        "sub": "ada",
        "iat": now_s,
        "exp": now_s + 300,
        "nonce": NONCE,
        "email": "ada@example.com",
        "email_verified": True,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://eve.example.com"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": "http://192.0.2.1/keys"},
        {"token_endpoint": "http://eve.example.com/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "file:///etc/passwd"},
        {"token_endpoint": 5},
    ],
)
async def test_a_document_that_cannot_be_trusted_is_not(
    issuer: Issuer, small: SmallIssuer, changes: dict[str, object]
) -> None:
    small.answers[DOCUMENT] = small.document | changes
    with pytest.raises(IssuerUnavailable):
        await begin(issuer)
    assert small.asked == [DOCUMENT]


@pytest.mark.parametrize("path", ["/", "/realms/one", "/realms/one/"])
async def test_an_issuer_with_a_path_has_its_document_below_it(
    small: SmallIssuer, clock: TurningClock, path: str
) -> None:
    url = f"{small.url}{path}"
    small.answers[path.rstrip("/") + DOCUMENT] = small.document | {"issuer": url}
    assert (await begin(Issuer(registered(url), clock))).startswith(f"{small.url}/authorize?")


@pytest.mark.parametrize(
    "answer",
    [
        b"<html></html>",
        b"[]",
        b"",
        b'{"keys": []}',
        b'{"keys": 5}',
        b"{" + b" " * MAX_ANSWER_BYTES + b"}",
        web.HTTPServiceUnavailable(),
        web.HTTPFound("https://eve.example.com/keys"),
    ],
)
async def test_an_answer_without_keys_that_can_be_used_is_none(
    issuer: Issuer, small: SmallIssuer, clock: TurningClock, answer: object
) -> None:
    small.answers[JWKS] = answer
    with pytest.raises(IssuerUnavailable):
        await begin(issuer)
    del small.answers[JWKS]
    with pytest.raises(IssuerUnavailable):
        await begin(issuer)  # it is not asked again so soon
    clock.advance(RETRY_S)
    await begin(issuer)


async def test_a_redirect_is_not_followed(issuer: Issuer, small: SmallIssuer) -> None:
    small.answers[DOCUMENT] = web.HTTPFound(f"{small.url}/elsewhere")
    small.answers["/elsewhere"] = small.document
    with pytest.raises(IssuerUnavailable):
        await begin(issuer)
    assert small.asked == [DOCUMENT]


async def test_an_issuer_that_never_answers_is_waited_for_so_long(clock: TurningClock) -> None:
    async def says_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def drips(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    for talk in (says_nothing, drips):
        async with server(talk) as place, asyncio.timeout(2):
            with pytest.raises(IssuerUnavailable):
                await begin(Issuer(registered(f"http://{place}"), clock, deadline_s=0.1))


async def test_a_compressed_answer_is_not_unpacked(issuer: Issuer, small: SmallIssuer) -> None:
    small.answers[DOCUMENT] = gzip.compress(b" " * 10_000_000)
    with pytest.raises(IssuerUnavailable):
        await begin(issuer)


async def test_a_code_is_redeemed_for_who_signed_in(
    issuer: Issuer, small: SmallIssuer, clock: TurningClock
) -> None:
    small.answers["/token"] = {"id_token": signed(id_claims(small, clock)), "access_token": "x"}
    identity = await redeem(issuer)
    assert (identity.issuer, identity.subject, identity.email) == (small.url, "ada", "ada@example.com")


WRONG: dict[str, dict[str, object]] = {
    "another nonce": {"nonce": "x" * 43},
    "no nonce": {"nonce": None},
    "another client": {"aud": "another"},
    "our API": {"aud": "us"},
    "several clients and none named": {"aud": ["another", "tollway"]},
    "another client named": {"aud": ["another", "tollway"], "azp": "another"},
    "another issuer": {"iss": "https://eve.example.com"},
    "the past": {"exp": 1},
    "the future": {"iat": 2**40},
    "no end": {"exp": None},
    "no subject": {"sub": None},
    "a number for a hash": {"at_hash": 5},
    "a list for a hash": {"at_hash": ["x"]},
    "an object for a client": {"azp": {}, "aud": {"tollway": 1}},
    "text for its end": {"exp": "tomorrow"},
    "another access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


@pytest.mark.parametrize("what", WRONG)
async def test_an_id_token_that_is_for_others_is_refused(
    issuer: Issuer, small: SmallIssuer, clock: TurningClock, what: str
) -> None:
    token = signed(id_claims(small, clock, **WRONG[what]))
    small.answers["/token"] = {"id_token": token, "access_token": "x"}
    with pytest.raises(Unauthenticated) as refused:
        await redeem(issuer)
    assert str(refused.value) == "the identity provider's answer cannot be believed: sign in again"


@pytest.mark.parametrize(
    "answer", [{}, {"id_token": None}, {"id_token": 5}, {"id_token": "a.b.c"}, b"no JSON"]
)
async def test_without_an_id_token_nobody_has_signed_in(
    issuer: Issuer, small: SmallIssuer, answer: object
) -> None:
    small.answers["/token"] = answer
    with pytest.raises(Unauthenticated):
        await redeem(issuer)


async def test_an_id_token_of_a_newer_curve_needs_no_hash_that_nobody_specified(
    issuer: Issuer, small: SmallIssuer, clock: TurningClock
) -> None:
    key = key_of("Ed25519", "edwards")
    small.keys = [key]
    token = signed(id_claims(small, clock, at_hash="whatever"), "Ed25519", key)
    small.answers["/token"] = {"id_token": token, "access_token": "x"}
    assert (await redeem(issuer)).subject == "ada"


@pytest.mark.parametrize(
    "told",
    [{"sub": "eve", "email": "ada@example.com", "email_verified": True}, {}, web.HTTPUnauthorized()],
)
async def test_user_info_of_somebody_else_is_not_believed(
    issuer: Issuer, small: SmallIssuer, clock: TurningClock, told: object
) -> None:
    token = signed(id_claims(small, clock, email=None))
    small.answers |= {"/token": {"id_token": token, "access_token": "x"}, "/userinfo": told}
    with pytest.raises(Unauthenticated):
        await redeem(issuer)
    assert small.asked[-1] == "/userinfo"


@pytest.mark.parametrize(
    ("is_public", "methods", "in_header", "in_body"),
    [
        (False, None, True, False),
        (False, ["client_secret_basic", "client_secret_post"], True, False),
        (False, ["client_secret_post"], False, True),
        (True, None, False, False),
    ],
)
async def test_the_client_says_who_it_is_as_the_issuer_wants_it(
    small: SmallIssuer,
    clock: TurningClock,
    is_public: bool,
    methods: list[str] | None,
    in_header: bool,
    in_body: bool,
) -> None:
    if methods is not None:
        small.answers[DOCUMENT] = small.document | {"token_endpoint_auth_methods_supported": methods}
    small.answers["/token"] = {"id_token": signed(id_claims(small, clock))}
    await redeem(Issuer(registered(small.url, is_public=is_public), clock))
    headers, body = small.sent["/token"]
    assert ("Authorization" in headers) == in_header
    assert ("client_secret=a-secret" in body) == in_body
    assert ("client_id=tollway" in body) == (not in_header)
    for said in ("grant_type=authorization_code", "code=a+code", f"code_verifier={VERIFIER}"):
        assert said in body


async def test_so_many_codes_are_redeemed_at_once_and_no_more(
    issuer: Issuer, small: SmallIssuer, clock: TurningClock
) -> None:
    small.answers["/token"] = {"id_token": signed(id_claims(small, clock))}
    await begin(issuer)
    small.pause_s = 0.1
    found = await asyncio.gather(*(redeem(issuer) for _ in range(MAX_AT_ONCE + 3)), return_exceptions=True)
    assert sum(isinstance(each, IssuerUnavailable) for each in found) == 3
    small.pause_s = 0
    assert (await redeem(issuer)).subject == "ada"
