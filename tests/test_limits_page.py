"""Each refusal in docs/limits.md is what a caller gets, to the letter."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.refusals import PLANS, REFUSALS, shown
from tests.world.entries import ON_SQLITE
from tests.world.stage import Stage
from tollway.domain.subscription import PlanSettings
from tollway.settings import Settings

PAGE = (Path(__file__).parent.parent / "docs" / "limits.md").read_text("utf-8")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a plan that has an end."""
    return replace(settings, plans={tier: PlanSettings(max_tokens=most) for tier, most in PLANS.items()})


def blocks() -> dict[str, str]:
    """What the page shows under each refusal's heading."""
    found = re.findall(r"^### `([a-z_]+)`([^\n]*)\n(.*?)```http\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)
    return {f"{code}{rest}": block for code, rest, _, block in found}


def test_the_page_shows_all_in_the_order_in_which_they_are_checked() -> None:
    assert list(blocks()) == list(REFUSALS)


@ON_SQLITE
@pytest.mark.parametrize("heading", REFUSALS)
async def test_what_the_page_shows_is_what_a_caller_gets(stage: Stage, heading: str) -> None:
    answer = await REFUSALS[heading](stage, await stage.tenant())
    assert shown(answer) == blocks()[heading]
    assert answer.json["error"]["code"] == heading.partition(",")[0]
