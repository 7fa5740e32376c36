"""The fold of refused calls: totals without rows, each count added once."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.metering.journals import refusal
from tests.store.folds import OTHER_JOURNAL, OTHER_ORG, behind, check, moved, position, refused_of
from tests.world.clock import NOON_US
from tests.world.entries import JOURNAL, ON_POSTGRESQL, ORG, entry
from tollway.domain.ids import JournalId, OrgId, new_id
from tollway.domain.ledger import Batch
from tollway.domain.refusal import Refused
from tollway.store.database import Database
from tollway.store.usage import fold

KEY = ("acme-app", "rate_limit_exceeded")


def of(org: OrgId, app: str, count: int, code: str = KEY[1]) -> Refused:
    return Refused(org_id=org, app=app, code=code, count=count, at_us=NOON_US)


def told(*counts: Refused, first: int = 0, journal: JournalId = JOURNAL) -> Batch:
    """A batch with these counts and nothing else."""
    refusals = list(enumerate(counts, first))
    return Batch(journal=journal, first=first, upto=first + len(counts), refusals=refusals)


def test_counts_are_added_by_organisation_app_and_code(database: Database) -> None:
    counts = [
        of(ORG, "search", 1),
        of(OTHER_ORG, "search", 2),
        of(ORG, "chat", 4),
        of(ORG, "search", 8, "plan_exhausted"),
        of(ORG, "search", 16),
    ]
    assert moved(database, told(*counts)) == 5
    assert refused_of(database) == {
        ("search", KEY[1]): 17,
        ("chat", KEY[1]): 4,
        ("search", "plan_exhausted"): 8,
    }
    assert refused_of(database, OTHER_ORG) == {("search", KEY[1]): 2}
    assert check(database) == []


def test_they_are_no_part_of_what_rows_add_up_to(database: Database) -> None:
    written = entry()
    batch = Batch(
        journal=JOURNAL, first=0, upto=4, entries=[(1, written)], refusals=[(0, refusal(2)), (3, refusal(3))]
    )
    assert moved(database, batch) == 4
    assert check(database) == [written]
    assert refused_of(database) == {KEY: 5}


def test_a_batch_that_is_folded_again_adds_nothing(database: Database) -> None:
    for _ in range(3):
        assert moved(database, told(refusal(2), refusal(3))) == 2
    assert refused_of(database) == {KEY: 5}


def test_of_a_batch_that_is_known_in_part_the_rest_is_added(database: Database) -> None:
    moved(database, told(refusal(2), refusal(3)))
    assert moved(database, told(refusal(2), refusal(3), refusal(5))) == 3
    assert refused_of(database) == {KEY: 10}


def test_of_one_whose_beginning_is_not_here_nothing_is_added(database: Database) -> None:
    assert moved(database, told(refusal(2), first=7)) == 0
    assert refused_of(database) == {}
    assert position(database) == 0


def test_the_same_offset_of_another_journal_is_another_count(database: Database) -> None:
    moved(database, told(refusal(2)))
    moved(database, told(refusal(2), journal=OTHER_JOURNAL))
    assert refused_of(database) == {KEY: 4}


@ON_POSTGRESQL
def test_two_that_count_the_same_at_once_lose_nothing_and_wait_for_each_other(database: Database) -> None:
    mine = told(of(ORG, "search", 1), of(OTHER_ORG, "search", 2))
    theirs = told(of(OTHER_ORG, "search", 4), of(ORG, "search", 8), journal=OTHER_JOURNAL)
    assert behind(database, lambda db: fold(db, mine, NOON_US), lambda: moved(database, theirs)) == 2
    assert refused_of(database) == {("search", KEY[1]): 9}
    assert refused_of(database, OTHER_ORG) == {("search", KEY[1]): 6}


@pytest.mark.parametrize("count", [0, 2**63 - 1])
def test_any_count_that_fits_is_kept(database: Database, count: int) -> None:
    moved(database, told(refusal(count)))
    assert refused_of(database) == {KEY: count}


@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    counts=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1000)), max_size=12),
    cuts=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=6),
)
def test_however_it_is_cut_and_repeated_each_offset_counts_once(
    database: Database, counts: list[tuple[str, int]], cuts: list[tuple[int, int]]
) -> None:
    org, journal = OrgId(new_id(NOON_US)), JournalId(new_id(NOON_US))
    every = [of(org, app, count) for app, count in counts]
    for first, size in [*cuts, (0, len(every))]:
        piece = every[first : first + size]
        if piece:
            moved(database, told(*piece, first=first, journal=journal))
    expected = Counter[tuple[str, str]]()
    for app, count in counts:
        expected[app, KEY[1]] += count
    assert Counter(refused_of(database, org)) == expected
