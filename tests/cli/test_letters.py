"""`tollway letters`: what it shows, and that a letter which was given up gets another chance."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.notices.offices import post, row, write
from tests.peers.mail import MailPeer
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import make_org
from tollway.cli.main import main
from tollway.domain.ids import OrgId
from tollway.settings import Settings
from tollway.store.database import Database

Capture = pytest.CaptureFixture[str]
BILLING = "billing@example.com"
AT = "2026-03-10T12:00:00.000000Z"


@pytest.fixture(autouse=True)
def configured(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command that shall find the database."""
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", settings.database_url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def peer() -> AsyncIterator[MailPeer]:
    async with MailPeer() as started:
        yield started


@pytest.fixture
def acme(database: Database) -> OrgId:
    return database.write_here(partial(make_org, billing_email=BILLING))


async def run(*arguments: str) -> int:
    """The command, in a thread: it has a loop of its own."""
    return await asyncio.to_thread(main, ["letters", *arguments])


async def test_what_was_given_up_is_shown_with_the_reason_and_sent_after_a_retry(
    database: Database, acme: OrgId, peer: MailPeer, capsys: Capture
) -> None:
    peer.answers[BILLING] = ["550 No such user"]
    write(database, acme, NOON_US)
    clock = TurningClock()
    await post(database, clock, peer).deliver_due()
    id_ = row(database).id
    assert await run("list") == 0
    heads, line = capsys.readouterr().out.splitlines()
    assert heads.startswith("letter ")
    assert heads.endswith(" last error")
    assert line.split(maxsplit=7) == [
        *(id_, "acme", "alert.soft_limit", "given", "up", "1", AT),
        f"{BILLING}: 550 No such user",
    ]
    assert await run("retry", id_) == 0
    assert capsys.readouterr().out == f"{id_} is due now: a running server sends it within seconds\n"
    found = row(database)
    assert (found.attempts, found.failed_us, found.tried_us) == (0, None, None)
    clock.advance((found.due_us - NOON_US) / 1e6)
    await post(database, clock, peer).deliver_due()
    assert len(peer.received) == 1
    assert await run("list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert await run("retry", id_) == 1
    assert capsys.readouterr().err == f"tollway: no letter {id_} waits or was given up\n"


async def test_json_has_a_line_for_each_letter_of_the_organisation(
    database: Database, acme: OrgId, capsys: Capture
) -> None:
    other = database.write_here(partial(make_org, name="other"))
    for late, org in enumerate((acme, other)):
        write(database, org, NOON_US + late)
    assert await run("list", "--json", "--org", "acme") == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found.pop("id")
    assert found == {
        "org_name": "acme",
        "kind": "alert.soft_limit",
        "state": "waiting",
        "attempts": 0,
        "added": AT,
        "due": AT,
        "last_error": None,
    }
    assert await run("list") == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]] == ["acme", "other"]


async def test_what_cannot_be_found_is_said(
    monkeypatch: pytest.MonkeyPatch, acme: OrgId, capsys: Capture
) -> None:
    assert acme
    assert await run("list", "--org", "nobody") == 2
    assert "there is no organisation nobody" in capsys.readouterr().err
    assert await run("retry", "nothing") == 1
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    assert await run("list") == 1
    assert "database_url" in capsys.readouterr().err
