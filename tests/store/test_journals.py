"""The registry of journals: which there are, where they lie, and how far each is folded."""

import pytest

from tests.store.folds import OTHER_JOURNAL, folded, numbered, position
from tests.world.clock import NOON_US
from tests.world.entries import JOURNAL, entry
from tollway.domain.ids import JournalId
from tollway.store.database import Database
from tollway.store.journals import (
    JournalState,
    close_journal,
    forfeit_journal,
    list_journals,
    position_of,
    register_journal,
    states_of,
)

PLACE = "host-1:/var/lib/tollway/journal"
NEW = JournalState(id=JOURNAL, place=PLACE, folded_to=0, added_us=NOON_US, closed_us=None, forfeited_us=None)


def register(
    database: Database, journal: JournalId = JOURNAL, place: str = PLACE, at_us: int = NOON_US
) -> None:
    database.write_here(lambda db: register_journal(db, journal, place, at_us))


def close(database: Database, journal: JournalId = JOURNAL, at_us: int = NOON_US) -> None:
    database.write_here(lambda db: close_journal(db, journal, at_us))


def forfeit(database: Database, journal: JournalId = JOURNAL, at_us: int = NOON_US) -> bool:
    return database.write_here(lambda db: forfeit_journal(db, journal, at_us))


def state(database: Database, journal: JournalId = JOURNAL) -> JournalState:
    return database.write_here(lambda db: states_of(db, [journal]))[journal]


def test_a_new_journal_is_open_and_nothing_of_it_is_folded(database: Database) -> None:
    register(database)
    assert state(database) == NEW
    assert database.write_here(list_journals) == [NEW]


def test_registering_a_journal_again_changes_nothing(database: Database) -> None:
    register(database)
    folded(database, numbered([entry(), entry()]))
    close(database, at_us=NOON_US + 5)
    before = state(database)
    register(database, place="elsewhere", at_us=NOON_US + 9)
    assert state(database) == before
    assert (before.folded_to, before.place, before.added_us) == (2, PLACE, NOON_US)


def test_the_position_of_an_unknown_journal_is_its_beginning_and_it_is_known_from_then_on(
    database: Database,
) -> None:
    assert database.write_here(lambda db: position_of(db, JOURNAL, NOON_US + 3)) == 0
    found = state(database)
    assert (found.place, found.folded_to, found.added_us) == ("", 0, NOON_US + 3)


def test_asking_for_a_position_moves_nothing(database: Database) -> None:
    folded(database, numbered([entry(), entry()]))
    assert database.write_here(lambda db: position_of(db, JOURNAL, NOON_US)) == 2
    assert position(database) == 2


def test_journals_are_listed_oldest_first_and_those_of_one_time_by_id(database: Database) -> None:
    for name, at_us in (("c", 2), ("b", 2), ("a", 3), ("d", 1)):
        register(database, JournalId(name), at_us=at_us)
    assert [found.id for found in database.write_here(list_journals)] == ["d", "b", "c", "a"]


def test_without_journals_there_is_nothing_to_list(database: Database) -> None:
    assert database.write_here(list_journals) == []
    assert database.write_here(lambda db: states_of(db, [])) == {}


def test_states_are_of_the_journals_that_were_asked_for_and_are_known(database: Database) -> None:
    register(database)
    register(database, OTHER_JOURNAL)
    found = database.write_here(lambda db: states_of(db, [JOURNAL, JournalId("nobody's")]))
    assert found == {JOURNAL: NEW}
    both = database.write_here(lambda db: states_of(db, {JOURNAL, OTHER_JOURNAL}))
    assert {journal: each.id for journal, each in both.items()} == {
        JOURNAL: JOURNAL,
        OTHER_JOURNAL: OTHER_JOURNAL,
    }


def test_a_closed_journal_is_closed_at_a_time_and_alone(database: Database) -> None:
    register(database)
    register(database, OTHER_JOURNAL)
    close(database, at_us=NOON_US + 7)
    assert state(database).closed_us == NOON_US + 7
    assert state(database, OTHER_JOURNAL).closed_us is None


def test_closing_a_journal_that_is_not_known_does_nothing(database: Database) -> None:
    register(database)
    close(database, JournalId("nobody's"))
    assert database.write_here(list_journals) == [NEW]


def test_an_open_journal_is_forfeited_once(database: Database) -> None:
    register(database)
    register(database, OTHER_JOURNAL)
    assert forfeit(database, at_us=NOON_US + 7)
    assert not forfeit(database, at_us=NOON_US + 8)
    assert state(database).forfeited_us == NOON_US + 7
    assert state(database, OTHER_JOURNAL).forfeited_us is None


@pytest.mark.parametrize("journal", [JOURNAL, JournalId("nobody's")])
def test_a_journal_that_is_closed_or_unknown_is_not_forfeited(database: Database, journal: JournalId) -> None:
    register(database)
    close(database)
    assert not forfeit(database, journal)
    assert state(database).forfeited_us is None


def test_a_forfeited_journal_that_turns_up_again_is_folded_and_closed(database: Database) -> None:
    register(database)
    forfeit(database)
    assert folded(database, numbered([entry()])) == 1
    close(database, at_us=NOON_US + 7)
    found = state(database)
    assert (found.folded_to, found.closed_us, found.forfeited_us) == (1, NOON_US + 7, NOON_US)


def test_a_closed_journal_is_folded_again_after_its_database_was_restored(database: Database) -> None:
    register(database)
    close(database)
    assert folded(database, numbered([entry()])) == 1
    assert state(database).closed_us == NOON_US
