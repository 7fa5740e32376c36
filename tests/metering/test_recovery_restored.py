"""A database that was restored to an earlier state is noticed by what the disk knows of it."""

import errno
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.metering.journals import BreakableDisk, Desk, ended, rotate
from tests.metering.ledgers import forget
from tests.world.clock import NOON_US, TurningClock
from tollway.metering.disk import Disk
from tollway.metering.folder import Folder
from tollway.metering.recovery import Recovery
from tollway.store.database import Database
from tollway.store.deployment import identify, read_instance
from tollway.store.schema import journals


@pytest.fixture(autouse=True)
def deployment(database: Database) -> str:
    return database.write_here(lambda db: identify(db, NOON_US))


def instance(database: Database) -> str:
    return database.write_here(read_instance)


async def test_a_ledger_that_lacks_what_it_had_of_a_dead_process_s_journal_gets_another_instance(
    desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database, deployment: str
) -> None:
    journal = desk.journal()
    ended(journal, 3)
    folder = Folder(journal, disk, database, desk.clock)
    await folder.fold_all()
    await folder.mark()
    desk.die(journal)
    await recovery.recover()
    assert instance(database) == deployment
    forget(database)
    await recovery.recover()
    renewed = instance(database)
    assert renewed != deployment
    await recovery.recover()
    assert instance(database) == renewed


async def test_also_of_a_journal_that_was_folded_by_its_recovery(
    desk: Desk, recovery: Recovery, database: Database, deployment: str
) -> None:
    ended(journal := desk.journal(), 3)
    desk.die(journal)
    await recovery.recover()
    assert instance(database) == deployment
    database.write_here(lambda db: db.execute(update(journals).values(folded_to=1, closed_us=None)))
    await Recovery(desk.disk, database, desk.clock).notice_restored()
    assert instance(database) != deployment


async def test_a_journal_that_cannot_be_brought_up_to_date_renews_it_once(
    desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database, deployment: str
) -> None:
    journal = desk.journal()
    rotate(journal)
    folder = Folder(journal, disk, database, desk.clock)
    await folder.fold_all()
    await folder.mark()
    id_ = desk.die(journal)
    for path in (disk.root / id_).glob("*.tlw"):
        path.write_bytes(b"not a journal" * 100)
    forget(database)
    await recovery.recover()
    renewed = instance(database)
    assert renewed != deployment
    await recovery.recover()
    assert instance(database) == renewed


async def test_records_that_are_not_folded_yet_are_no_restoration(
    desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database, deployment: str
) -> None:
    journal = desk.journal()
    folder = Folder(journal, disk, database, desk.clock)
    ended(journal, 3)
    await folder.fold_all()
    await folder.mark()
    ended(journal, 3)
    desk.die(journal)
    await recovery.recover()
    assert instance(database) == deployment


async def test_a_fold_that_meets_it_tells_whoever_looks_next_once(
    desk: Desk, disk: BreakableDisk, database: Database
) -> None:
    journal = desk.journal()
    folder = Folder(journal, disk, database, desk.clock)
    ended(journal, 3)
    await folder.fold_all()
    forget(database)
    ended(journal)
    await folder.fold_all()
    assert await folder.catch_up()
    assert not await folder.catch_up()


class UnmarkedDisk(Disk):
    """A disk that has no room for a mark."""

    def mark_folded(self, *_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")


async def test_a_disk_without_room_for_the_mark_stops_nothing(
    tmp_path: Path, database: Database, clock: TurningClock, deployment: str
) -> None:
    disk = UnmarkedDisk(tmp_path / "full")
    desk = Desk(disk, clock)
    journal = desk.journal()
    ended(journal, 3)
    folder = Folder(journal, disk, database, clock)
    await folder.fold_all()
    await folder.mark()
    await Recovery(disk, database, clock, own=journal.id).recover()
    desk.die(journal)
    assert disk.marked_folded(journal.id) == 0
    assert instance(database) == deployment


async def test_a_mark_that_is_torn_says_nothing(desk: Desk, disk: BreakableDisk) -> None:
    journal = desk.journal()
    disk.mark_folded(journal.id, 7)
    assert disk.marked_folded(journal.id) == 7
    disk.mark_folded(journal.id, 123_456)
    assert disk.marked_folded(journal.id) == 123_456
    (disk.root / journal.id / "folded").write_bytes(b"00000\0\0\0")
    assert disk.marked_folded(journal.id) == 0
    desk.die(journal)
