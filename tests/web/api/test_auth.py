"""Signing in over HTTP with a real OpenID Connect provider, and out again."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from html import unescape
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest
from sqlalchemy import Connection, select

from tests.peers.provider import CLIENT_ID, CLIENT_SECRET, OpenIDProvider
from tests.web.browser import CALLBACK, COOKIE, LOGIN, Browser, asked, set_right
from tests.world.entries import ON_SQLITE
from tests.world.stage import OPERATOR_TOKEN, Stage
from tollway.control.sign_in import BEGUN_US, HANDED_US, challenge_of
from tollway.domain.clock import US_PER_S
from tollway.domain.org import EVERY_PERMISSION
from tollway.domain.token import Bearer, is_minted
from tollway.settings import Settings
from tollway.store.schema import users
from tollway.store.sign_in_schema import identities, user_tokens

ME = "/v1/users/me"
LOGOUT = "/v1/auth/logout"
TOKEN = "/v1/auth/token"
VERIFIER = "what only the command line knows".replace(" ", "-") * 2


@pytest.fixture
async def provider() -> AsyncIterator[OpenIDProvider]:
    async with OpenIDProvider() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, provider: OpenIDProvider) -> Settings:
    return msgspec.structs.replace(
        settings, oidc_issuer=provider.url, oidc_client_id=CLIENT_ID, oidc_client_secret=CLIENT_SECRET
    )


@pytest.fixture
async def stage(stage: Stage, provider: OpenIDProvider) -> Stage:
    set_right(stage)
    provider.register(CLIENT_ID, stage.base + CALLBACK)
    return stage


async def emails(stage: Stage) -> list[str]:
    def read(db: Connection) -> list[str]:
        return list(db.execute(select(users.c.email).order_by(users.c.email)).scalars())

    return await stage.world.database.read(read)


async def me(stage: Stage, token: str) -> dict[str, object]:
    answer = await stage.request("GET", ME, token=token)
    assert answer.status == 200, answer.body
    shown: dict[str, object] = answer.json
    return shown


async def test_a_new_person_signs_in_and_has_a_token_for_a_day(stage: Stage) -> None:
    answer = await Browser(stage).sign_in()
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    token = answer.json["token"]
    assert is_minted(token, Bearer.USER)
    assert (answer.json["name"], answer.json["from_sign_in"]) == ("sign-in", True)
    (own,) = (await stage.request("GET", "/v1/orgs/list", token=token)).json
    assert own["is_personal_org"]
    assert await me(stage, token) == {
        "id": own["auth0_id"],
        "email": "ada@example.com",
        "name": "Ada",
        "org_id": own["org_id"],
        "permissions": sorted(EVERY_PERMISSION),
    }
    stage.clock.advance(86_400)
    assert (await stage.request("GET", ME, token=token)).status == 401


async def test_the_second_time_is_the_same_person_whatever_the_address_has_become(
    stage: Stage, provider: OpenIDProvider
) -> None:
    first = await Browser(stage).sign_in()
    provider.people["ada"].update(email="ada@elsewhere.example.com", email_verified=False)
    second = await Browser(stage).sign_in()
    assert first.json["token"] != second.json["token"]
    assert await me(stage, first.json["token"]) == await me(stage, second.json["token"])
    assert await emails(stage) == ["ada@example.com"]


async def test_only_tokens_that_somebody_was_shown_are_stored(stage: Stage) -> None:
    await Browser(stage).sign_in()

    def names(db: Connection) -> list[str]:
        return list(db.execute(select(user_tokens.c.name)).scalars())

    assert await stage.world.database.read(names) == ["sign-in"]


async def test_a_browser_is_shown_a_page_that_nobody_else_may_keep_or_frame(stage: Stage) -> None:
    browser = Browser(stage, accept="text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
    answer = await browser.sign_in()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    found = re.search(r"<code>(twu_\w+)</code>", answer.body.decode())
    assert found
    assert (await me(stage, found[1]))["email"] == "ada@example.com"
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert browser.cookie is None  # it has served


async def test_a_user_whom_the_operator_made_is_matched_by_a_verified_address(stage: Stage) -> None:
    made = await stage.user("Ada@Example.com")
    signed_in = await Browser(stage).sign_in()
    assert await me(stage, signed_in.json["token"]) == await me(stage, made)
    assert await emails(stage) == ["Ada@Example.com"]


@ON_SQLITE
@pytest.mark.parametrize("verified", [False, None, "true", 1])
async def test_an_address_that_is_not_verified_takes_no_account_and_makes_none(
    stage: Stage, provider: OpenIDProvider, verified: object
) -> None:
    theirs = await stage.user("ada@example.com")
    provider.people["ada"]["email_verified"] = verified
    refused = await Browser(stage).sign_in()
    assert (refused.status, "token" in refused.json) == (403, False)
    assert "verify it there" in refused.json["detail"]
    provider.people["ada"]["email"] = "nobody@example.com"
    assert (await Browser(stage).sign_in()).status == 403
    assert await emails(stage) == ["ada@example.com"]
    assert (await me(stage, theirs))["email"] == "ada@example.com"


@ON_SQLITE
async def test_another_subject_with_the_same_address_does_not_get_the_account(
    stage: Stage, provider: OpenIDProvider
) -> None:
    assert (await Browser(stage).sign_in()).status == 200
    provider.people["eve"] = {"email": "ADA@example.com", "email_verified": True, "name": "Eve"}
    provider.user = "eve"
    refused = await Browser(stage).sign_in()
    assert refused.status == 409
    assert "belongs to another account" in refused.json["detail"]
    assert len(await emails(stage)) == 1


@ON_SQLITE
async def test_without_an_address_nobody_is_let_in(stage: Stage, provider: OpenIDProvider) -> None:
    provider.people["ada"] = {"name": "Ada"}
    assert (await Browser(stage).sign_in()).status == 403
    assert await emails(stage) == []


async def test_one_person_who_signs_in_many_times_at_once_is_one_user(stage: Stage) -> None:
    browsers = [Browser(stage) for _ in range(4)]
    back = [await browser.come_back(await browser.begin()) for browser in browsers]
    answers = await asyncio.gather(*(browser.get(url) for browser, url in zip(browsers, back, strict=True)))
    assert [answer.status for answer in answers] == [200] * 4
    assert await emails(stage) == ["ada@example.com"]


@ON_SQLITE
async def test_the_way_to_the_provider_has_all_that_makes_it_safe(
    stage: Stage, provider: OpenIDProvider
) -> None:
    browser = Browser(stage)
    first, second = await browser.begin(), await browser.begin()
    assert first.startswith(f"{provider.url}/authorization?")
    assert asked(first, "redirect_uri") == stage.base + CALLBACK
    assert asked(first, "response_type") == "code"
    assert set(asked(first, "scope").split()) == {"openid", "email", "profile"}
    assert asked(first, "code_challenge_method") == "S256"
    for name in ("state", "nonce", "code_challenge"):
        assert asked(first, name) != asked(second, name)
        assert len(asked(first, name)) == 43
    kept = browser.set_cookie
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/v1/auth;", "Max-Age=600"):
        assert attribute in kept
    assert "Secure" not in kept  # this stage is plain http
    for secret in (asked(second, "nonce"), asked(second, "state")):
        assert secret not in kept


@ON_SQLITE
class TestBehindAProxy:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, public_url="https://tollway.example.com/gateway/")

    async def test_the_way_back_is_by_the_public_url(self, stage: Stage) -> None:
        browser = Browser(stage)
        url = await browser.begin()
        assert asked(url, "redirect_uri") == f"https://tollway.example.com/gateway{CALLBACK}"
        assert "Path=/gateway/v1/auth;" in browser.set_cookie
        assert "Secure" in browser.set_cookie


Spoil = Callable[[Browser, str], str]


def _without_cookie(browser: Browser, url: str) -> str:
    browser.cookie = None
    return url


def _with_junk_for_a_cookie(browser: Browser, url: str) -> str:
    browser.cookie = "v1.0.junk"
    return url


def _with_another_state(_browser: Browser, url: str) -> str:
    return url.replace(asked(url, "state"), "x" * 43)


def _without_state(_browser: Browser, url: str) -> str:
    return url.replace("state=", "stat=")


def _from_another_issuer(_browser: Browser, url: str) -> str:
    return re.sub(r"iss=[^&]*", "iss=https://eve.example.com", url)


@ON_SQLITE
@pytest.mark.parametrize(
    "spoil",
    [_without_cookie, _with_junk_for_a_cookie, _with_another_state, _without_state, _from_another_issuer],
)
async def test_a_callback_that_this_browser_did_not_begin_is_refused_and_redeems_nothing(
    stage: Stage, provider: OpenIDProvider, spoil: Spoil
) -> None:
    browser = Browser(stage)
    url = await browser.come_back(await browser.begin())
    refused = await browser.get(spoil(browser, url))
    assert (refused.status, list(refused.json)) == (400, ["detail"])
    assert "/token" not in provider.asked
    assert await emails(stage) == []


@ON_SQLITE
async def test_a_sign_in_is_over_after_ten_minutes_and_a_code_is_used_once(stage: Stage) -> None:
    browser = Browser(stage)
    url = await browser.come_back(await browser.begin())
    kept = browser.cookie
    assert (await browser.get(url)).status == 200
    browser.cookie = kept
    again = await browser.get(url)
    assert (again.status, again.json["detail"]) == (
        401,
        "the identity provider did not accept this sign-in: start again",
    )
    browser.cookie = kept
    stage.clock.advance(BEGUN_US / US_PER_S)
    assert (await browser.get(url)).status == 400


@ON_SQLITE
async def test_what_the_provider_refuses_is_not_echoed(stage: Stage) -> None:
    browser = Browser(stage)
    state = asked(await browser.begin(), "state")
    said = urlencode({"error": "<script>access_denied", "state": state})
    refused = await browser.get(f"{stage.base}{CALLBACK}?{said}")
    assert (refused.status, refused.json) == (401, {"detail": "the identity provider did not sign you in"})


@ON_SQLITE
async def test_a_code_of_another_sign_in_is_refused_by_its_verifier(stage: Stage) -> None:
    eve, ada = Browser(stage), Browser(stage)
    hers = await eve.come_back(await eve.begin())
    url = await ada.come_back(await ada.begin())
    mixed = f"{stage.base}{CALLBACK}?" + urlencode(
        {"code": asked(hers, "code"), "state": asked(url, "state")}
    )
    assert (await ada.get(mixed)).status == 401


@ON_SQLITE
class TestUserInfo:
    @pytest.fixture
    async def provider(self) -> AsyncIterator[OpenIDProvider]:
        provider = OpenIDProvider()
        provider.id_token_claims = []
        async with provider:
            yield provider

    async def test_what_the_id_token_does_not_say_is_asked_for(
        self, stage: Stage, provider: OpenIDProvider
    ) -> None:
        answer = await Browser(stage).sign_in()
        assert answer.status == 200, answer.body
        assert "/userinfo" in provider.asked
        assert (await me(stage, answer.json["token"]))["email"] == "ada@example.com"


async def test_signing_out_ends_the_token_in_use_and_no_other(stage: Stage) -> None:
    first, second = [(await Browser(stage).sign_in()).json for _ in range(2)]
    out = await stage.request("POST", LOGOUT, token=first["token"])
    assert (out.status, out.json) == (200, {"id": first["id"]})
    assert (await stage.request("GET", ME, token=first["token"])).status == 401
    assert (await stage.request("GET", ME, token=second["token"])).status == 200
    assert (await stage.request("POST", LOGOUT, token=first["token"])).status == 401


async def command_line(stage: Stage, port: int = 4711) -> str:
    """Where the browser is told to go on, for a command line that waits."""
    browser = Browser(stage)
    answer = await browser.sign_in(f"?port={port}&challenge={challenge_of(VERIFIER)}")
    assert answer.status == 200, answer.body
    url: str = answer.json["continue_at"]
    return url


async def test_a_command_line_gets_its_token_for_what_only_it_knows(stage: Stage) -> None:
    url = await command_line(stage)
    assert (urlsplit(url).hostname, urlsplit(url).port) == ("127.0.0.1", 4711)
    assert "twu_" not in url
    body = {"code": asked(url, "code"), "verifier": VERIFIER}
    wrong = await stage.request("POST", TOKEN, body=body | {"verifier": "x" * 43})
    assert wrong.status == 400
    got = await stage.request("POST", TOKEN, body=body)
    assert (got.status, got.headers["Cache-Control"]) == (201, "no-store")
    assert (await me(stage, got.json["token"]))["email"] == "ada@example.com"


@ON_SQLITE
async def test_a_command_line_has_a_minute_and_no_use_for_another_code(stage: Stage) -> None:
    url = await command_line(stage)
    for code in ("", "junk", "v1.0.junk", asked(url, "code")[:-2], OPERATOR_TOKEN):
        body = {"code": code, "verifier": VERIFIER}
        assert (await stage.request("POST", TOKEN, body=body)).status == 400
    stage.clock.advance(HANDED_US / US_PER_S)
    body = {"code": asked(url, "code"), "verifier": VERIFIER}
    assert (await stage.request("POST", TOKEN, body=body)).status == 400


@ON_SQLITE
async def test_whatever_a_stranger_sends_is_a_refusal(stage: Stage) -> None:
    verifier = b"v" * 43
    for data in (
        b'{"code": "\\ud800", "verifier": "%s"}' % verifier,
        b'{"code": "v1.\xc3\xbc.\xc3\xbc", "verifier": "%s"}' % verifier,
        b'{"code": "x", "verifier": "\\ud800%s"}' % verifier,
        b'{"code": "x", "verifier": "%s", "more": 1}' % verifier,
        b'{"code": "%s", "verifier": "%s"}' % (b"x" * 5_000, verifier),
        b'{"code": "v1.',
        b"[]",
    ):
        answer = await stage.request("POST", TOKEN, data=data, headers={"Content-Type": "application/json"})
        assert answer.status in (400, 422), data
    for query in ("state=%ff&code=x", "state=%ed%a0%80&code=x", "code=x&state=x&state=y", "iss=%00&code=%00"):
        answer = await stage.request(
            "GET", f"{CALLBACK}?{query}", headers={"Cookie": f"{COOKIE}=\xff.\xff; {COOKIE}=x"}
        )
        assert answer.status == 400, query
    assert (await stage.request("GET", f"{CALLBACK}?state={'x' * 5_000}")).status == 422


@ON_SQLITE
async def test_a_person_is_asked_before_a_command_line_is_signed_in(stage: Stage) -> None:
    browser = Browser(stage, accept="text/html")
    answer = await browser.sign_in(f"?port=4711&challenge={challenge_of(VERIFIER)}")
    text = answer.body.decode()
    assert "only if you have just started" in text
    found = re.search(r'<a href="([^"]+)">', text)
    assert found
    code = asked(unescape(found[1]), "code")
    got = await stage.request("POST", TOKEN, body={"code": code, "verifier": VERIFIER})
    assert got.status == 201


@ON_SQLITE
@pytest.mark.parametrize(
    "query",
    [
        "?port=4711",
        f"?challenge={'x' * 43}",
        f"?port=80&challenge={'x' * 43}",
        f"?port=70000&challenge={'x' * 43}",
        "?port=4711&challenge=short",
        f"?port=4711&challenge={'/' * 43}",
    ],
)
async def test_a_command_line_names_a_port_and_a_challenge_or_neither(stage: Stage, query: str) -> None:
    assert (await stage.request("GET", LOGIN + query)).status == 422


@ON_SQLITE
async def test_while_the_provider_is_away_there_is_no_sign_in_and_then_there_is(
    stage: Stage, provider: OpenIDProvider
) -> None:
    port = urlsplit(provider.url).port
    assert port is not None
    await provider.stop()
    away = await stage.request("GET", LOGIN)
    assert (away.status, away.json["detail"]) == (
        503,
        "the identity provider is not available; try again shortly",
    )
    await provider.start(port)
    stage.clock.advance(10)
    assert (await Browser(stage).sign_in()).status == 200


@ON_SQLITE
class TestWithoutAnIssuer:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, oidc_issuer="", oidc_client_id="", oidc_client_secret="")

    async def test_the_operator_makes_users(self, stage: Stage) -> None:
        for path in (LOGIN, f"{CALLBACK}?code=x&state=y"):
            answer = await stage.request("GET", path)
            assert (answer.status, "the operator makes users" in answer.json["detail"]) == (404, True)
        token = await stage.user()
        assert (await stage.request("GET", ME, token=token)).status == 200
        assert (await stage.request("POST", LOGOUT, token=token)).status == 200
        assert (await stage.request("GET", ME, token="a.b.c")).status == 401


async def test_who_somebody_is_is_stored_by_issuer_and_subject(
    stage: Stage, provider: OpenIDProvider
) -> None:
    await Browser(stage).sign_in()

    def read(db: Connection) -> tuple[str, str]:
        row = db.execute(select(identities)).one()
        return row.issuer, row.subject

    issuer, subject = await stage.world.database.read(read)
    assert issuer == provider.url
    assert subject not in ("", "ada@example.com")
