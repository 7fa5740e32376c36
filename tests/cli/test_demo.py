"""`tollway demo`: the story is told to its end."""

import re

import pytest

from tollway.cli.demo import run_demo
from tollway.settings import Settings


def test_the_demo_tells_one_story_and_the_numbers_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(Settings()) == 0
    told = capsys.readouterr().out
    assert re.findall(r"^(\d)\. ", told, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert "< You said: Who pays for it?" in told
    shown = dict(re.findall(r"^   (\w+) +([\d.]+)$", told, re.MULTILINE))
    summed = dict(re.findall(r"^   sum\((\w+)\) = (\S+)$", told, re.MULTILINE))
    assert shown["num_requests"] == summed["tollway_requests_total"] == "3"
    tokens = int(shown["prompt_tokens"]) + int(shown["completion_tokens"])
    assert float(summed["tollway_tokens_total"]) == tokens
    assert float(summed["tollway_cost_usd_total"]) == float(shown["total_tokens_cost"])
    assert len(re.findall(r"^   \S.*demo/small.*$", told.partition("5. ")[2], re.MULTILINE)) == 3
