"""Moments as text: exact to the microsecond, UTC where nothing else is said."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.clock import moment
from tollway.domain.moment import iso, parse_moment, us_of

NOON = 1_773_144_000_000_000


@settings(deadline=None)
@given(st.integers(-(10**15), 10**17))
def test_a_moment_that_is_written_and_read_is_the_same(us: int) -> None:
    assert parse_moment(iso(us)) == us_of(moment(us)) == us


@settings(deadline=None)
@given(st.integers(-(10**15), 10**17), st.integers(-(10**15), 10**17))
def test_text_sorts_as_time_does(one: int, other: int) -> None:
    assert (iso(one) < iso(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01", 0),
        ("2026-03-10T12:00:00Z", NOON),
        ("2026-03-10T12:00", NOON),
        ("2026-03-10 12:00:00.000001", NOON + 1),
        ("2026-03-10T14:00:00+02:00", NOON),
        ("1969-12-31T23:59:59.999999", -1),
    ],
)
def test_dates_and_date_times_are_read_as_utc_where_no_zone_is_said(text: str, us: int) -> None:
    assert parse_moment(text) == us


@pytest.mark.parametrize(
    "text", ["", "today", "2026-13-01", "2026-02-30", "1773144000", "2026-03-10T25:00", "\0"]
)
def test_other_text_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(ValueError, match="2026-03-01T12:00:00Z"):
        parse_moment(text)


def test_a_zone_at_the_edge_of_the_calendar_is_no_trouble() -> None:
    east = timezone(timedelta(hours=14))
    assert us_of(datetime(1, 1, 1, tzinfo=east)) < us_of(datetime(1, 1, 1, tzinfo=UTC))
    assert parse_moment("9999-12-31T23:59:59.999999") < parse_moment("9999-12-31T23:59:59-12:00")
