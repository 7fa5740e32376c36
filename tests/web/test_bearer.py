"""Who is asking, by an access token (JWT) of the issuer: what is accepted, and what is a 401."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
import pytest

from tests.peers.issuer import (
    DOCUMENT,
    JWKS,
    SmallIssuer,
    encoded,
    key_of,
    part,
    signed,
    signed_text,
    signed_with_the_public_key,
    unsigned,
)
from tests.peers.provider import AUDIENCE, CLIENT_ID, CLIENT_SECRET, OTHER_CLIENT_ID, OpenIDProvider
from tests.web.browser import Browser, asked, set_right
from tests.world.entries import ON_SQLITE
from tests.world.stage import Answer, Stage
from tollway.control.issuer import FRESH_S, LEEWAY_S, RETRY_S
from tollway.control.sign_in import challenge_of
from tollway.control.signatures import KEY_TYPES
from tollway.settings import Settings

ME = "/v1/users/me"
VERIFIER = "v" * 43
BACK = "http://127.0.0.1:4711/back"
REFUSED = {"detail": "this token is not valid here, or not any more: sign in again"}


@pytest.fixture
async def issuer() -> AsyncIterator[SmallIssuer]:
    async with SmallIssuer() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, issuer: SmallIssuer) -> Settings:
    return msgspec.structs.replace(settings, oidc_issuer=issuer.url, oidc_audience=AUDIENCE)


def claims(stage: Stage, issuer: SmallIssuer, **changes: object) -> dict[str, Any]:
    """Claims that are accepted; a change of None leaves one out."""
    now_s = int(stage.clock.now_s())
    whole = {
        "iss": issuer.url,
        "aud": AUDIENCE,
        "sub": "subject-of-ada",
        "iat": now_s,
        "exp": now_s + 300,
        "email": "ada@example.com",
        "email_verified": True,
        "name": "Ada",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


async def show_me(stage: Stage, token: str) -> Answer:
    return await stage.request("GET", ME, token=token)


async def test_a_token_of_the_issuer_is_accepted_wherever_one_of_ours_is(
    stage: Stage, issuer: SmallIssuer
) -> None:
    token = signed(claims(stage, issuer))
    made = await stage.request("POST", "/v1/orgs", token=token, body={"org_name": "acme"})
    assert made.status == 201, made.body
    me = (await show_me(stage, token)).json
    assert (me["email"], me["org_id"]) == ("ada@example.com", made.json["id"])
    ours = await stage.request("POST", "/v1/users/tokens", token=token, body={"name": "ci"})
    assert (await show_me(stage, ours.json["token"])).json == me
    out = await stage.request("POST", "/v1/auth/logout", token=token)
    assert (out.status, "the identity provider's" in out.json["detail"]) == (400, True)


@ON_SQLITE
@pytest.mark.parametrize("algorithm", KEY_TYPES)
async def test_every_algorithm_that_is_accepted_is(stage: Stage, issuer: SmallIssuer, algorithm: str) -> None:
    key = key_of(algorithm, "of-this-kind")
    issuer.keys = [key_of("RS256", "first"), key]
    answer = await show_me(stage, signed(claims(stage, issuer), algorithm, key))
    assert answer.status == 200, answer.body


async def test_somebody_who_never_signed_in_needs_a_verified_address(
    stage: Stage, issuer: SmallIssuer
) -> None:
    for changes in ({"email": None}, {"email_verified": False}, {"email_verified": None}):
        refused = await show_me(stage, signed(claims(stage, issuer, **changes)))
        assert refused.status == 403
    first = await show_me(stage, signed(claims(stage, issuer)))
    again = await show_me(stage, signed(claims(stage, issuer, email=None, email_verified=None)))
    assert first.json == again.json


FORGED: dict[str, dict[str, object]] = {
    "expired": {"exp": -LEEWAY_S},
    "without an end": {"exp": None},
    "with an end that is no number": {"exp": "2099-01-01"},
    "that never ends": {"exp": float("inf")},
    "not valid yet": {"nbf": LEEWAY_S + 1},
    "from the future": {"iat": LEEWAY_S + 1},
    "of another issuer": {"iss": "https://eve.example.com"},
    "of an issuer like ours": {"iss": "/"},
    "without an issuer": {"iss": None},
    "of many issuers": {"iss": ["x"]},
    "for another audience": {"aud": "https://other.example.com"},
    "for other audiences": {"aud": ["https://other.example.com", "another"]},
    "for an audience that is part of ours": {"aud": AUDIENCE[:-1]},
    "for an object": {"aud": {AUDIENCE: True}},
    "for nobody": {"aud": None},
    "for an empty list": {"aud": []},
    "of nobody": {"sub": None},
    "of an empty subject": {"sub": ""},
    "of a number": {"sub": 7},
    "of a subject with a zero byte": {"sub": "a\0b"},
    "of half a character": {"sub": "\ud800"},
    "of a very long subject": {"sub": "x" * 256},
    "bound to a key": {"cnf": {"jkt": "x"}},
}


@ON_SQLITE
@pytest.mark.parametrize("what", FORGED)
async def test_a_token_with_wrong_claims_is_refused(stage: Stage, issuer: SmallIssuer, what: str) -> None:
    now_s = int(stage.clock.now_s())
    changes = dict(FORGED[what])
    for name in ("exp", "nbf", "iat"):
        if isinstance(changes.get(name), int):
            changes[name] = now_s + int(str(changes[name]))
    if changes.get("iss") == "/":
        changes["iss"] = f"{issuer.url}/"
    answer = await show_me(stage, signed(claims(stage, issuer, **changes)))
    assert (answer.status, answer.json) == (401, REFUSED)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@ON_SQLITE
async def test_clocks_may_differ_a_little(stage: Stage, issuer: SmallIssuer) -> None:
    now_s = int(stage.clock.now_s())
    late = claims(stage, issuer, exp=now_s - LEEWAY_S + 1)
    early = claims(stage, issuer, nbf=now_s + LEEWAY_S, iat=now_s + LEEWAY_S)
    several = claims(stage, issuer, aud=["another", AUDIENCE])
    for good in (late, early, several):
        assert (await show_me(stage, signed(good))).status == 200


@ON_SQLITE
async def test_a_token_that_the_issuer_did_not_sign_is_refused(stage: Stage, issuer: SmallIssuer) -> None:
    good = claims(stage, issuer)
    ours, eves = key_of("RS256", "first"), key_of("PS256", "first")
    token = signed(good)
    head, body, signature = token.split(".")
    changed = part(claims(stage, issuer, sub="subject-of-eve"))
    embedded = eves.as_dict(private=False)
    forged = {
        "alg none": unsigned(good),
        "alg none with a key's id": unsigned(good, kid="first"),
        "alg NONE": unsigned(good, alg="NONE"),
        "alg none and a signature": unsigned(good) + signature,
        "HS256 with the public key": signed_with_the_public_key(good, ours),
        "another key under the same id": signed(good, key=eves),
        "a key in the header": signed(good, key=eves, jwk=embedded),
        "a link to keys in the header": signed(good, key=eves, jku="https://eve.example.com/keys"),
        "an unknown key": signed(good, kid="second"),
        "an algorithm of other keys": signed(good, "ES256", key_of("ES256", "first")),
        "changed claims": f"{head}.{changed}.{signature}",
        "no signature": f"{head}.{body}.",
        "half a signature": token[: -len(signature) // 2],
        "a changed header": f"{part({'alg': 'RS512', 'kid': 'first'})}.{body}.{signature}",
        "an extension": signed(good, crit=["exp"]),
        "an extension of the payload": signed(good, b64=False),
        "a logout token": signed(good, typ="logout+jwt"),
        "a number for a type": signed(good, typ=7),
        "a list for an algorithm": f"{part({'alg': ['RS256']})}.{body}.{signature}",
        "claims that are no object": f"{head}.{part([good])}.{signature}",
        "no JSON": f"{encoded(b'not json')}.{body}.{signature}",
        "no base64": f"ä.{body}.{signature}",
        "dots": "..",
        "a long header": signed(good, x="x" * 600),
    }
    for what, each in forged.items():
        async with stage.client.get(stage.base + ME, headers={"Authorization": f"Bearer {each}"}) as answer:
            assert (answer.status, await answer.json()) == (401, REFUSED), what
    assert (await show_me(stage, token)).status == 200


@ON_SQLITE
async def test_claims_that_the_issuer_signed_and_are_no_object_are_refused(stage: Stage) -> None:
    deep = "[" * 3_000 + "]" * 3_000
    for text in ("[]", "null", "5", "", '"x"', deep, "{"):
        token = signed_text(text)
        assert (await show_me(stage, token)).status == 401, text[:5]


@ON_SQLITE
async def test_a_token_that_names_no_key_is_checked_with_the_only_one_that_fits(
    stage: Stage, issuer: SmallIssuer
) -> None:
    issuer.keys = [key_of("RS256", "first"), key_of("ES256", "other")]
    nameless = signed(claims(stage, issuer), kid=None)
    assert (await show_me(stage, nameless)).status == 200
    issuer.keys = [key_of("RS256", "first"), key_of("PS256", "second")]
    stage.clock.advance(FRESH_S)
    nameless = signed(claims(stage, issuer), kid=None)
    assert (await show_me(stage, nameless)).status == 401


@ON_SQLITE
class TestRotation:
    async def test_a_new_key_is_fetched_when_it_is_first_met(self, stage: Stage, issuer: SmallIssuer) -> None:
        assert (await show_me(stage, signed(claims(stage, issuer)))).status == 200
        fresh = key_of("PS256", "second")
        issuer.keys = [fresh]
        stage.clock.advance(RETRY_S)
        at_once = [show_me(stage, signed(claims(stage, issuer), key=fresh)) for _ in range(5)]
        assert [answer.status for answer in await asyncio.gather(*at_once)] == [200] * 5
        assert issuer.asked.count(JWKS) == 2
        assert (await show_me(stage, signed(claims(stage, issuer)))).status == 401  # the old one is gone

    async def test_the_issuer_is_asked_at_most_once_in_a_while_whatever_callers_send(
        self, stage: Stage, issuer: SmallIssuer
    ) -> None:
        for number in range(30):
            token = signed(claims(stage, issuer), kid=f"unknown-{number}")
            assert (await show_me(stage, token)).status == 401
        assert issuer.asked.count(JWKS) == 1
        stage.clock.advance(RETRY_S - 1)
        await show_me(stage, signed(claims(stage, issuer), kid="unknown"))
        assert issuer.asked.count(JWKS) == 1
        stage.clock.advance(1)
        await asyncio.gather(
            *(show_me(stage, signed(claims(stage, issuer), kid=f"another-{n}")) for n in range(10))
        )
        assert issuer.asked.count(JWKS) == 2

    async def test_a_withdrawn_key_is_not_accepted_for_long(self, stage: Stage, issuer: SmallIssuer) -> None:
        assert (await show_me(stage, signed(claims(stage, issuer)))).status == 200
        issuer.keys = [key_of("PS256", "second")]
        stage.clock.advance(FRESH_S - 1)
        assert (await show_me(stage, signed(claims(stage, issuer)))).status == 200
        stage.clock.advance(1)
        assert (await show_me(stage, signed(claims(stage, issuer)))).status == 401

    async def test_while_the_issuer_is_away_the_keys_that_are_known_serve_on(
        self, stage: Stage, issuer: SmallIssuer
    ) -> None:
        port = urlsplit(issuer.url).port
        assert port is not None
        assert (await show_me(stage, signed(claims(stage, issuer)))).status == 200
        kept = claims(stage, issuer, exp=int(stage.clock.now_s()) + 10 * FRESH_S)
        await issuer.stop()
        stage.clock.advance(5 * FRESH_S)
        assert (await show_me(stage, signed(kept))).status == 200
        assert (await show_me(stage, signed(kept, kid="unknown"))).status == 401
        await issuer.start(port)
        assert (await show_me(stage, signed(kept))).status == 200

    async def test_who_waits_for_an_old_key_s_renewal_is_one_and_the_others_pass(
        self, stage: Stage, issuer: SmallIssuer
    ) -> None:
        assert (await show_me(stage, signed(claims(stage, issuer)))).status == 200
        stage.clock.advance(FRESH_S)
        issuer.pause_s = 0.15
        token = signed(claims(stage, issuer))
        waiting = [asyncio.create_task(show_me(stage, token)) for _ in range(4)]
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert len(rest) >= 1
        assert all(task.result().status == 200 for task in done)
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 4
        assert issuer.asked.count(JWKS) == 2


@ON_SQLITE
async def test_an_issuer_that_was_never_reached_is_a_503_and_is_not_asked_again_and_again(
    stage: Stage, issuer: SmallIssuer
) -> None:
    issuer.answers[DOCUMENT] = b"<html>not ready</html>"
    for _ in range(5):
        answer = await show_me(stage, signed(claims(stage, issuer)))
        assert answer.status == 503
        assert issuer.url not in answer.body.decode()
    assert issuer.asked == [DOCUMENT]
    del issuer.answers[DOCUMENT]
    stage.clock.advance(RETRY_S)
    assert (await show_me(stage, signed(claims(stage, issuer)))).status == 200


@ON_SQLITE
class TestWithoutAnAudience:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, oidc_audience="", oidc_client_id=CLIENT_ID)

    async def test_no_token_of_the_issuer_is_accepted(self, stage: Stage, issuer: SmallIssuer) -> None:
        for audience in (AUDIENCE, "", CLIENT_ID, None):
            answer = await show_me(stage, signed(claims(stage, issuer, aud=audience)))
            assert (answer.status, answer.json) == (401, REFUSED)
        assert issuer.asked == []


@ON_SQLITE
class TestARealProvider:
    @pytest.fixture
    async def issuer(self) -> AsyncIterator[OpenIDProvider]:
        async with OpenIDProvider() as running:
            yield running

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        # This provider names the client that a token was made for as its audience.
        return msgspec.structs.replace(settings, oidc_audience=OTHER_CLIENT_ID)

    async def test_its_access_tokens_are_accepted_and_after_a_rotation_the_new_ones_alone(
        self, stage: Stage, issuer: OpenIDProvider
    ) -> None:
        set_right(stage)
        for client in (CLIENT_ID, OTHER_CLIENT_ID):
            issuer.register(client, BACK)
        before = await access_token(stage, issuer, OTHER_CLIENT_ID)
        assert (await show_me(stage, before)).json["email"] == "ada@example.com"
        others = await access_token(stage, issuer, CLIENT_ID)
        assert (await show_me(stage, others)).status == 401
        issuer.rotate()
        stage.clock.advance(RETRY_S)
        after = await access_token(stage, issuer, OTHER_CLIENT_ID)
        assert (await show_me(stage, after)).status == 200
        assert (await show_me(stage, before)).status == 401


async def access_token(stage: Stage, provider: OpenIDProvider, client: str) -> str:
    """What a client of the provider gets when it signs Ada in by itself."""
    query = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": BACK,
        "scope": "openid email profile",
        "state": "s",
        "nonce": "n",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    url = await Browser(stage).come_back(f"{provider.url}/authorization?{urlencode(query)}")
    form = {
        "grant_type": "authorization_code",
        "code": asked(url, "code"),
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
    }
    basic = {"Authorization": aiohttp.encode_basic_auth(client, CLIENT_SECRET)}
    async with stage.client.post(f"{provider.url}/token", data=form, headers=basic) as answer:
        return str((await answer.json())["access_token"])
