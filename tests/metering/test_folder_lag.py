"""What the folder tells of what is not in the ledger yet: records, bytes and seconds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.metering.journals import BreakableDisk, Desk, begin, ended, finish, refusal, rotate
from tests.world.clock import TurningClock
from tests.world.entries import ON_SQLITE
from tollway.domain.errors import StoreUnavailable
from tollway.metering.folder import RECORDS_PER_BATCH, Folder
from tollway.metering.journal import Journal
from tollway.store.database import Database

pytestmark = ON_SQLITE


@pytest.fixture
def away(
    journal: Journal, disk: BreakableDisk, database: Database, tmp_path: Path, clock: TurningClock
) -> Iterator[Folder]:
    """A folder whose database is away until it is `back`."""
    database.close()
    later = Database(f"sqlite:///{tmp_path / 'later' / 'tollway.db'}")
    yield Folder(journal, disk, later, clock)
    later.close()


def back(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    shutil.copy(tmp_path / "tollway.db", tmp_path / "later")


async def test_nothing_lags_where_nothing_waits(folder: Folder) -> None:
    await folder.fold_all()
    assert (folder.waiting, folder.waiting_bytes, folder.lag_us, folder.num_rows) == (0, 0, 0, 0)


async def test_what_was_written_takes_bytes_until_it_is_folded(journal: Journal, folder: Folder) -> None:
    ended(journal)
    await folder.fold_all()
    before = journal.extent[1]
    ended(journal, 2)
    assert folder.waiting_bytes == journal.extent[1] - before > 0
    await folder.fold_all()
    assert (folder.waiting_bytes, folder.num_rows) == (0, 3)


async def test_bytes_of_every_segment_that_waits_are_counted(journal: Journal, folder: Folder) -> None:
    ended(journal)
    await folder.fold_all()
    number, at = journal.extent
    for _ in range(2):
        rotate(journal)
        ended(journal)
    sizes = journal.room.sizes
    whole = sum(size for each, size in sizes.items() if number <= each < journal.extent[0])
    assert folder.waiting_bytes == whole + journal.extent[1] - at
    await folder.fold_all()
    assert folder.waiting_bytes == 0


async def test_a_closed_journal_has_no_bytes_left_to_count(
    desk: Desk, journal: Journal, folder: Folder
) -> None:
    ended(journal)
    await folder.fold_all()
    desk.die(journal)
    assert folder.waiting_bytes == 0


async def test_the_oldest_call_that_waits_is_the_lag_until_the_database_is_back(
    journal: Journal, away: Folder, clock: TurningClock, tmp_path: Path
) -> None:
    ended(journal)
    clock.advance(90)
    with pytest.raises(StoreUnavailable):
        await away.fold_all()
    assert away.lag_us == 90_000_000
    ended(journal, ended_us=clock.now_us())
    clock.advance(10)
    with pytest.raises(StoreUnavailable):
        await away.fold_all()
    assert (away.lag_us, away.num_rows) == (100_000_000, 0)
    back(tmp_path)
    await away.fold_all()
    assert (away.lag_us, away.num_rows, away.waiting) == (0, 2, 0)


async def test_a_backlog_lags_by_its_oldest_call_of_each_batch_in_turn(
    journal: Journal, away: Folder, clock: TurningClock, tmp_path: Path
) -> None:
    first = RECORDS_PER_BATCH // 2
    ended(journal, first)
    clock.advance(60)
    ended(journal, 1, ended_us=clock.now_us())
    clock.advance(1)
    with pytest.raises(StoreUnavailable):
        await away.fold_some()
    assert away.lag_us == 61_000_000
    back(tmp_path)
    assert await away.fold_some()
    assert away.lag_us == 0
    await away.fold_all()
    assert away.num_rows == first + 1


async def test_a_clock_that_was_set_back_makes_no_lag_below_nothing(
    journal: Journal, away: Folder, clock: TurningClock
) -> None:
    ended(journal)
    with pytest.raises(StoreUnavailable):
        await away.fold_all()
    clock.advance(-3_600)
    assert away.lag_us == 0


async def test_calls_that_run_and_refused_ones_do_not_lag(
    journal: Journal, away: Folder, clock: TurningClock
) -> None:
    begun = begin(journal)
    journal.refused([refusal()])
    clock.advance(600)
    with pytest.raises(StoreUnavailable):
        await away.fold_all()
    assert away.lag_us == 0
    finish(journal, begun)
