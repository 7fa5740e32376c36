"""The folder and a database that lost its memory, or does not take what it is given."""

import pytest
from sqlalchemy import func, select, update

from tests.metering.journals import BreakableDisk, Desk, begin, ended, ids, rotate
from tests.metering.ledgers import Restoring, forget, stored
from tests.store.folds import position
from tests.world.clock import TurningClock
from tollway.domain.ledger import Batch
from tollway.domain.usage import Unit
from tollway.metering.folder import Folder, fold_batch
from tollway.metering.journal import Journal
from tollway.store.database import Database
from tollway.store.journals import position_of
from tollway.store.schema import journals, ledger

POISON = {Unit.INPUT: 2**63}
"""More than any database takes."""


class TestRestored:
    """The database is as it was some time ago; what it lacks is in the journal."""

    @pytest.mark.parametrize("position_too", [True, False])
    async def test_it_is_caught_up_by_whoever_looks(
        self, journal: Journal, folder: Folder, database: Database, position_too: bool
    ) -> None:
        made = ended(journal, 3) + rotate(journal)
        await folder.fold_all()
        forget(database, position_too=position_too)
        await folder.catch_up()
        assert stored(database) == ids(made)
        assert folder.waiting == 0

    @pytest.mark.parametrize("position_too", [True, False])
    async def test_or_by_the_next_fold(
        self, journal: Journal, folder: Folder, database: Database, position_too: bool
    ) -> None:
        made = ended(journal, 3) + rotate(journal)
        await folder.fold_all()
        forget(database, position_too=position_too)
        made += ended(journal)
        await folder.fold_all()
        assert stored(database) == ids(made)

    async def test_one_that_lacks_nothing_is_left_alone(
        self, journal: Journal, folder: Folder, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        await folder.catch_up()
        made = ended(journal, 3)
        await folder.catch_up()  # nothing is folded yet: that is no restoration
        assert stored(database) == []
        await folder.fold_all()
        await folder.catch_up()
        assert stored(database) == ids(made)
        assert [each for each in caplog.records if each.name.startswith("tollway")] == []

    async def test_what_is_needed_again_is_not_removed_meanwhile(
        self, desk: Desk, disk: BreakableDisk, database: Database, clock: TurningClock
    ) -> None:
        journal = desk.journal("never")
        folder = Folder(journal, disk, database, clock)
        made = []
        for _ in range(4):
            made += rotate(journal)
        await folder.fold_all()
        forget(database)
        assert await folder.fold_some() is False  # nothing new to fold: nothing is noticed
        made += ended(journal)
        assert await folder.fold_some()  # noticed
        await folder.fold_some()
        journal.drop(2**60)
        await folder.fold_all()
        assert stored(database) == ids(made)

    async def test_what_is_gone_from_the_disk_is_said_and_the_rest_is_stored(
        self,
        journal: Journal,
        folder: Folder,
        database: Database,
        disk: BreakableDisk,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        gone = rotate(journal)
        kept = rotate(journal)
        await folder.fold_all()
        disk.remove_segment(journal.id, 0)
        forget(database)
        await folder.catch_up()
        assert stored(database) == ids([gone[-1], *kept])  # the one that made it rotate is in the next
        assert f"{2 * (len(gone) - 1)} records of journal {journal.id} are gone" in caplog.text
        assert folder.waiting == 0

    async def test_nothing_is_skipped_if_it_happens_while_a_batch_is_taken_apart(
        self, journal: Journal, disk: BreakableDisk, database: Database
    ) -> None:
        for restores_at in range(2, 8):
            made = ended(journal, 2)
            await Folder(journal, disk, database, TurningClock()).fold_all()
            folder = Folder(journal, disk, database, Restoring(database, restores_at))
            poison = ended(journal, units=POISON)
            made += ended(journal, 2)
            await folder.fold_all()
            await folder.catch_up()
            found = stored(database)
            assert set(ids(made)) <= set(found)
            assert poison[0].request_id not in found


class TestPoison:
    """An entry that no database takes is set aside alone."""

    @pytest.mark.parametrize("before", [0, 2])
    @pytest.mark.parametrize("after", [0, 2])
    async def test_it_stops_no_other(
        self,
        journal: Journal,
        folder: Folder,
        database: Database,
        before: int,
        after: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        made = ended(journal, before)
        (poison,) = ended(journal, units=POISON)
        made += ended(journal, after)
        begin(journal)
        await folder.fold_all()
        assert stored(database) == ids(made)
        (said,) = (each.getMessage() for each in caplog.records if each.name.startswith("tollway"))
        assert said.startswith("a metered call could not be stored")
        assert poison.request_id in said
        made += ended(journal)
        await folder.fold_all()
        assert stored(database) == ids(made)
        assert folder.waiting == 0

    async def test_its_journal_goes_on_behind_it(
        self, journal: Journal, folder: Folder, database: Database
    ) -> None:
        ended(journal, units=POISON)
        await folder.fold_all()
        assert position(database, journal.id) == journal.next_offset == 2
        assert stored(database) == []

    async def test_it_never_moves_a_position_back(
        self, journal: Journal, database: Database, clock: TurningClock
    ) -> None:
        poison = ended(journal, units=POISON)
        batch = Batch(journal=journal.id, first=0, upto=2, entries=[(1, poison[0])])
        database.write_here(lambda db: position_of(db, journal.id, 0))
        assert await fold_batch(database, batch, clock) == 2
        database.write_here(lambda db: db.execute(update(journals).values(folded_to=9)))
        assert await fold_batch(database, batch, clock) == 9
        assert position(database, journal.id) == 9
        count = select(func.count()).select_from(ledger)
        assert database.write_here(lambda db: db.execute(count).scalar_one()) == 0
