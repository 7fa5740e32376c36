"""Recovery looks at journals, removes old ones, and leaves all as it is while the database is away."""

import pytest
from sqlalchemy import delete

from tests.metering.journals import BreakableDisk, Desk, begin, ended
from tests.store.folds import check, position
from tests.world.clock import TurningClock
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import JournalId
from tollway.metering.folder import Folder
from tollway.metering.recovery import Recovery
from tollway.store.database import Database
from tollway.store.schema import journals


class TestAway:
    async def test_a_database_that_is_away_leaves_the_lock_and_the_journal(
        self, desk: Desk, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        database = Database(f"sqlite:///{disk.root / 'missing' / 'tollway.db'}")
        journal = desk.journal()
        ended(journal)
        id_ = desk.die(journal)
        with pytest.raises(StoreUnavailable):
            await Recovery(disk, database, clock).recover()
        desk.adopted(id_).release()
        database.close()


class TestRemoval:
    async def test_journals_go_some_time_after_they_were_closed(
        self, desk: Desk, disk: BreakableDisk, database: Database, clock: TurningClock
    ) -> None:
        own, living, dead = (desk.journal(id_=name) for name in ("own", "living", "dead"))
        recovery = Recovery(disk, database, clock, own=own.id)
        unfolded = desk.journal(id_="unfolded")
        ended(dead)
        desk.die(dead)
        assert await recovery.recover() == [dead.id]
        desk.die(unfolded)
        for journal in (own, living):
            ended(journal)
            await Folder(journal, disk, database, clock).fold_all()
        assert await recovery.remove_old(clock.now_us()) == []
        clock.advance(1)
        assert await recovery.remove_old(clock.now_us()) == ["dead"]
        assert disk.journals() == ["living", "own", "unfolded"]
        assert await recovery.remove_old(clock.now_us()) == []
        assert len(check(database)) == 3
        assert position(database, dead.id) == 2


class TestLooking:
    async def test_it_says_what_lies_here_and_who_lives(
        self, desk: Desk, disk: BreakableDisk, recovery: Recovery
    ) -> None:
        alive, dead = desk.journal(id_="alive"), desk.journal(id_="dead")
        desk.die(dead)
        found = recovery.here()
        assert {id_: lying.is_alive for id_, lying in found.items()} == {"alive": True, "dead": False}
        assert {id_: lying.size for id_, lying in found.items()} == {
            id_: disk.size_of(id_) for id_ in (alive.id, dead.id)
        }
        assert found[alive.id].size > found[dead.id].size
        desk.adopted(dead.id).release()

    async def test_it_tells_what_is_not_in_the_ledger(
        self, desk: Desk, disk: BreakableDisk, recovery: Recovery, database: Database
    ) -> None:
        journal = desk.journal(id_="one")
        folded, _ = ended(journal, 2), begin(journal, 2)
        await Folder(journal, disk, database, desk.clock).fold_all()
        waiting, _ = ended(journal, 2), begin(journal, 2)
        other = desk.journal(id_="two")
        unknown, _ = ended(other, 2), begin(other, 2)
        disk.make(JournalId("unreadable")).release()
        assert list(await recovery.unfolded()) == [*waiting, *unknown]
        database.write_here(lambda db: db.execute(delete(journals)))
        assert list(await recovery.unfolded()) == [*folded, *waiting, *unknown]
