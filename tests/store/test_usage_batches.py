"""Batches: repeated, overlapping, with gaps, of two journals, and of a database that was restored."""

import pytest
from sqlalchemy import delete, update

from tests.store.folds import OTHER_JOURNAL, check, folded, moved, numbered, position, sizes
from tests.world.clock import NOON_US
from tests.world.entries import JOURNAL, batch, entry, lost
from tollway.domain.clock import US_PER_S
from tollway.domain.ledger import Batch
from tollway.store.database import Database
from tollway.store.journals import list_journals, register_journal
from tollway.store.schema import journals

DAY_US = 86_400 * US_PER_S


def test_a_batch_that_is_repeated_after_a_lost_answer_is_stored_once(database: Database) -> None:
    records = numbered(entry() for _ in range(3))
    assert folded(database, records) == 3
    assert folded(database, records) == 3
    assert check(database) == [each for _, each in records]


def test_of_overlapping_batches_each_entry_is_stored_once(database: Database) -> None:
    records = numbered(entry() for _ in range(6))
    assert folded(database, records[:4]) == 4
    assert folded(database, records[2:]) == 6
    assert folded(database, records[:1]) == 6
    assert check(database) == [each for _, each in records]


def test_what_lies_below_the_position_is_not_looked_at(database: Database) -> None:
    folded(database, numbered(entry() for _ in range(4)))
    others = numbered(entry() for _ in range(6))
    assert folded(database, others[:4]) == 4
    assert folded(database, others) == 6
    assert check(database)[4:] == [each for _, each in others[4:]]


def test_a_batch_after_a_gap_moves_nothing_and_says_where_to_begin(database: Database) -> None:
    records = numbered(entry() for _ in range(9))
    folded(database, records[:3])
    before = sizes(database)
    assert folded(database, records[4:]) == 3
    assert (sizes(database), position(database)) == (before, 3)
    assert folded(database, records[3:]) == 9
    assert check(database) == [each for _, each in records]


def test_a_batch_that_begins_exactly_at_the_position_is_no_gap(database: Database) -> None:
    records = numbered(entry() for _ in range(3))
    assert [folded(database, [record]) for record in records] == [1, 2, 3]
    assert len(check(database)) == 3


def test_records_that_become_no_row_are_stepped_over(database: Database) -> None:
    first = Batch(journal=JOURNAL, first=0, upto=10, entries=[(3, entry()), (7, entry())])
    assert moved(database, first) == 10
    assert moved(database, Batch(journal=JOURNAL, first=10, upto=15)) == 15
    assert moved(database, Batch(journal=JOURNAL, first=15, upto=15)) == 15
    assert position(database) == 15
    assert len(check(database)) == 2


def test_an_empty_batch_of_a_new_journal_is_nothing(database: Database) -> None:
    assert moved(database, Batch(journal=JOURNAL, first=0, upto=0)) == 0
    assert sizes(database) == [0, 0, 0, 0]


def test_the_same_offset_of_two_journals_are_two_entries(database: Database) -> None:
    assert folded(database, [(0, entry())]) == 1
    assert folded(database, [(0, entry())], OTHER_JOURNAL) == 1
    assert len(check(database)) == 2


def test_an_entry_that_a_second_journal_holds_too_is_stored_once(database: Database) -> None:
    both, own = entry(), entry()
    assert folded(database, [(0, both)]) == 1
    assert folded(database, [(0, both), (1, own)], OTHER_JOURNAL) == 2
    assert check(database) == [both, own]


def test_an_entry_that_is_in_one_batch_twice_is_stored_once(database: Database) -> None:
    twice = entry()
    assert folded(database, [(0, twice), (1, twice)]) == 2
    assert check(database) == [twice]


def test_a_known_call_is_known_beside_calls_that_began_much_later(database: Database) -> None:
    old, new = entry(), entry(started_us=NOON_US + 60 * DAY_US, ended_us=NOON_US + 60 * DAY_US)
    folded(database, [(0, old)])
    folded(database, numbered([new, old]), OTHER_JOURNAL)
    folded(database, numbered([old, new], first=2), OTHER_JOURNAL)
    assert check(database) == [old, new]


@pytest.mark.parametrize("back_us", [1, 1_800 * US_PER_S, 2 * DAY_US])
def test_a_call_that_ended_before_it_began_since_the_clock_was_set_back_is_stored_once(
    database: Database, back_us: int
) -> None:
    odd = entry(started_us=NOON_US, ended_us=NOON_US - back_us)
    folded(database, [(0, odd)])
    assert folded(database, numbered([odd, entry()]), OTHER_JOURNAL) == 2
    assert [row.request_id for row in check(database)].count(odd.request_id) == 1


def test_a_call_that_is_known_to_have_ended_before_it_began_is_not_unsettled(database: Database) -> None:
    odd = entry(started_us=NOON_US, ended_us=NOON_US - 1_800 * US_PER_S)
    folded(database, [(0, odd)])
    folded(database, [(0, lost(odd))], OTHER_JOURNAL)
    assert check(database) == [odd]


def test_a_batch_without_anything_new_numbers_nothing(database: Database) -> None:
    known = entry()
    folded(database, [(0, known)])
    assert folded(database, [(0, known)], OTHER_JOURNAL) == 1
    folded(database, [(1, entry())])
    assert len(check(database)) == 2


def test_a_journal_that_a_restored_database_does_not_know_is_folded_from_its_beginning(
    database: Database,
) -> None:
    records = numbered(entry() for _ in range(9))
    assert folded(database, records[7:]) == 0
    assert sizes(database) == [0, 0, 0, 0]
    assert folded(database, records[:7]) == 7
    assert folded(database, records[7:]) == 9
    assert check(database) == [each for _, each in records]


def test_a_journal_whose_position_was_lost_is_folded_again_without_doubles(database: Database) -> None:
    records = numbered(entry() for _ in range(5))
    folded(database, records[:4])
    database.write_here(lambda db: db.execute(delete(journals)))
    assert folded(database, records[4:]) == 0
    assert folded(database, records) == 5
    assert check(database) == [each for _, each in records]


def test_a_journal_that_was_set_back_is_folded_again_without_doubles(database: Database) -> None:
    records = numbered(entry() for _ in range(5))
    folded(database, records)
    database.write_here(lambda db: db.execute(update(journals).values(folded_to=2)))
    assert folded(database, records[3:]) == 2
    assert folded(database, records[2:]) == 5
    assert check(database) == [each for _, each in records]


def test_a_fold_leaves_other_journals_where_they_are(database: Database) -> None:
    database.write_here(lambda db: register_journal(db, OTHER_JOURNAL, "host:/folder", NOON_US))
    moved(database, batch(numbered(entry() for _ in range(3))))
    found = database.write_here(list_journals)
    assert {(state.id, state.folded_to) for state in found} == {(JOURNAL, 3), (OTHER_JOURNAL, 0)}
