"""The feed of changes: in commit order, without gaps, and honest about what was pruned."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Connection, select

from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL
from tollway.domain.ids import OrgId
from tollway.store.changes import Changes, announce, position, prune, since
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.schema import changes

A, B, C = OrgId("a"), OrgId("b"), OrgId("c")


@pytest.fixture(autouse=True)
def _deployment(database: Database) -> None:
    database.write_here(lambda db: identify(db, NOON_US))


def announced(database: Database, *orgs: OrgId, at_us: int = NOON_US) -> None:
    for org in orgs:
        database.write_here(partial(announce, org=org, now_us=at_us))


def seen(database: Database, position: int) -> Changes:
    return database.write_here(lambda db: since(db, position))


def numbers(db: Connection) -> list[tuple[int, str]]:
    rows = db.execute(select(changes.c.seq, changes.c.org_id).order_by(changes.c.seq))
    return [(row.seq, row.org_id) for row in rows]


def test_a_new_feed_is_empty_and_complete(database: Database) -> None:
    assert database.write_here(position) == 0
    assert seen(database, 0) == Changes(upto=0, org_ids=frozenset(), complete=True)


def test_changes_are_numbered_in_their_order(database: Database) -> None:
    announced(database, A, B, A)
    assert database.write_here(numbers) == [(1, A), (2, B), (3, A)]
    assert database.write_here(position) == 3


def test_a_reader_gets_what_is_after_its_position(database: Database) -> None:
    announced(database, A, B, C)
    assert seen(database, 0) == Changes(upto=3, org_ids=frozenset({A, B, C}), complete=True)
    assert seen(database, 2) == Changes(upto=3, org_ids=frozenset({C}), complete=True)
    assert seen(database, 3) == Changes(upto=3, org_ids=frozenset(), complete=True)


def test_an_announcement_whose_transaction_fails_was_never_made(database: Database) -> None:
    def work(db: Connection) -> None:
        announce(db, A, NOON_US)
        raise KeyError("b")

    with pytest.raises(KeyError):
        database.write_here(work)
    announced(database, B)
    assert database.write_here(numbers) == [(1, B)]


def test_a_reader_who_missed_pruned_changes_is_told_so(database: Database) -> None:
    announced(database, A, at_us=NOON_US - 1)
    announced(database, B)
    assert database.write_here(lambda db: prune(db, NOON_US)) == 1
    assert seen(database, 0) == Changes(upto=2, org_ids=frozenset({B}), complete=False)
    assert seen(database, 1) == Changes(upto=2, org_ids=frozenset({B}), complete=True)


def test_a_feed_that_was_pruned_to_nothing_keeps_its_position(database: Database) -> None:
    announced(database, A, B)
    assert database.write_here(lambda db: prune(db, NOON_US + 1)) == 2
    assert seen(database, 0) == Changes(upto=2, org_ids=frozenset(), complete=False)
    assert seen(database, 2) == Changes(upto=2, org_ids=frozenset(), complete=True)
    announced(database, C)
    assert database.write_here(numbers) == [(3, C)]


def test_a_reader_ahead_of_a_restored_database_is_told_to_forget_all(database: Database) -> None:
    announced(database, A)
    assert seen(database, 7) == Changes(upto=1, org_ids=frozenset(), complete=False)


@ON_POSTGRESQL
def test_announcements_made_at_once_leave_no_gap_and_none_is_overtaken(database: Database) -> None:
    def read_until_all() -> set[OrgId]:
        at = 0
        found: set[OrgId] = set()
        while len(found) < 24:
            news = seen(database, at)
            assert news.complete
            found |= news.org_ids
            at = news.upto
        return found

    orgs = [OrgId(f"org-{number}") for number in range(24)]
    with ThreadPoolExecutor(5) as threads:
        reader = threads.submit(read_until_all)
        list(threads.map(lambda org: announced(database, org), orgs))
        assert reader.result() == set(orgs)
    assert [seq for seq, _ in database.write_here(numbers)] == list(range(1, 25))
