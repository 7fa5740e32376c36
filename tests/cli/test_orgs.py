"""`tollway orgs purge`: what it removes, and what it leaves and says."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from tests.control.audited import folded
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import entry, make_org
from tollway.cli.main import main
from tollway.cli.orgs import purge
from tollway.domain.deletion import LEDGER_KEPT_DAYS, LEDGER_KEPT_US
from tollway.domain.ids import OrgId, UserId
from tollway.settings import Settings
from tollway.store.database import Database
from tollway.store.orgs import delete_org
from tollway.store.people_schema import deleted_orgs
from tollway.store.schema import bodies, ledger, orgs

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def acme(database: Database) -> OrgId:
    """Deleted at noon, with two rows."""
    org = database.write_here(make_org)
    folded(database, [entry(org_id=org) for _ in range(2)])
    database.write_here(lambda db: delete_org(db, org, UserId("somebody"), NOON_US))
    return org


def left(database: Database) -> tuple[set[str], int]:
    """Names of organisations, and how many ledger rows there are."""
    rows = select(func.count()).select_from(ledger)
    return database.write_here(
        lambda db: (set(db.execute(select(orgs.c.org_name)).scalars()), db.execute(rows).scalar_one())
    )


async def test_the_ledger_goes_when_it_may_and_not_a_moment_before(
    settings: Settings, database: Database, acme: OrgId, capsys: Capture
) -> None:
    database.write_here(lambda db: make_org(db, "beta"))
    clock = TurningClock(NOON_US + LEDGER_KEPT_US - 1)
    assert await purge(settings, clock) == 0
    assert left(database) == ({"acme", "beta"}, 2)
    kept = f"deleted ones are kept until {LEDGER_KEPT_DAYS} days after\n"
    assert capsys.readouterr().out == f"0 organisations purged; 1 {kept}"
    assert await purge(settings, TurningClock(NOON_US + LEDGER_KEPT_US)) == 0
    assert left(database) == ({"beta"}, 0)
    assert capsys.readouterr().out == (
        f"acme ({acme}): 2 ledger rows removed, and all else\n1 organisations purged; 0 {kept}"
    )


async def test_what_was_on_its_way_when_the_organisation_was_deleted_goes_at_once(
    settings: Settings, database: Database, acme: OrgId
) -> None:
    beta = database.write_here(partial(make_org, name="beta"))
    place = {"request_id": "r", "attempt": 1, "part": "request", "at": 0}
    prompts = [{"org_id": org, **place, "data": b"Hello!", "written_us": NOON_US} for org in (acme, beta)]
    database.write_here(lambda db: db.execute(insert(bodies), prompts))
    assert await purge(settings, TurningClock()) == 0
    assert database.write_here(lambda db: db.execute(select(bodies.c.org_id)).scalars().all()) == [beta]
    assert left(database) == ({"acme", "beta"}, 2)


async def test_the_command_goes_by_todays_date(
    settings: Settings,
    database: Database,
    acme: OrgId,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", settings.database_url)
    monkeypatch.chdir(tmp_path)
    assert await asyncio.to_thread(main, ["orgs", "purge"]) == 0
    assert left(database) == ({"acme"}, 2)
    long_ago = update(deleted_orgs).where(deleted_orgs.c.org_id == acme).values(deleted_us=0)
    database.write_here(lambda db: db.execute(long_ago))
    assert await asyncio.to_thread(main, ["orgs", "purge"]) == 0
    assert left(database) == (set(), 0)
    assert "acme" in capsys.readouterr().out


def test_without_a_database_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert main(["orgs", "purge"]) == 1
    assert "database_url" in capsys.readouterr().err
