"""What a first start makes, and what it says."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.world.clock import TurningClock
from tests.world.stage import OPERATOR_TOKEN
from tollway.cli.first_start import FirstStart, chat_curl, first_start, greeting
from tollway.cli.serve import demo_offered
from tollway.domain.token import Bearer, is_minted
from tollway.settings import Settings
from tollway.world import open_world

BEGUN = FirstStart(operator_token="two_x", user_token="twu_x", app_key="twk_x")


async def starts(settings: Settings, times: int = 2) -> list[FirstStart]:
    """What so many processes make that start one after the other."""
    made = []
    for _ in range(times):
        async with AsyncExitStack() as stack:
            offered = await stack.enter_async_context(demo_offered(settings))
            opened = open_world(offered, clock=TurningClock(), runs_tasks=False)
            made.append(await first_start(await stack.enter_async_context(opened)))
    return made


async def test_only_the_first_start_makes_tokens(settings: Settings) -> None:
    first, second = await starts(replace(settings, operator_token=""))
    assert is_minted(first.operator_token or "", Bearer.OPERATOR)
    assert is_minted(first.user_token or "", Bearer.USER)
    assert is_minted(first.app_key or "", Bearer.APP)
    assert second == FirstStart()


async def test_an_operator_token_that_is_given_is_not_made(settings: Settings) -> None:
    first, second = await starts(settings)
    assert first.operator_token is None
    assert first.user_token
    assert second == FirstStart()


async def test_without_the_demo_there_is_an_operator_only(settings: Settings) -> None:
    first, second = await starts(replace(settings, operator_token="", demo="off"))
    assert first.operator_token
    assert (first.user_token, first.app_key) == (None, None)
    assert second == FirstStart()


async def test_two_processes_that_start_at_once_make_one_operator(settings: Settings, tmp_path: Path) -> None:
    own = replace(settings, operator_token="", demo="off", data_dir=str(tmp_path / "data"))
    async with AsyncExitStack() as stack:
        worlds = [
            await stack.enter_async_context(open_world(own, clock=TurningClock(), runs_tasks=False))
            for _ in range(2)
        ]
        made = await asyncio.gather(*(first_start(world) for world in worlds))
    assert len([begun for begun in made if begun.operator_token]) == 1


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 - only shown
        ("::", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_the_greeting_names_an_address_that_can_be_reached(host: str, shown: str) -> None:
    assert f"listens on {shown} " in greeting(Settings(), host, 80, FirstStart())


def test_the_greeting_shows_what_was_made_and_nothing_else() -> None:
    whole = greeting(Settings(operator_token=OPERATOR_TOKEN), "127.0.0.1", 80, BEGUN)
    assert all(token in whole for token in ("two_x", "twu_x", "twk_x"))
    assert chat_curl("http://127.0.0.1:80", "twk_x") in whole
    assert OPERATOR_TOKEN not in whole
    assert greeting(Settings(), "127.0.0.1", 80, FirstStart()).count("\n") == 0
    only = greeting(Settings(), "127.0.0.1", 80, FirstStart(operator_token="two_x"))
    assert ("two_x" in only, "curl" in only) == (True, False)


def test_the_greeting_warns_of_ranges_that_are_open() -> None:
    text = greeting(Settings(push_allow_cidrs="10.0.0.0/8"), "127.0.0.1", 80, FirstStart())
    assert "Pushes may also go to 10.0.0.0/8" in text
