"""The outbox: a letter is in one pair of hands at a time, and comes back from hands that let go."""

from functools import partial

import pytest
from sqlalchemy import Connection, delete

from tests.notices.offices import LIMIT, row, rows
from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL, make_org
from tollway.domain.ids import OrgId, UserId
from tollway.store.database import Database
from tollway.store.orgs import delete_org
from tollway.store.outbox import (
    BATCH,
    KEPT_US,
    LEASE_US,
    Letter,
    Outcome,
    add_letter,
    count_letters,
    has_unlogged,
    list_letters,
    log_letters,
    note_letter,
    prune_letters,
    retry_letter,
    take_letters,
)
from tollway.store.schema import members, orgs

KIND = "alert.soft_limit"
SENT = Outcome(sent=True)


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(partial(make_org, billing_email="billing@example.com"))


def add(database: Database, org: OrgId, at_us: int = NOON_US) -> None:
    database.write_here(lambda db: add_letter(db, org, KIND, LIMIT, at_us))


def take(database: Database, now_us: int = NOON_US) -> list[Letter]:
    return database.write_here(lambda db: take_letters(db, [KIND], now_us))


def note(database: Database, letter: Letter, outcome: Outcome, now_us: int = NOON_US) -> bool:
    return database.write_here(lambda db: note_letter(db, letter.org, letter, outcome, now_us))


def test_those_that_wait_longest_come_first_and_not_all_at_once(database: Database, org: OrgId) -> None:
    for late in reversed(range(BATCH + 2)):
        add(database, org, NOON_US - late)
    taken = [letter.added_us for letter in take(database)]
    assert taken == [NOON_US - late for late in reversed(range(2, BATCH + 2))]
    assert len(take(database)) == 2
    assert take(database) == []


def test_what_is_taken_comes_back_after_the_lease_and_not_before(database: Database, org: OrgId) -> None:
    add(database, org)
    (first,) = take(database)
    assert take(database, NOON_US + LEASE_US - 1) == []
    (second,) = take(database, NOON_US + LEASE_US)
    assert (first.id, first.attempt, second.attempt) == (second.id, 1, 2)


def test_whoever_lost_a_letter_notes_nothing_of_it(database: Database, org: OrgId) -> None:
    add(database, org)
    (lost,) = take(database)
    (taken,) = take(database, NOON_US + LEASE_US)
    assert not note(database, lost, Outcome(sent=False, error="too late"))
    assert (row(database).failed_us, row(database).due_us) == (None, taken.lease_us)
    assert not note(database, taken, SENT, NOON_US + LEASE_US)
    assert row(database).sent_us == NOON_US + LEASE_US
    assert not note(database, taken, Outcome(sent=False, error="again"))
    assert row(database).last_error is None


def test_a_letter_that_is_in_hand_when_it_is_retried_is_not_noted_by_the_former_hand(
    database: Database, org: OrgId
) -> None:
    add(database, org)
    (held,) = take(database)
    assert database.write_here(lambda db: retry_letter(db, held.id, NOON_US + 1))
    assert not note(database, held, Outcome(sent=False, error="no"), NOON_US + 2)
    assert (row(database).due_us, row(database).attempts) == (NOON_US + 1, 0)


def test_they_are_counted_listed_and_pruned_by_what_became_of_them(database: Database, org: OrgId) -> None:
    assert database.write_here(count_letters) == (0, 0)
    for _ in range(4):
        add(database, org)
    sent, failed, *_ = take(database)
    note(database, sent, SENT)
    assert note(database, failed, Outcome(sent=False, error="550 no"))
    assert database.write_here(count_letters) == (2, 1)
    listed = {each.id: each for each in database.write_here(list_letters)}
    assert sent.id not in listed
    assert len(listed) == 3
    assert (listed[failed.id].due_us, listed[failed.id].last_error) == (None, "550 no")
    database.write_here(lambda db: prune_letters(db, NOON_US + KEPT_US))
    assert len(rows(database)) == 4
    database.write_here(lambda db: prune_letters(db, NOON_US + KEPT_US + 1))
    assert len(rows(database)) == 2


def test_each_that_waits_is_logged_by_one_process(database: Database, org: OrgId) -> None:
    add(database, org)
    assert database.write_here(has_unlogged)
    assert database.write_here(lambda db: log_letters(db, NOON_US)) == [(KIND, "acme")]
    assert database.write_here(lambda db: log_letters(db, NOON_US)) == []
    assert not database.write_here(has_unlogged)


def test_of_a_deleted_organisation_nothing_is_sent_or_noted(database: Database, org: OrgId) -> None:
    for _ in range(BATCH + 1):
        add(database, org)
    (held, *_) = take(database)
    database.write_here(lambda db: delete_org(db, org, UserId("somebody"), NOON_US))
    assert take(database) == []
    assert not note(database, held, SENT)
    assert rows(database) == []


def test_without_anybody_to_tell_there_is_no_recipient(database: Database, org: OrgId) -> None:
    def emptied(db: Connection) -> None:
        db.execute(delete(members))
        db.execute(orgs.update().values(billing_email=None))

    database.write_here(emptied)
    add(database, org)
    assert [letter.to for letter in take(database)] == [[]]


@ON_POSTGRESQL
def test_nobody_waits_for_letters_that_another_is_taking(
    database: Database, database_url: str, org: OrgId
) -> None:
    for _ in range(BATCH + 1):
        add(database, org)
    other = Database(database_url)

    def both(db: Connection) -> tuple[set[str], set[str]]:
        mine = {letter.id for letter in take_letters(db, [KIND], NOON_US)}
        return mine, {letter.id for letter in take(other)}

    mine, theirs = database.write_here(both)
    other.close()
    assert (len(mine), len(theirs)) == (BATCH, 1)
    assert mine.isdisjoint(theirs)
