"""What passes through a process, counted."""

from bisect import bisect_left

from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.traffic import OVERHEAD_BUCKETS_S, Histogram, Passage, Traffic

bounds = st.lists(st.integers(1, 10**9), min_size=1, max_size=8, unique=True).map(sorted)
durations = st.lists(st.integers(-(10**10), 10**16), max_size=50)


@given(bounds, durations)
@settings(deadline=None)
def test_every_duration_is_in_the_one_bucket_that_it_fits(bounds_us: list[int], all_us: list[int]) -> None:
    histogram = Histogram([bound / 1_000_000 for bound in bounds_us])
    for us in all_us:
        histogram.add(us)
    known = [max(0, us) for us in all_us]
    expected = [0] * (len(bounds_us) + 1)
    for us in known:
        expected[bisect_left(bounds_us, us)] += 1
    assert histogram.counts == expected
    assert histogram.sum_us == sum(known)


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram(OVERHEAD_BUCKETS_S)
    for us in (500, 501, 5_000_000, 5_000_001):
        histogram.add(us)
    assert (histogram.counts[0], histogram.counts[1], histogram.counts[-2:]) == (1, 1, [1, 1])


def test_a_request_is_in_flight_until_it_ends() -> None:
    passage = Passage()
    passage.in_flight += 2
    passage.ended(429, 1_000)
    assert passage.in_flight == 1
    assert passage.answered == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert passage.duration.sum_us == 1_000


def test_what_nobody_answered_is_a_failure_of_ours() -> None:
    passage = Passage()
    passage.ended(0, 0)
    assert passage.answered[5] == 1


def test_whatever_status_is_sent_it_is_counted() -> None:
    passage = Passage()
    for status in range(100, 1_000):
        passage.ended(status, 0)
    assert passage.answered == [0, *[100] * 9]


def test_routes_are_counted_apart() -> None:
    traffic = Traffic()
    traffic.chat.in_flight += 1
    assert {name: each.in_flight for name, each in traffic.passages.items()} == {
        "chat": 1,
        "models": 0,
        "control": 0,
    }
