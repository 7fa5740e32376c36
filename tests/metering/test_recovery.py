"""Recovery: what processes that died left becomes rows, once, whoever recovers it and however often."""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE

import msgspec
import pytest

from tests.metering.journals import (
    BreakableDisk,
    Desk,
    begin,
    edited,
    ended,
    finish,
    ids,
    in_segment,
    on_disk,
    price,
    rotate,
    segment_path,
)
from tests.metering.ledgers import closed, open_rows, settled
from tests.store.folds import check
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import entry, start_of
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Entry, Outcome, unsettled
from tollway.domain.money import Nano
from tollway.domain.usage import Unit
from tollway.metering.disk import Disk
from tollway.metering.folder import RECORDS_PER_BATCH, Folder
from tollway.metering.frames import VERSION, Header, Kind, header_frame
from tollway.metering.journal import Journal
from tollway.metering.recovery import Recovery
from tollway.store.database import Database
from tollway.store.journals import list_journals
from tollway.store.prices import read_prices

PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, "")
from tests.metering.journals import Desk, begin, ended
from tests.world.clock import TurningClock
from tollway.metering.disk import Disk
desk = Desk(Disk(Path(sys.argv[1])), TurningClock())
journal = desk.journal("never", id_=sys.argv[2])
made = ended(journal, 3)
running = begin(journal, 2)
print(*(each.request_id for each in made + running), flush=True)
sys.stdin.read()
"""


class TestTheDead:
    async def test_what_they_ended_is_stored_and_they_are_closed(
        self, desk: Desk, recovery: Recovery, database: Database, clock: TurningClock
    ) -> None:
        journal = desk.journal()
        made = ended(journal, 3)
        finish(journal, more := begin(journal), [price("list@7")])
        id_ = desk.die(journal)
        clock.advance(60)
        assert await recovery.recover() == [id_]
        assert check(database) == [*made, *more]
        assert database.write_here(lambda db: read_prices(db, ["list@7"])) == {"list@7": price("list@7")}
        assert closed(database, id_) == clock.now_us()
        assert await recovery.recover() == []

    async def test_what_they_left_open_is_unsettled_with_all_that_is_known_of_it(
        self, desk: Desk, recovery: Recovery, database: Database, clock: TurningClock
    ) -> None:
        journal = desk.journal()
        made = entry(
            end_user="Customer-7", labels={"team": "search"}, streamed=True, attempt=2, model="demo/large"
        )
        start = msgspec.structs.replace(start_of(made), held=Nano(777))
        journal.start(start)
        id_ = desk.die(journal)
        clock.advance(60)
        await recovery.recover()
        (row,) = check(database)
        assert row == unsettled(start, clock.now_us())
        assert (row.end_user, row.labels, row.held) == ("Customer-7", {"team": "search"}, 777)
        assert (row.outcome, row.streamed, row.attempt) == (Outcome.UNSETTLED, True, 2)
        assert (row.started_us, row.ended_us) == (made.started_us, NOON_US + 60 * US_PER_S)
        assert closed(database, id_) == clock.now_us()

    async def test_a_clock_that_was_set_back_lets_nothing_end_before_it_began(
        self, desk: Desk, recovery: Recovery, database: Database, clock: TurningClock
    ) -> None:
        journal = desk.journal()
        begin(journal, started_us=NOON_US)
        desk.die(journal)
        clock.advance(-3600)
        await recovery.recover()
        (row,) = check(database)
        assert row.ended_us == row.started_us == NOON_US

    async def test_calls_that_were_open_over_many_segments_are_unsettled_once(
        self, desk: Desk, recovery: Recovery, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = desk.journal()
        kept, late = begin(journal, 2)
        made = rotate(journal) + rotate(journal) + rotate(journal)
        finish(journal, [late])
        id_ = desk.die(journal)
        await recovery.recover()
        rows = check(database)
        assert settled(rows) == ids([*made, late])
        assert open_rows(rows) == [kept.request_id]
        assert f"journal {id_}: 1 calls have no end and are unsettled" in caplog.text

    async def test_many_open_calls_are_more_than_one_batch(
        self, recovery: Recovery, database: Database, desk: Desk
    ) -> None:
        journal = desk.journal("never")
        begun = begin(journal, RECORDS_PER_BATCH + 3)
        desk.die(journal)
        await recovery.recover()
        assert open_rows(check(database)) == ids(begun)

    async def test_one_with_nothing_in_it_is_closed(
        self, desk: Desk, recovery: Recovery, database: Database
    ) -> None:
        id_ = desk.die(desk.journal())
        assert await recovery.recover() == [id_]
        assert check(database) == []
        assert closed(database, id_) is not None

    async def test_a_torn_tail_is_stepped_over_and_said(
        self, desk: Desk, recovery: Recovery, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = desk.journal()
        made = ended(journal, 3)
        id_ = desk.die(journal)
        last = on_disk(desk.disk, id_)[-1]
        with edited(desk.disk, id_) as data:
            data[last.end - 5 :] = b""
        await recovery.recover()
        rows = check(database)
        assert settled(rows) == ids(made[:2])
        assert open_rows(rows) == ids(made[2:])
        assert "bytes are torn or damaged" in caplog.text
        assert closed(database, id_) is not None

    @pytest.mark.parametrize("hit", [1, 2])
    async def test_though_the_head_of_the_last_segment_is_damaged_every_call_is_explained(
        self, desk: Desk, recovery: Recovery, database: Database, disk: BreakableDisk, hit: int
    ) -> None:
        journal = desk.journal()
        (kept,) = begin(journal)
        made = rotate(journal) + rotate(journal)
        folder = Folder(journal, disk, database, desk.clock)
        await folder.fold_all()
        id_ = desk.die(journal)
        damaged = in_segment(disk, id_, 2)[hit - 1]
        assert damaged.kind in (Kind.HEADER, Kind.OPEN)
        with edited(disk, id_, 2) as data:
            data[damaged.begin + 6] ^= 0x10
        await recovery.recover()
        rows = check(database)
        assert (settled(rows), open_rows(rows)) == (ids(made), [kept.request_id])

    async def test_an_entry_that_no_database_takes_is_set_aside_alone(
        self, desk: Desk, recovery: Recovery, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = desk.journal()
        made = ended(journal, 2)
        (poison,) = ended(journal, units={Unit.INPUT: 2**63})
        made += ended(journal, 2)
        id_ = desk.die(journal)
        await recovery.recover()
        assert check(database) == made
        assert poison.request_id in caplog.text
        assert closed(database, id_) is not None

    async def test_journals_of_another_deployment_lie_elsewhere_and_are_not_touched(
        self, desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database, clock: TurningClock
    ) -> None:
        others = Desk(Disk(disk.root.with_name("other-deployment")), clock)
        theirs = others.journal()
        ended(theirs)
        others.die(theirs)
        mine = desk.journal()
        made = ended(mine)
        assert await recovery.recover() == []
        assert await recovery.recover() == []
        id_ = desk.die(mine)
        assert await recovery.recover() == [id_]
        assert check(database) == made
        assert [found.id for found in database.write_here(list_journals)] == [id_]


class TestTheLiving:
    async def test_they_are_left_alone(
        self, desk: Desk, recovery: Recovery, database: Database, disk: BreakableDisk
    ) -> None:
        journal = desk.journal()
        ended(journal)
        assert await recovery.recover() == []
        assert check(database) == []
        own = Recovery(disk, database, desk.clock, own=journal.id)
        assert await own.recover() == []
        assert [found async for found in own.replay()] == []

    async def test_a_replay_folds_what_they_have_written_and_closes_none(
        self, desk: Desk, recovery: Recovery, database: Database, disk: BreakableDisk
    ) -> None:
        journal = desk.journal()
        made = ended(journal, 2)
        running = begin(journal)
        assert [found async for found in recovery.replay()] == [(journal.id, 5)]
        assert check(database) == made
        assert closed(database, journal.id) is None
        finish(journal, running)
        folder = Folder(journal, disk, database, desk.clock)
        await folder.fold_all()
        assert check(database) == made + running
        assert [found async for found in recovery.replay()] == [(journal.id, 0)]

    async def test_only_death_makes_a_process_one_of_the_dead(
        self, disk: BreakableDisk, recovery: Recovery, database: Database
    ) -> None:
        id_ = JournalId("of-another-process")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROCESS, str(disk.root), id_, stdin=PIPE, stdout=PIPE
        )
        assert process.stdout is not None
        calls = (await process.stdout.readline()).decode().split()
        assert len(calls) == 5
        assert await recovery.recover() == []
        assert check(database) == []
        process.kill()
        await process.communicate()
        assert await recovery.recover() == [id_]
        rows = check(database)
        assert (settled(rows), open_rows(rows)) == (calls[:3], calls[3:])


class TestUnreadable:
    async def test_a_newer_version_is_left_alone_and_stops_no_other(
        self,
        desk: Desk,
        disk: BreakableDisk,
        recovery: Recovery,
        database: Database,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        newer = JournalId("a-newer-one")
        disk.make(newer).release()
        header = Header(version=VERSION + 1, journal=newer, number=0, made_us=NOON_US, salt=1)
        segment_path(disk, newer, 0).write_bytes(header_frame(header, 0))
        journal = desk.journal(id_="zzz")
        made = ended(journal)
        id_ = desk.die(journal)
        for expected in ([id_], []):
            assert await recovery.recover() == expected
            assert closed(database, newer) is None
        assert check(database) == made
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1
        desk.adopted(newer).release()
        assert segment_path(disk, newer, 0).exists()
        other = Recovery(disk, database, desk.clock)
        assert await other.recover() == []
        assert await other.remove_old(2**60) == [id_]
        assert disk.journals() == [newer]

    async def test_one_whose_process_died_before_its_first_segment_holds_nothing_up(
        self, desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database
    ) -> None:
        disk.make(JournalId("aaa")).release()
        segment_path(disk, JournalId("aaa"), 0).write_bytes(b"\0" * 5000)
        journal = desk.journal()
        made = ended(journal)
        id_ = desk.die(journal)
        assert await recovery.recover() == [id_]
        assert check(database) == made


async def test_an_end_that_rots_before_its_own_process_reads_it_makes_its_call_unsettled(
    desk: Desk,
    disk: BreakableDisk,
    recovery: Recovery,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = desk.journal()
    rotten, whole = ended(journal, 2)
    with edited(disk, journal.id) as data:
        at = next(each for each in in_segment(disk, journal.id, 0) if each.kind == Kind.END)
        data[at.end - 1] ^= 1
    folder = Folder(journal, disk, database, desk.clock)
    await folder.fold_all()
    assert folder.is_damaged
    assert "is damaged on the disk" in caplog.text
    desk.die(journal)
    await recovery.recover()
    rows = check(database)
    assert (settled(rows), open_rows(rows)) == ([whole.request_id], [rotten.request_id])


async def test_a_folder_that_cannot_be_read_stops_no_other(
    desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database
) -> None:
    (disk.root / "0-broken" / "lock").mkdir(parents=True)  # as unreadable as another user's, for root too
    journal = desk.journal()
    ends, _ = two_of_each(journal)
    desk.die(journal)
    assert await recovery.recover() == [journal.id]
    assert settled(check(database)) == ids(ends)


async def test_what_a_killed_process_had_allocated_is_given_back(
    desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database
) -> None:
    journal = desk.journal()
    ends, _ = two_of_each(journal)
    desk.die(journal)
    size = disk.size_of(journal.id)
    (segment,) = (disk.root / journal.id).glob("*.tlw")
    os.truncate(segment, 2 * size)  # a process that stops trims it itself
    await recovery.recover()
    assert disk.size_of(journal.id) == size
    assert settled(check(database)) == ids(ends)


def two_of_each(journal: Journal) -> tuple[list[Entry], list[Entry]]:
    return ended(journal, 2), begin(journal, 2)
