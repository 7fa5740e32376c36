"""The world starts, stops and starts again: nothing metered is lost unsaid, and no task stays dead."""

import logging
import sqlite3
from functools import partial
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, func, select, text

from tests.store.test_bodies import piece
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import ON_POSTGRESQL, ON_SQLITE, ORG, entry, make_org, start_of
from tests.world.waiting import until
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import OrgId
from tollway.domain.ledger import Entry
from tollway.domain.usage import Unit
from tollway.settings import Settings, SettingsError
from tollway.store.bodies import keep_bodies
from tollway.store.changes import announce
from tollway.store.database import Database
from tollway.store.journals import list_journals
from tollway.store.schema import bodies, changes
from tollway.store.usage import read_entries
from tollway.world import World, open_world

KEYS = ["a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=", "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="]


def meter(world: World, **fields: object) -> Entry:
    """A call that has ended and waits to be stored."""
    ended = entry(**fields)
    world.journal.start(start_of(ended))
    world.journal.end(ended, ())
    return ended


def stored(database: Database) -> list[Entry]:
    return [row.entry for row in database.write_here(lambda db: read_entries(db, ORG, limit=100))]


async def test_a_stop_stores_what_is_left(settings: Settings, database: Database) -> None:
    async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:
        ended = [meter(world) for _ in range(3)]
        assert stored(database) == []
    assert stored(database) == ended


async def test_a_stop_by_an_error_stores_what_is_left_too(settings: Settings, database: Database) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the end of the block is what is tested
        async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:
            ended = meter(world)
            raise ZeroDivisionError
    assert stored(database) == [ended]


async def test_a_world_starts_again_on_what_it_left(settings: Settings, database: Database) -> None:
    worlds = []
    ended = []
    for _ in range(2):
        async with open_world(settings, clock=TurningClock()) as world:
            worlds.append(world)
            ended.append(meter(world))
    first, second = worlds
    assert first.deployment == second.deployment
    assert first.journal.id != second.journal.id
    assert second.vault.open(first.vault.seal("a secret", ["here"]), ["here"]).reveal() == "a secret"
    assert stored(database) == ended


async def test_two_worlds_share_a_database(settings: Settings, database: Database) -> None:
    async with (
        open_world(settings, clock=TurningClock()) as one,
        open_world(settings, clock=TurningClock()) as other,
    ):
        ended = {meter(world).request_id for world in (one, other) for _ in range(5)}
        await until(lambda: not one.folder.waiting and not other.folder.waiting)
    assert one.deployment == other.deployment
    assert {row.request_id for row in stored(database)} == ended


async def test_tasks_fold_follow_changes_and_keep_house_by_themselves(
    settings: Settings, database: Database
) -> None:
    async with open_world(settings, clock=TurningClock(), runs_tasks=False):
        pass  # the deployment is there now
    for age_s in (7200, 0):
        database.write_here(partial(announce, org=ORG, now_us=NOON_US - age_s * 1_000_000))
    count = select(func.count()).select_from(changes)

    async with open_world(settings, clock=TurningClock()) as world:
        ended = meter(world)
        await until(lambda: not world.folder.waiting)
        await until(lambda: database.write_here(lambda db: db.execute(count).scalar_one()) == 1)
        database.write_here(lambda db: announce(db, ORG, NOON_US))
        await until(lambda: world.gateway.live.position == 3)
    assert stored(database) == [ended]


def rename_changes(database: Database, old: str, new: str) -> None:
    database.write_here(lambda db: db.execute(text(f"ALTER TABLE {old} RENAME TO {new}")))


@ON_POSTGRESQL
async def test_a_task_that_fails_is_said_and_started_again_while_the_others_go_on(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(settings, clock=TurningClock()) as world:
        rename_changes(database, "changes", "hidden")
        await until(lambda: "the task 'follow changes' failed and is started again" in caplog.text)
        ended = meter(world)
        await until(lambda: not world.folder.waiting)
        rename_changes(database, "hidden", "changes")
        database.write_here(lambda db: announce(db, ORG, NOON_US))
        await until(lambda: world.gateway.live.position == 1)
    assert stored(database) == [ended]


def rename_database(server: psycopg.Connection, old: str, new: str) -> None:
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (old,))
    names = (sql.Identifier(old), sql.Identifier(new))
    server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


@ON_POSTGRESQL
async def test_every_task_outlives_a_database_that_is_away(
    settings: Settings, database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, _, name = database_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        async with open_world(settings, clock=TurningClock()) as world:
            rename_database(connection, name, f"{name}_away")
            ended = meter(world)
            await until(lambda: "2 records wait to be stored" in caplog.text)
            await until(lambda: "destinations cannot be read" in caplog.text)
            rename_database(connection, f"{name}_away", name)
            database.write_here(lambda db: announce(db, ORG, NOON_US))
            await until(lambda: not world.folder.waiting and world.gateway.live.position == 1)
    assert stored(database) == [ended]
    assert "failed and is started again" not in caplog.text


class TestStopWithoutADatabase:
    """What it does not take waits in the journal, and the next start stores it."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, drain_s=0)

    @ON_POSTGRESQL
    async def test_nothing_is_lost_but_what_was_still_running_is_unsettled(
        self, settings: Settings, database: Database, database_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        server, _, name = database_url.rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:
                ended = [meter(world), meter(world)]
                running = entry()
                world.journal.start(start_of(running))
                rename_database(connection, name, f"{name}_away")
            said = [(each.levelno, each.getMessage()) for each in caplog.records if "tollway" in each.name]
            rename_database(connection, f"{name}_away", name)
        assert stored(database) == []
        assert said[-2:] == [
            (logging.WARNING, "5 records stay in the journal and are stored after the next start"),
            (logging.ERROR, "1 calls were still running: they will be unsettled"),
        ]
        async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:
            assert stored(database) == []
            await world.settled()
            rows = stored(database)
            assert rows[:2] == ended
            assert [row.request_id for row in rows[2:] if row.outcome == "unsettled"] == [running.request_id]
            await world.settled()
        assert stored(database) == rows

    @ON_POSTGRESQL
    async def test_the_next_start_stores_it_by_itself(
        self, settings: Settings, database: Database, database_url: str
    ) -> None:
        server, _, name = database_url.rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            async with open_world(settings, clock=TurningClock()) as world:
                rename_database(connection, name, f"{name}_away")
                ended = [meter(world), meter(world)]
            rename_database(connection, f"{name}_away", name)
        async with open_world(settings, clock=TurningClock()):
            await until(lambda: len(stored(database)) == 2)
        assert stored(database) == ended


async def test_a_stop_closes_the_journal_so_that_nobody_looks_for_more(
    settings: Settings, database: Database
) -> None:
    async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:
        meter(world)
    (state,) = database.write_here(list_journals)
    assert (state.id, state.closed_us, state.folded_to) == (world.journal.id, NOON_US, 2)
    assert state.place.endswith(world.deployment)


async def test_a_call_that_runs_at_the_stop_keeps_the_journal_open_and_is_unsettled_later(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    running = entry()
    async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:
        world.journal.start(start_of(running))
    (state,) = database.write_here(list_journals)
    assert state.closed_us is None
    assert "1 calls were still running: they will be unsettled" in caplog.text
    async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:
        await world.settled()
    (row,) = stored(database)
    assert (row.request_id, row.outcome) == (running.request_id, "unsettled")
    assert all(state.closed_us for state in database.write_here(list_journals))


async def test_old_journals_are_removed_by_the_house_keeping(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    clock = TurningClock()
    async with open_world(settings, clock=clock) as world:
        old = world.journal.id
        meter(world)
    (folder,) = (tmp_path / "data" / "journal").iterdir()
    assert [path.name for path in folder.iterdir()] == [old]
    clock.advance(4 * 86_400)
    async with open_world(settings, clock=clock) as world:
        await until(lambda: [path.name for path in folder.iterdir()] == [world.journal.id])
    assert len(stored(database)) == 1


async def test_old_prompts_are_removed_by_the_house_keeping(settings: Settings, database: Database) -> None:
    org = database.write_here(make_org)
    pieces = [piece(org, request, days_ago) for request, days_ago in (("old", 31), ("new", 29))]
    database.write_here(lambda db: keep_bodies(db, pieces))
    left = select(bodies.c.request_id)
    async with open_world(settings, clock=TurningClock()):
        await until(lambda: database.write_here(lambda db: db.execute(left).scalars().all()) == ["new"])


@ON_SQLITE
async def test_without_room_for_a_journal_there_is_no_start(settings: Settings) -> None:
    tight = msgspec.structs.replace(settings, journal_max_bytes=10)
    with pytest.raises(SettingsError, match=r"^data_dir: no journal can be kept there: .*may take 10 bytes"):
        async with open_world(tight, clock=TurningClock()):
            pass


async def test_an_entry_that_no_database_takes_is_set_aside_and_stops_no_other(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:
        kept = [meter(world), meter(world)]
        poison = meter(world, units={Unit.INPUT: 2**63})
        kept.append(meter(world))
    assert stored(database) == kept
    (said,) = (record.getMessage() for record in caplog.records if record.name.startswith("tollway"))
    assert said.startswith("a metered call could not be stored")
    assert poison.request_id in said
    assert str(2**63) in said


async def test_an_error_in_the_block_comes_out_as_it_is(settings: Settings) -> None:
    with pytest.raises(LookupError, match="of the block"):
        async with open_world(settings):
            raise LookupError("of the block")


async def test_a_clean_stop_says_nothing(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async with open_world(settings, clock=TurningClock()) as world:
        meter(world)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_after_a_change_that_was_pruned_unread_every_view_is_forgotten(
    settings: Settings, database: Database
) -> None:
    async with open_world(settings, clock=TurningClock(), runs_tasks=False) as world:

        def announce_and_prune(db: Connection) -> None:
            announce(db, OrgId("other"), NOON_US)
            db.execute(changes.delete())

        database.write_here(announce_and_prune)
        await world.refresh()
        assert world.gateway.live.position == 1


@ON_SQLITE
async def test_the_key_lies_beside_the_data_folder_so_that_a_copy_of_it_holds_no_key(
    settings: Settings, tmp_path: Path
) -> None:
    in_folder = msgspec.structs.replace(settings, database_url="")
    async with open_world(in_folder, clock=TurningClock(), runs_tasks=False):
        pass
    key = tmp_path / "data.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().strip()
    assert (tmp_path / "data" / "tollway.db").exists()
    assert not list((tmp_path / "data").glob("*.key"))
    with sqlite3.connect(tmp_path / "data" / "tollway.db") as made:
        assert made.execute("SELECT count(*) FROM deployment").fetchone() == (1,)
    made.close()


async def test_configured_keys_need_no_file_and_the_first_one_seals(
    settings: Settings, tmp_path: Path
) -> None:
    old = msgspec.structs.replace(settings, secret_keys=KEYS[0])
    rotated = msgspec.structs.replace(settings, secret_keys=f"{KEYS[1]}, {KEYS[0]}")
    async with open_world(old, clock=TurningClock(), runs_tasks=False) as world:
        sealed = world.vault.seal("a secret", [])
    async with open_world(rotated, clock=TurningClock(), runs_tasks=False) as world:
        assert world.vault.open(sealed, []).reveal() == "a secret"
        assert world.vault.seal("a secret", []).split(".")[1] != sealed.split(".")[1]
    assert not (tmp_path / "data.key").exists()


@pytest.mark.parametrize("keys", ["swordfish", ",", f"{KEYS[0]},", KEYS[0][:-4], f"{KEYS[0]};{KEYS[1]}", "é"])
@ON_SQLITE
async def test_wrong_keys_are_refused_and_not_repeated(settings: Settings, keys: str) -> None:
    wrong = msgspec.structs.replace(settings, secret_keys=keys)
    with pytest.raises(SettingsError, match=r"^secret_keys: ") as refused:
        async with open_world(wrong, clock=TurningClock()):
            pass
    assert keys == "," or keys not in str(refused.value)


@ON_SQLITE
async def test_a_damaged_key_file_is_refused_and_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data.key").write_text("swordfish")
    with pytest.raises(SettingsError, match=r"data\.key: a key is 32 bytes in base64"):
        async with open_world(settings, clock=TurningClock()):
            pass
    assert (tmp_path / "data.key").read_text() == "swordfish"


@ON_SQLITE
async def test_a_key_file_that_cannot_be_made_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data.key").mkdir()
    with pytest.raises(SettingsError, match=r"^secret_keys: none given, and there is no key file"):
        async with open_world(settings, clock=TurningClock()):
            pass


@ON_SQLITE
async def test_a_data_folder_that_cannot_be_made_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/data"):
        wrong = msgspec.structs.replace(settings, data_dir=str(tmp_path / place))
        with pytest.raises(SettingsError, match=r"^data_dir: "):
            async with open_world(wrong, clock=TurningClock()):
                pass


@ON_SQLITE
@pytest.mark.parametrize("url", ["mysql://user:swordfish@host/name", "user:swordfish@host"])
async def test_a_database_of_another_kind_is_refused(settings: Settings, url: str) -> None:
    wrong = msgspec.structs.replace(settings, database_url=url)
    with pytest.raises(SettingsError, match=r"^database_url: ") as refused:
        async with open_world(wrong, clock=TurningClock()):
            pass
    assert "swordfish" not in str(refused.value)


@ON_SQLITE
async def test_a_database_that_is_away_at_the_start_is_unavailable(
    settings: Settings, tmp_path: Path
) -> None:
    away = msgspec.structs.replace(settings, database_url=f"sqlite:///{tmp_path / 'missing' / 'tollway.db'}")
    with pytest.raises(StoreUnavailable):
        async with open_world(away, clock=TurningClock()):
            pass


async def test_a_file_that_is_no_database_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    settings = Settings(data_dir=str(tmp_path / "data"), database_url=f"sqlite:///{path}")
    with pytest.raises(SettingsError, match="database_url: file is not a database"):
        async with open_world(settings):
            raise AssertionError("unreachable")
