"""`tollway integrations`: what it prints, and with what it exits."""

import asyncio
from pathlib import Path

import pytest

from tests.push.test_worker import put
from tests.refusals import patch
from tests.world.stage import Stage
from tollway.cli.main import main
from tollway.demo.receiver import ScriptedAnswer
from tollway.domain.clock import US_PER_S, SystemClock
from tollway.settings import Settings

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def configured(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command that shall find the stage's database and keys."""
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("TOLLWAY_DATA_DIR", settings.data_dir)
    monkeypatch.setenv("TOLLWAY_PUSH_ALLOW_CIDRS", settings.push_allow_cidrs)
    monkeypatch.chdir(tmp_path)


async def run(*arguments: str) -> int:
    """The command, in a thread: it has a loop of its own."""
    return await asyncio.to_thread(main, ["integrations", *arguments])


async def test_where_all_is_well_it_says_so_and_exits_0(stage: Stage, capsys: Capture) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await put(stage, acme, {"loki": None})
    await stage.settled()
    assert await run("status") == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2
    assert told[0].startswith("acme prom ok; last success 2026-")
    assert told[0].endswith("; protocol 2.0")
    assert told[1] == "acme loki off"


async def test_a_refusal_is_told_in_the_receivers_words_and_exits_1(stage: Stage, capsys: Capture) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    stage.prometheus.scripted.append(ScriptedAnswer(status=401, body="who?"))
    await stage.settled()
    assert await run("status", "--org", "acme") == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("acme prom refused; last success never; lag ")
    assert told[0].endswith("; 401 who?")


async def test_without_receivers_there_is_nothing_to_say(stage: Stage, capsys: Capture) -> None:
    await stage.tenant()
    assert await run("status") == 0
    assert capsys.readouterr().out == ""


async def test_a_probe_is_answered_by_each_stored_receiver(stage: Stage, capsys: Capture) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    stage.clock.advance(SystemClock().now_us() / US_PER_S - stage.clock.now_s())  # that of the command
    stage.loki.scripted.append(ScriptedAnswer(status=503, body="busy"))
    assert await run("test", "--org", acme.org_id) == 1
    told = capsys.readouterr().out.splitlines()
    assert told == ["prom: took the probe: 2.0, 204", "loki: did not take the probe: 503 busy"]
    assert await run("test", "--org", "acme") == 0
    await put(stage, acme, {"loki": None})
    assert await run("test", "--org", "acme") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "loki: off"


async def test_an_organisation_that_is_not_there_or_inactive_is_named(stage: Stage, capsys: Capture) -> None:
    assert await run("status", "--org", "nobody") == 2
    assert "--org: there is no organisation nobody" in capsys.readouterr().err
    acme = await stage.tenant()
    await patch(stage, acme, is_active=False)
    assert await run("test", "--org", "acme") == 2
    assert "can only be read" in capsys.readouterr().err


async def test_a_database_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", f"sqlite:///{tmp_path}/nothing/here.db")
    assert await run("status") == 2
    assert "database_url" in capsys.readouterr().err
