"""Counts of refused calls: told once, kept while nothing takes them, and bounded."""

from collections import Counter
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world.clock import NOON_US
from tollway.domain.ids import OrgId
from tollway.domain.refusal import Refused
from tollway.limits.refused import COUNTS_PER_WRITE, MAX_COUNTS, RefusedCounts

ACME, OTHER = OrgId("org-1"), OrgId("org-2")
RATE, SPENT = "rate_limit_exceeded", "spending_limit_reached"


class Notebook:
    """Who is told; it takes nothing while it is full."""

    def __init__(self) -> None:
        self.is_full = False
        self.writes: list[list[Refused]] = []

    def refused(self, counts: Iterable[Refused]) -> bool:
        if not self.is_full:
            self.writes.append(list(counts))
        return not self.is_full

    @property
    def total(self) -> Counter[tuple[str, str, str]]:
        total: Counter[tuple[str, str, str]] = Counter()
        for told in self.writes:
            for each in told:
                total[each.org_id, each.app, each.code] += each.count
        return total


def test_calls_are_counted_by_organisation_app_and_code() -> None:
    counts, notebook = RefusedCounts(), Notebook()
    for _ in range(3):
        counts.count(ACME, "search", RATE)
    counts.count(ACME, "search", SPENT)
    counts.count(ACME, "chat", RATE)
    counts.count(OTHER, "search", RATE)
    counts.flush(notebook, NOON_US)
    (told,) = notebook.writes
    assert told[0] == Refused(org_id=ACME, app="search", code=RATE, count=3, at_us=NOON_US)
    assert notebook.total == {
        (ACME, "search", RATE): 3,
        (ACME, "search", SPENT): 1,
        (ACME, "chat", RATE): 1,
        (OTHER, "search", RATE): 1,
    }


def test_what_was_told_is_not_told_again() -> None:
    counts, notebook = RefusedCounts(), Notebook()
    counts.count(ACME, "search", RATE)
    counts.flush(notebook, NOON_US)
    counts.flush(notebook, NOON_US + 1)
    counts.count(ACME, "search", RATE)
    counts.flush(notebook, NOON_US + 2)
    assert [[each.count for each in told] for told in notebook.writes] == [[1], [1]]


def test_with_nothing_to_tell_nobody_is_told() -> None:
    notebook = Notebook()
    RefusedCounts().flush(notebook, NOON_US)
    assert notebook.writes == []


def test_what_is_not_taken_is_kept_and_counted_on() -> None:
    counts, notebook = RefusedCounts(), Notebook()
    notebook.is_full = True
    counts.count(ACME, "search", RATE)
    counts.flush(notebook, NOON_US)
    counts.count(ACME, "search", RATE)
    notebook.is_full = False
    counts.flush(notebook, NOON_US + 1)
    assert notebook.writes == [[Refused(org_id=ACME, app="search", code=RATE, count=2, at_us=NOON_US + 1)]]


def test_many_are_told_in_pieces_and_a_piece_that_is_not_taken_is_told_later() -> None:
    class Filling(Notebook):
        """It is full after two writes."""

        def refused(self, counts: Iterable[Refused]) -> bool:
            self.is_full = len(self.writes) == 2
            return super().refused(counts)

    counts, filling, rest = RefusedCounts(), Filling(), Notebook()
    for number in range(2 * COUNTS_PER_WRITE + 7):
        counts.count(ACME, f"app-{number}", RATE)
    counts.flush(filling, NOON_US)
    counts.flush(rest, NOON_US)
    assert [len(told) for told in filling.writes + rest.writes] == [COUNTS_PER_WRITE, COUNTS_PER_WRITE, 7]
    assert set((filling.total + rest.total).values()) == {1}


def test_memory_is_bounded_while_nothing_is_taken_and_what_is_known_is_counted_on() -> None:
    counts, notebook = RefusedCounts(), Notebook()
    notebook.is_full = True
    for number in range(MAX_COUNTS + 100):
        counts.count(ACME, f"app-{number}", RATE)
        counts.flush(notebook, NOON_US)
    counts.count(ACME, "app-0", RATE)
    notebook.is_full = False
    counts.flush(notebook, NOON_US)
    assert len(notebook.total) == MAX_COUNTS
    assert notebook.total[ACME, "app-0", RATE] == 2
    counts.count(ACME, f"app-{MAX_COUNTS}", RATE)
    counts.flush(notebook, NOON_US)
    assert notebook.total[ACME, f"app-{MAX_COUNTS}", RATE] == 1


calls = st.tuples(
    st.sampled_from([ACME, OTHER]), st.sampled_from(["search", "chat"]), st.sampled_from([RATE, SPENT])
)


@settings(deadline=None, max_examples=100)
@given(st.lists(calls | st.sampled_from(["flush", "fill", "empty"]), max_size=40))
def test_whatever_comes_between_each_call_is_told_once(
    steps: list[tuple[OrgId, str, str] | str],
) -> None:
    counts, notebook = RefusedCounts(), Notebook()
    expected: Counter[tuple[str, str, str]] = Counter()
    for step in steps:
        if isinstance(step, tuple):
            counts.count(*step)
            expected[step] += 1
        elif step == "flush":
            counts.flush(notebook, NOON_US)
        else:
            notebook.is_full = step == "fill"
        assert notebook.total <= expected
    notebook.is_full = False
    counts.flush(notebook, NOON_US)
    assert notebook.total == expected
