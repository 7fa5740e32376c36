"""`tollway login`: a token for who signs in in the browser that it sends there, and for nobody else."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.peers.provider import CLIENT_ID, CLIENT_SECRET, OpenIDProvider
from tests.web.browser import CALLBACK, Browser, set_right
from tests.world.entries import ON_SQLITE
from tests.world.stage import Stage
from tests.world.waiting import until
from tollway.cli.login import LoginError, log_in
from tollway.cli.main import main
from tollway.domain.token import Bearer, is_minted
from tollway.settings import Settings

Capture = pytest.CaptureFixture[str]


@pytest.fixture
async def provider() -> AsyncIterator[OpenIDProvider]:
    async with OpenIDProvider() as running:
        yield running


@ON_SQLITE
class TestWithAnIssuer:
    @pytest.fixture
    def settings(self, settings: Settings, provider: OpenIDProvider) -> Settings:
        return msgspec.structs.replace(
            settings, oidc_issuer=provider.url, oidc_client_id=CLIENT_ID, oidc_client_secret=CLIENT_SECRET
        )

    async def test_it_has_a_token_once_somebody_has_signed_in(
        self, stage: Stage, provider: OpenIDProvider
    ) -> None:
        set_right(stage)
        provider.register(CLIENT_ID, stage.base + CALLBACK)
        shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(log_in(stage.base, shown.set_result))
        page = urlsplit(await shown)
        browser = Browser(stage)
        answer = await browser.sign_in(f"?{page.query}")
        back = answer.json["continue_at"]
        here = f"http://{urlsplit(back).netloc}/"
        for junk in ("", "?code=", "?code=junk", f"?code={'x' * 5_000}"):
            refused = await browser.get(here + junk)
            assert refused.status == 400
            assert not waiting.done()
        welcome = await browser.get(back)
        assert (welcome.status, b"You are signed in" in welcome.body) == (200, True)
        token = await waiting
        me = await stage.request("GET", "/v1/users/me", token=token)
        assert me.json["email"] == "ada@example.com"

    async def test_the_command_prints_the_token_alone(
        self, stage: Stage, provider: OpenIDProvider, capsys: Capture
    ) -> None:
        set_right(stage)
        provider.register(CLIENT_ID, stage.base + CALLBACK)
        running = asyncio.create_task(asyncio.to_thread(main, ["login", "--no-browser", "--url", stage.base]))
        told = ""

        def is_told() -> bool:
            nonlocal told
            told += capsys.readouterr().err
            return told.endswith("\n")

        await until(is_told)
        page = urlsplit(told.rsplit(maxsplit=1)[-1])
        browser = Browser(stage)
        await browser.get((await browser.sign_in(f"?{page.query}")).json["continue_at"])
        assert await running == 0
        token = capsys.readouterr().out.strip()
        assert is_minted(token, Bearer.USER)
        assert (await stage.request("GET", "/v1/users/me", token=token)).status == 200

    async def test_it_does_not_wait_for_ever(self, stage: Stage) -> None:
        with pytest.raises(LoginError, match=r"nobody signed in within 0\.05 s"):
            await log_in(stage.base, lambda _page: None, patience_s=0.05)


@ON_SQLITE
async def test_where_there_is_no_sign_in_it_says_so_and_exits_1(stage: Stage, capsys: Capture) -> None:
    assert await asyncio.to_thread(main, ["login", "--no-browser", "--url", f"{stage.base}/"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "tollway: there is no sign-in here: the operator makes users, with a token\n"


async def test_where_nobody_is_it_says_so_and_exits_1(provider: OpenIDProvider, capsys: Capture) -> None:
    nowhere = provider.url
    assert await asyncio.to_thread(main, ["login", "--no-browser", "--url", nowhere]) == 1
    assert "tollway: " in capsys.readouterr().err
    await provider.stop()
    assert await asyncio.to_thread(main, ["login", "--no-browser", "--url", nowhere]) == 1
    assert "there is no Tollway to sign in to at this URL" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["tollway.example.com", "http://tollway.example.com", "https://a:b@c"])
def test_a_url_that_a_token_would_not_be_safe_with_exits_2(url: str, capsys: Capture) -> None:
    assert main(["login", "--no-browser", "--url", url]) == 2
    assert capsys.readouterr().err.startswith("tollway: --url: ")
