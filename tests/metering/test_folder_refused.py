"""Counts of refused calls on their way into the totals: once, and again after a restore."""

import asyncio

import pytest
from sqlalchemy import update

from tests.metering.journals import BreakableDisk, Desk, begin, ended, finish, ids, price, refusal, rotate
from tests.metering.ledgers import Restoring, closed, forget, stored
from tests.metering.test_folder import running
from tests.store.folds import position, refused_of
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import ON_POSTGRESQL, ORG
from tests.world.waiting import until
from tollway.domain.body import BodyPiece, Part
from tollway.domain.refusal import Refused
from tollway.domain.usage import Unit
from tollway.metering.folder import RECORDS_PER_BATCH, Folder
from tollway.metering.journal import Journal
from tollway.metering.recovery import Recovery
from tollway.store.database import Database
from tollway.store.prices import read_prices
from tollway.store.schema import journals

KEY = ("acme-app", "rate_limit_exceeded")
POISON = refusal(2**63)
"""More than any database takes."""


def value(database: Database) -> int:
    return refused_of(database).get(KEY, 0)


class TestFolded:
    async def test_they_are_added_by_themselves_though_no_call_ends(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        async with running(folder):
            journal.refused([refusal(2), refusal(3), refusal(1, "plan_exhausted")])
            await until(lambda: not folder.waiting)
            journal.refused([refusal(5)])
            await until(lambda: not folder.waiting)
        assert refused_of(database) == {KEY: 10, ("acme-app", "plan_exhausted"): 1}
        assert stored(database) == []
        assert position(database, journal.id) == journal.next_offset

    async def test_more_than_one_batch_over_more_than_one_segment(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        made = []
        for _ in range(RECORDS_PER_BATCH // 2):
            journal.refused([refusal(1), refusal(2)])
            made += ended(journal)
        assert journal.extent[0] > 1
        await folder.fold_all()
        assert value(database) == 3 * RECORDS_PER_BATCH // 2
        assert stored(database) == ids(made)

    async def test_several_that_fold_at_once_add_each_once(
        self, journal: Journal, folder: Folder, database: Database, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        other = Folder(journal, disk, database, clock)
        for each in (folder, other, other, folder):
            journal.refused([refusal(2)])
            ended(journal)
            await each.fold_all()
            await asyncio.gather(folder.fold_all(), other.fold_all())
        assert value(database) == 8

    async def test_what_a_failed_synchronisation_left_behind_is_added_once(
        self, journal: Journal, folder: Folder, database: Database, disk: BreakableDisk
    ) -> None:
        made = ended(journal)
        journal.refused([refusal(2)])
        await folder.fold_all()
        disk.syncs.breaks_once()
        await journal.sync()
        journal.refused([refusal(3)])
        await folder.fold_all()
        assert value(database) == 5
        assert stored(database) == ids(made)


class TestDead:
    async def test_what_the_dead_counted_is_added_once_however_often_it_is_recovered(
        self, desk: Desk, journal: Journal, recovery: Recovery, database: Database
    ) -> None:
        journal.refused([refusal(2)])
        made = rotate(journal)
        journal.refused([refusal(3)])
        id_ = desk.die(journal)
        assert await recovery.recover() == [id_]
        assert value(database) == 5
        database.write_here(lambda db: db.execute(update(journals).values(closed_us=None)))
        assert await recovery.recover() == [id_]
        assert value(database) == 5
        assert stored(database) == ids(made)

    async def test_what_its_own_process_had_folded_is_not_added_again(
        self, desk: Desk, journal: Journal, folder: Folder, recovery: Recovery, database: Database
    ) -> None:
        journal.refused([refusal(2)])
        await folder.fold_all()
        journal.refused([refusal(3)])
        desk.die(journal)
        await recovery.recover()
        assert value(database) == 5

    async def test_what_lies_torn_behind_its_end_is_added_at_most_once(
        self, desk: Desk, journal: Journal, recovery: Recovery, database: Database, disk: BreakableDisk
    ) -> None:
        made = ended(journal)
        disk.torn_at = 10_000
        disk.trims.breaks()
        disk.writes.breaks_once()
        assert journal.refused([refusal(2)])
        made += rotate(journal)
        journal.refused([refusal(3)])
        desk.die(journal)
        await recovery.recover()
        assert value(database) in (3, 5)
        assert stored(database) == ids(made)

    async def test_one_that_counted_nothing_else_is_closed(
        self, desk: Desk, journal: Journal, recovery: Recovery, database: Database
    ) -> None:
        journal.refused([refusal()])
        id_ = desk.die(journal)
        await recovery.recover()
        assert closed(database, id_) is not None
        assert position(database, id_) == 1


class TestRestored:
    @pytest.mark.parametrize("position_too", [True, False])
    async def test_the_living_bring_theirs_back(
        self, journal: Journal, folder: Folder, database: Database, position_too: bool
    ) -> None:
        journal.refused([refusal(2)])
        made = rotate(journal)
        journal.refused([refusal(3)])
        await folder.fold_all()
        forget(database, position_too=position_too)
        assert value(database) == 0
        await folder.catch_up()
        assert value(database) == 5
        assert stored(database) == ids(made)

    async def test_a_replay_brings_back_those_of_the_dead(
        self, desk: Desk, journal: Journal, recovery: Recovery, database: Database
    ) -> None:
        journal.refused([refusal(2)])
        id_ = desk.die(journal)
        await recovery.recover()
        forget(database)
        assert [each async for each in recovery.replay()] == [(id_, 1)]
        assert value(database) == 2

    @pytest.mark.parametrize("restores_at", range(1, 8))
    async def test_none_is_lost_or_doubled_though_a_batch_is_taken_apart_meanwhile(
        self, desk: Desk, disk: BreakableDisk, database: Database, clock: TurningClock, restores_at: int
    ) -> None:
        journal = desk.journal()
        folder = Folder(journal, disk, database, Restoring(database, restores_at))
        journal.refused([refusal(2), POISON, refusal(3)])
        made = ended(journal)
        await folder.fold_all()
        await Folder(journal, disk, database, clock).catch_up()
        await folder.catch_up()
        assert value(database) == 5
        assert stored(database) == ids(made)


class TestPoison:
    """A count that no database takes is set aside alone; so is an entry."""

    @pytest.mark.parametrize("counts", [[POISON], [refusal(2), POISON], [POISON, refusal(2)]])
    async def test_it_stops_no_other(
        self,
        journal: Journal,
        folder: Folder,
        database: Database,
        counts: list[Refused],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        journal.refused(counts)
        await folder.fold_all()
        assert value(database) == 2 * (len(counts) - 1)
        (said,) = (each.getMessage() for each in caplog.records if each.name.startswith("tollway"))
        assert said == f"refused calls could not be counted: {POISON!r}"
        made = ended(journal)
        journal.refused([refusal(5)])
        await folder.fold_all()
        assert value(database) == 2 * (len(counts) - 1) + 5
        assert stored(database) == ids(made)
        assert folder.waiting == 0

    async def test_counts_around_an_entry_that_is_one_are_added_once_and_in_order(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        journal.refused([refusal(2)])
        made = ended(journal)
        journal.refused([refusal(3)])
        ended(journal, units={Unit.INPUT: 2**63})
        journal.refused([refusal(5), POISON])
        made += ended(journal)
        await folder.fold_all()
        assert value(database) == 10
        assert stored(database) == ids(made)
        assert position(database, journal.id) == journal.next_offset

    async def test_a_body_that_is_one_costs_no_record(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        made = ended(journal)
        journal.refused([refusal(2)])
        odd = BodyPiece(
            org_id=ORG,
            request_id=made[0].request_id,
            attempt=2**63,
            part=Part.REQUEST,
            at=0,
            data=b"",
            written_us=NOON_US,
        )
        journal.body(odd)
        journal.refused([refusal(3)])
        await folder.fold_all()
        assert value(database) == 5
        assert stored(database) == ids(made)
        assert folder.waiting == 0

    @ON_POSTGRESQL
    async def test_a_price_that_is_one_stops_nothing_that_follows(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        finish(journal, begin(journal), [price("\0@1")])
        await folder.fold_all()
        made = ended(journal)
        await folder.fold_all()
        assert stored(database) == ids(made)
        assert folder.waiting == 0

    async def test_a_price_that_was_told_with_one_is_kept_for_what_follows(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        finish(journal, begin(journal, units={Unit.INPUT: 2**63}), [price("a@1")])
        await folder.fold_all()
        finish(journal, begin(journal), [price("a@1")])  # this segment has told it
        await folder.fold_all()
        assert database.write_here(lambda db: read_prices(db, ["a@1"])) == {"a@1": price("a@1")}
