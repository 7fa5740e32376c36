"""Recovery, however often, from wherever and by however many: each call has one row."""

import asyncio
import contextlib
from itertools import chain

import pytest
from sqlalchemy import update

from tests.metering.journals import BreakableDisk, Desk, begin, ended, finish, ids, rotate
from tests.metering.ledgers import Restoring, closed, forget, open_rows, settled
from tests.store.folds import check
from tests.world.clock import TurningClock
from tests.world.entries import start_of
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Entry, EntryKind, Outcome
from tollway.domain.usage import Unit
from tollway.metering.folder import RECORDS_PER_BATCH, Folder
from tollway.metering.recovery import Recovery
from tollway.store.database import Database
from tollway.store.schema import journals


class TestAgain:
    """However often, from wherever, by however many: each call has one row."""

    async def test_a_fold_that_was_half_done_is_finished(
        self, desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database
    ) -> None:
        journal = desk.journal("never")
        folder = Folder(journal, disk, database, desk.clock)
        running = begin(journal, 2)
        made = rotate(journal)
        await folder.fold_all()
        made += rotate(journal)
        await folder.fold_some()
        made += ended(journal, 3)
        finish(journal, running[:1])
        desk.die(journal)
        await recovery.recover()
        rows = check(database)
        assert settled(rows) == ids([*made, *running[:1]])
        assert open_rows(rows) == ids(running[1:])

    @pytest.mark.parametrize("position_too", [True, False])
    async def test_recovered_again_nothing_changes(
        self, desk: Desk, recovery: Recovery, database: Database, position_too: bool
    ) -> None:
        journal = desk.journal()
        ended(journal, 3)
        begin(journal, 2)
        rotate(journal)
        id_ = desk.die(journal)
        await recovery.recover()
        before = check(database)
        values = {"closed_us": None, **({"folded_to": 0} if position_too else {})}
        database.write_here(lambda db: db.execute(update(journals).values(values)))
        desk.clock.advance(3600)
        assert await recovery.recover() == [id_]
        assert check(database) == before

    async def test_by_two_at_once_one_does_it(
        self, desk: Desk, disk: BreakableDisk, database: Database, clock: TurningClock
    ) -> None:
        journal = desk.journal()
        made = ended(journal, 20)
        running = begin(journal, 3)
        id_ = desk.die(journal)
        recoveries = [Recovery(disk, database, clock) for _ in range(3)]
        found = await asyncio.gather(*(each.recover() for each in recoveries))
        assert [*chain(*found)][:1] == [id_]
        rows = check(database)
        assert (settled(rows), open_rows(rows)) == (ids(made), ids(running))
        desk.adopted(id_).release()

    @pytest.mark.parametrize("turns", range(0, 40, 3))
    async def test_given_up_anywhere_and_done_again_each_call_has_one_row(
        self, desk: Desk, recovery: Recovery, database: Database, turns: int
    ) -> None:
        journal = desk.journal()
        made = ended(journal, 4)
        running = begin(journal, 2)
        id_ = desk.die(journal)
        task = asyncio.create_task(recovery.recover())
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        desk.adopted(id_).release()
        await recovery.recover()
        rows = check(database)
        assert (settled(rows), open_rows(rows)) == (ids(made), ids(running))
        assert closed(database, id_) is not None

    async def test_an_end_that_turns_up_later_settles_the_call(
        self, desk: Desk, recovery: Recovery, database: Database
    ) -> None:
        journal = desk.journal()
        (late,) = begin(journal)
        desk.die(journal)
        await recovery.recover()
        other = desk.journal()
        other.start(start_of(late))
        finish(other, [late])
        desk.die(other)
        await recovery.recover()
        first, second = check(database)
        assert (first.outcome, second.kind) == (Outcome.UNSETTLED, EntryKind.CORRECTION)
        assert second.cost == late.cost


class TestRestored:
    async def test_what_the_dead_had_is_folded_again(
        self, desk: Desk, recovery: Recovery, database: Database
    ) -> None:
        made: list[Entry] = []
        running: list[Entry] = []
        died: list[JournalId] = []
        for _ in range(2):
            journal = desk.journal(id_=f"journal-{len(died)}")
            made += ended(journal, 2) + rotate(journal)
            running += begin(journal)
            died.append(desk.die(journal))
            await recovery.recover()
        forget(database)
        assert await recovery.recover() == died
        rows = check(database)
        assert (set(settled(rows)), set(open_rows(rows))) == (set(ids(made)), set(ids(running)))

    async def test_what_is_gone_is_said_and_the_rest_is_folded(
        self,
        desk: Desk,
        disk: BreakableDisk,
        recovery: Recovery,
        database: Database,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        journal = desk.journal()
        gone, made = rotate(journal), rotate(journal)
        id_ = desk.die(journal)
        disk.remove_segment(id_, 0)
        await recovery.recover()
        assert settled(check(database)) == ids([gone[-1], *made])
        assert f"records of journal {id_} are gone" in caplog.text

    async def test_if_it_happens_meanwhile_the_next_one_begins_anew(
        self, desk: Desk, disk: BreakableDisk, database: Database
    ) -> None:
        journal = desk.journal("never")
        made = ended(journal, RECORDS_PER_BATCH * 2)
        id_ = desk.die(journal)
        recovery = Recovery(disk, database, Restoring(database, 4))
        with pytest.raises(StoreUnavailable, match="restored"):
            await recovery.recover()
        desk.adopted(id_).release()
        assert await recovery.recover() == [id_]
        assert check(database) == made

    @pytest.mark.parametrize("restores_at", range(1, 9))
    async def test_nothing_is_skipped_though_a_batch_is_taken_apart_meanwhile(
        self, desk: Desk, disk: BreakableDisk, database: Database, clock: TurningClock, restores_at: int
    ) -> None:
        journal = desk.journal()
        made = ended(journal, 2)
        ended(journal, units={Unit.INPUT: 2**63})  # more than any database takes
        made += ended(journal, 2)
        id_ = desk.die(journal)
        with contextlib.suppress(StoreUnavailable):
            await Recovery(disk, database, Restoring(database, restores_at)).recover()
        await Recovery(disk, database, clock).recover()
        assert check(database) == made
        assert closed(database, id_) is not None
