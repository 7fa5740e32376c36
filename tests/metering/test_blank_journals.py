"""A process that is killed while it begins its journal: what is left of it is nothing, and goes."""

import logging

import pytest

from tests.metering.journals import Desk, ended, segment_path
from tests.world.clock import TurningClock
from tollway.domain.ids import JournalId
from tollway.metering.disk import Disk
from tollway.metering.recovery import Recovery
from tollway.store.database import Database
from tollway.store.journals import list_journals, register_journal

BEGUN = JournalId("journal-1")


async def test_a_journal_without_a_segment_goes_and_is_not_registered(
    disk: Disk, database: Database, recovery: Recovery, caplog: pytest.LogCaptureFixture
) -> None:
    disk.make(BEGUN).release()
    with caplog.at_level(logging.WARNING):
        assert await recovery.recover() == []
    assert list(disk.journals()) == []
    assert await database.read(list_journals) == []
    assert caplog.messages == []


async def test_a_journal_whose_only_segment_was_allocated_and_not_written_goes(
    disk: Disk, database: Database, recovery: Recovery
) -> None:
    lock = disk.make(BEGUN)
    disk.add_segment(BEGUN, 0, 64 * 1024).close()
    lock.release()
    await recovery.recover()
    assert list(disk.journals()) == []
    assert await database.read(list_journals) == []


async def test_while_its_process_lives_it_stays(disk: Disk, recovery: Recovery) -> None:
    lock = disk.make(BEGUN)
    await recovery.recover()
    assert list(disk.journals()) == [BEGUN]
    lock.release()


async def test_a_journal_that_calls_may_have_been_in_is_kept_and_told(
    disk: Disk,
    database: Database,
    recovery: Recovery,
    clock: TurningClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk.make(BEGUN).release()
    await database.write(register_journal, BEGUN, "here", clock.now_us())
    await recovery.recover()
    assert list(disk.journals()) == [BEGUN]
    assert any("can be read" in message for message in caplog.messages)


async def test_a_journal_with_a_damaged_head_is_not_blank(desk: Desk, disk: Disk) -> None:
    journal = desk.journal()
    ended(journal)
    died = desk.die(journal)
    path = segment_path(disk, died, 0)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert not disk.is_blank(died)
