"""Stretches of time, and what a metric is of their sums."""

import pytest

from tollway.domain.graph import DAY_US, HOUR_US, INTERVALS, NOTHING, Amounts, Interval, graph_of
from tollway.domain.moment import iso, parse_moment

TUESDAY_US = parse_moment("2026-03-10T12:34:56Z")


@pytest.mark.parametrize(
    ("name", "start", "after"),
    [
        ("minute", "2026-03-10T12:34", "2026-03-10T12:35"),
        ("hour", "2026-03-10T12:00", "2026-03-10T13:00"),
        ("day", "2026-03-10T00:00", "2026-03-11T00:00"),
        ("week", "2026-03-09T00:00", "2026-03-16T00:00"),
        ("month", "2026-03-01T00:00", "2026-04-01T00:00"),
    ],
)
def test_stretches_begin_where_calendars_say(name: str, start: str, after: str) -> None:
    interval = INTERVALS[name]
    starts = list(interval.starts(TUESDAY_US, TUESDAY_US + interval.step_us))
    assert [iso(us)[:16] for us in starts[:1]] == [start]
    assert list(interval.starts(TUESDAY_US, parse_moment(after))) == [parse_moment(start)]
    assert list(interval.starts(TUESDAY_US, parse_moment(after) + 1)) == [
        parse_moment(start),
        parse_moment(after),
    ]


def test_which_stretches_are_made_of_hours() -> None:
    assert [INTERVALS[name].is_of_hours for name in ("minute", "hour", "week", "month")] == [
        False,
        True,
        True,
        True,
    ]
    assert not Interval(HOUR_US + 1).is_of_hours
    assert INTERVALS["month"].step_us == DAY_US


def test_sums_are_added_and_taken_away() -> None:
    one = Amounts(requests=1, tokens=31, cost=5, savings=-2, timed=1, duration_us=1_500)
    both = one.plus(one)
    assert both == Amounts(2, 62, 10, -4, 2, 3_000)
    assert both.minus(one) == one
    assert [one.of(metric) for metric in ("requests", "tokens", "cost", "savings", "latency")] == [
        1,
        31,
        5,
        -2,
        1.5,
    ]
    assert NOTHING.of("latency") is None


def test_a_graph_s_maximum_is_of_its_values() -> None:
    amounts = [Amounts(requests=2), NOTHING, Amounts(requests=3)]
    assert graph_of("requests", None, "all", amounts, cumulative=False).max == 3
    assert graph_of("requests", None, "all", amounts, cumulative=True).max == 5
    assert graph_of("latency", None, "all", amounts, cumulative=False).max is None
