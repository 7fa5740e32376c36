"""The folder: everything once and in order, and patience with a database that is away."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, delete

from tests.world.clock import TurningClock
from tests.world.entries import JOURNAL, ON_POSTGRESQL, ORG, entry, start_of
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import RequestId
from tollway.domain.ledger import Entry
from tollway.metering.folder import RECORDS_PER_BATCH, Folder
from tollway.metering.journal import Journal
from tollway.store.database import Database
from tollway.store.schema import journals
from tollway.store.usage import read_entries


@pytest.fixture
def journal() -> Journal:
    return Journal(JOURNAL, 5_000)


@pytest.fixture
def folder(journal: Journal, database: Database) -> Folder:
    return Folder(journal, database, TurningClock())


@asynccontextmanager
async def running(folder: Folder) -> AsyncIterator[None]:
    task = asyncio.create_task(folder.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def until_folded(journal: Journal) -> None:
    await until(lambda: not journal.waiting)


def end_some(journal: Journal, count: int) -> list[RequestId]:
    written = [entry() for _ in range(count)]
    for each in written:
        journal.start(start_of(each))
        journal.end(each)
    return [each.request_id for each in written]


async def stored(database: Database) -> list[RequestId]:
    def work(db: Connection) -> list[Entry]:
        return [row.entry for row in read_entries(db, ORG, limit=5_000)]

    return [each.request_id for each in await database.read(work)]


async def test_what_has_ended_is_stored_by_itself(
    journal: Journal, folder: Folder, database: Database
) -> None:
    async with running(folder):
        written = end_some(journal, 3)
        await until_folded(journal)
        written += end_some(journal, 2)
        await until_folded(journal)
    assert await stored(database) == written


async def test_a_call_that_is_still_running_is_not_stored(
    journal: Journal, folder: Folder, database: Database
) -> None:
    journal.start(start_of(entry()))
    written = end_some(journal, 1)
    await folder.fold_all()
    assert await stored(database) == written
    assert len(journal.open) == 1


async def test_fold_all_stores_more_than_one_batch_in_order(
    journal: Journal, folder: Folder, database: Database
) -> None:
    written = end_some(journal, 2 * RECORDS_PER_BATCH + 1)
    await folder.fold_all()
    assert journal.waiting == 0
    assert await stored(database) == written


async def test_folding_nothing_is_nothing(folder: Folder, database: Database) -> None:
    await folder.fold_all()
    await folder.fold_batch()
    assert await stored(database) == []


async def test_several_that_fold_at_once_store_each_call_once(
    journal: Journal, folder: Folder, database: Database
) -> None:
    written = end_some(journal, RECORDS_PER_BATCH + 20)
    await asyncio.gather(*(folder.fold_all() for _ in range(4)))
    assert await stored(database) == written


async def test_a_fold_that_was_cancelled_and_is_done_again_stores_each_call_once(
    journal: Journal, folder: Folder, database: Database
) -> None:
    written = end_some(journal, 50)
    await folder.fold_batch()
    written += end_some(journal, 50)
    task = asyncio.create_task(folder.fold_batch())
    await asyncio.sleep(0.002)  # its transaction may run, be done, or not have begun: all is well
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await folder.fold_all()
    assert await stored(database) == written


async def test_a_database_restored_from_before_this_process_started_is_folded_into(
    journal: Journal, folder: Folder, database: Database
) -> None:
    before = end_some(journal, 1)
    await folder.fold_all()
    await database.write(lambda db: db.execute(delete(journals)))
    after = end_some(journal, 1)
    await folder.fold_all()
    assert await stored(database) == before + after


@pytest.fixture
def renamed(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the server by which the database is made to go away and come back."""
    server, _, _ = database_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        yield connection


def rename(connection: psycopg.Connection, old: str, new: str) -> None:
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (old,))
    names = (sql.Identifier(old), sql.Identifier(new))
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


@ON_POSTGRESQL
async def test_a_database_that_goes_away_is_waited_for_and_nothing_is_lost(
    journal: Journal,
    folder: Folder,
    database: Database,
    database_url: str,
    renamed: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = database_url.rpartition("/")[2]
    async with running(folder):
        written = end_some(journal, 2)
        await until_folded(journal)

        rename(renamed, name, f"{name}_away")
        with caplog.at_level(logging.WARNING, "tollway.metering.folder"):
            written += end_some(journal, 3)
            await until(lambda: bool(caplog.records))
        assert journal.waiting == 3
        with pytest.raises(StoreUnavailable):
            await folder.fold_all()
        written += end_some(journal, 1)

        rename(renamed, f"{name}_away", name)
        await until_folded(journal)
    assert await stored(database) == written
    assert caplog.messages[0].startswith("3 calls wait to be stored: the database is not available")


async def test_while_the_database_is_away_the_journal_fills_up_and_loses_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'missing' / 'tollway.db'}")
    journal = Journal(JOURNAL, 3)
    folder = Folder(journal, database, TurningClock())
    end_some(journal, 3)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await folder.fold_batch()
    assert journal.waiting == 3
    assert not journal.has_room
    database.close()


async def test_a_folder_in_its_pause_can_be_stopped(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'missing' / 'tollway.db'}")
    journal = Journal(JOURNAL, 3)
    async with running(Folder(journal, database, TurningClock())):
        end_some(journal, 1)
        await asyncio.sleep(0.15)
    assert journal.waiting == 1
    database.close()
