"""The folder: everything once and in order, and patience with a database that is away."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.metering.journals import (
    BreakableDisk,
    Desk,
    begin,
    ended,
    finish,
    ids,
    price,
    refused,
    rotate,
)
from tests.metering.ledgers import stored
from tests.store.folds import check, position
from tests.world.clock import TurningClock
from tests.world.entries import ON_POSTGRESQL
from tests.world.waiting import until
from tollway.domain.errors import MeteringUnavailable, StoreUnavailable
from tollway.metering.folder import RECORDS_PER_BATCH, Folder
from tollway.metering.journal import RETRY_S, Journal
from tollway.store.database import Database
from tollway.store.journals import position_of
from tollway.store.prices import read_prices


@pytest.fixture
def lonely(journal: Journal, disk: BreakableDisk, tmp_path: Path, clock: TurningClock) -> Iterator[Folder]:
    """A folder whose database is away."""
    database = Database(f"sqlite:///{tmp_path / 'missing' / 'tollway.db'}")
    yield Folder(journal, disk, database, clock)
    database.close()


@asynccontextmanager
async def running(folder: Folder) -> AsyncIterator[None]:
    task = asyncio.create_task(folder.run())
    try:
        yield
    finally:
        await stopped(task)


async def stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class TestInOrder:
    async def test_what_has_ended_is_stored_by_itself(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        async with running(folder):
            made = ended(journal, 3)
            await until(lambda: not folder.waiting)
            made += ended(journal, 2)
            await until(lambda: not folder.waiting)
        assert check(database) == made

    async def test_a_call_that_is_still_running_is_not_stored(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        begun = begin(journal)
        made = ended(journal)
        await folder.fold_all()
        assert check(database) == made
        finish(journal, begun)
        await folder.fold_all()
        assert check(database) == made + begun

    async def test_more_than_one_batch_over_more_than_one_segment(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        made = ended(journal, RECORDS_PER_BATCH + 1)
        assert journal.extent[0] > 2
        await folder.fold_all()
        assert folder.waiting == 0
        assert stored(database) == ids(made)
        assert position(database, journal.id) == folder.folded_to == journal.next_offset

    async def test_folding_nothing_is_nothing(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        await folder.fold_all()
        assert not await folder.fold_some()
        begin(journal, 2)
        await folder.fold_all()
        assert stored(database) == []
        assert database.write_here(lambda db: position_of(db, journal.id, 0)) == 0

    async def test_prices_are_stored_with_what_was_priced_at_them(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        finish(journal, begin(journal), [price("a@1"), price("b@1")])
        await folder.fold_all()
        finish(journal, begin(journal), [price("b@1"), price("c@1")])
        rotate(journal)
        finish(journal, begin(journal), [price("a@1")])
        await folder.fold_all()
        wanted = ["a@1", "b@1", "c@1", "d@1"]
        assert database.write_here(lambda db: read_prices(db, wanted)) == {
            version: price(version) for version in wanted[:3]
        }

    async def test_what_a_failed_synchronisation_made_the_journal_tell_twice_is_stored_once(
        self, journal: Journal, folder: Folder, database: Database, disk: BreakableDisk
    ) -> None:
        made = ended(journal, 3)
        await folder.fold_some()
        await folder.fold_some()
        disk.syncs.breaks_once()
        await journal.sync()
        made += ended(journal)
        await folder.fold_all()
        assert stored(database) == ids(made)
        assert folder.waiting == 0

    async def test_what_was_kept_in_memory_is_stored_once_it_is_written(
        self, journal: Journal, folder: Folder, database: Database, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        made = begin(journal, 3)
        disk.torn_at = 1000
        disk.trims.breaks()
        disk.writes.breaks()
        finish(journal, made)
        await folder.fold_all()
        disk.writes.heals()
        clock.advance(RETRY_S)
        made += ended(journal)
        await folder.fold_all()
        assert stored(database) == ids(made)

    async def test_several_that_fold_at_once_store_each_call_once(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        made = ended(journal, RECORDS_PER_BATCH + 20)
        await asyncio.gather(*(folder.fold_all() for _ in range(4)))
        assert stored(database) == ids(made)

    async def test_two_folders_of_one_journal_store_each_call_once(
        self, journal: Journal, folder: Folder, database: Database, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        other = Folder(journal, disk, database, clock)
        made = []
        for each in (folder, other, other, folder):
            made += ended(journal, 2)
            await each.fold_all()
        assert stored(database) == ids(made)
        assert position(database, journal.id) == journal.next_offset


class TestCancelled:
    @pytest.mark.parametrize("turns", range(12))
    async def test_a_fold_that_is_given_up_anywhere_and_done_again_stores_each_call_once(
        self, journal: Journal, folder: Folder, database: Database, turns: int
    ) -> None:
        made = ended(journal, 5)
        await folder.fold_some()
        made += ended(journal, 5)
        task = asyncio.create_task(folder.fold_all())
        for _ in range(turns):
            await asyncio.sleep(0.001 if turns % 2 else 0)
        await stopped(task)
        made += ended(journal)
        await folder.fold_all()
        assert stored(database) == ids(made)
        assert folder.waiting == 0

    async def test_one_in_its_pause_can_be_stopped(self, journal: Journal, lonely: Folder) -> None:
        async with running(lonely):
            ended(journal)
            await asyncio.sleep(0.15)
        assert lonely.waiting == 2


class TestAway:
    async def test_while_the_database_is_away_all_waits_on_the_disk(
        self, journal: Journal, lonely: Folder
    ) -> None:
        made = ended(journal, 3)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await lonely.fold_some()
        assert lonely.waiting == 2 * len(made)
        assert journal.trouble is None

    async def test_once_the_journal_is_full_calls_are_refused_until_it_is_folded(
        self, desk: Desk, disk: BreakableDisk, database: Database, clock: TurningClock
    ) -> None:
        journal = desk.journal("never", max_bytes=256 * 1024)
        folder = Folder(journal, disk, database, clock)
        made = []
        while journal.trouble is None:
            with contextlib.suppress(MeteringUnavailable):
                made += ids(ended(journal))
        clock.advance(RETRY_S)
        assert refused(journal)
        await folder.fold_all()
        clock.advance(RETRY_S)
        made += ids(ended(journal))
        await folder.fold_all()
        assert journal.trouble is None
        assert stored(database) == made

    @ON_POSTGRESQL
    async def test_one_that_goes_away_is_waited_for_and_nothing_is_lost(
        self,
        journal: Journal,
        folder: Folder,
        database: Database,
        database_url: str,
        server: psycopg.Connection,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        name = database_url.rpartition("/")[2]
        async with running(folder):
            made = ended(journal, 2)
            await until(lambda: not folder.waiting)
            rename(server, name, f"{name}_away")
            with caplog.at_level(logging.WARNING, "tollway.metering.folder"):
                made += ended(journal, 3)
                await until(lambda: bool(caplog.records))
            assert folder.waiting == 6
            with pytest.raises(StoreUnavailable):
                await folder.fold_all()
            made += ended(journal)
            rename(server, f"{name}_away", name)
            await until(lambda: not folder.waiting)
        assert stored(database) == ids(made)
        assert caplog.messages[0].startswith("6 records wait to be stored: the database is not available")


@pytest.fixture
def server(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the server by which the database is made to go away and come back."""
    address, _, _ = database_url.rpartition("/")
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        yield connection


def rename(connection: psycopg.Connection, old: str, new: str) -> None:
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (old,))
    names = (sql.Identifier(old), sql.Identifier(new))
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


class TestRoom:
    async def test_what_is_folded_may_go_but_for_the_segment_before_the_last(
        self, desk: Desk, disk: BreakableDisk, database: Database, clock: TurningClock
    ) -> None:
        journal = desk.journal("never")
        folder = Folder(journal, disk, database, clock)
        for _ in range(4):
            rotate(journal)
        journal.drop(2**60)
        assert disk.segments(journal.id) == [0, 1, 2, 3, 4]
        await folder.fold_all()
        journal.drop(2**60)
        assert disk.segments(journal.id) == [3, 4]
