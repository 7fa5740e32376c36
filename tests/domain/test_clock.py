"""Windows of time, in whole microseconds."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.clock import US_PER_S, SystemClock, moment, month_start_us, next_month_start_us

times = st.integers(-(10**15), 10**17)


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * US_PER_S


@given(times)
@settings(deadline=None)
def test_a_moment_is_exact_to_the_microsecond(now_us: int) -> None:
    shown = moment(now_us)
    assert shown.tzinfo is UTC
    since = shown - datetime(1970, 1, 1, tzinfo=UTC)
    assert (since.days * 86_400 + since.seconds) * US_PER_S + since.microseconds == now_us


@given(times)
@settings(deadline=None)
def test_every_moment_lies_in_one_month_and_months_meet(now_us: int) -> None:
    start, end = month_start_us(now_us), next_month_start_us(now_us)
    assert start <= now_us < end
    assert month_start_us(end) == end
    assert month_start_us(end - 1) == start
    assert (moment(start).day, moment(start).hour, moment(start).microsecond) == (1, 0, 0)


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        ("2026-03-10T12:00:00+00:00", "2026-03-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00"),
        ("2026-01-31T23:59:59+00:00", "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"),
        ("2026-12-31T23:59:59+00:00", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("2028-02-29T00:00:00+00:00", "2028-02-01T00:00:00+00:00", "2028-03-01T00:00:00+00:00"),
        # A month is UTC's, wherever the server stands.
        ("2026-03-01T00:30:00+02:00", "2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"),
    ],
)
def test_months_are_calendar_months_of_utc(now: str, start: str, end: str) -> None:
    assert (month_start_us(us(now)), next_month_start_us(us(now))) == (us(start), us(end))


def test_the_system_s_clock_tells_microseconds() -> None:
    before = time.time_ns()
    now_us = SystemClock().now_us()
    assert before // 1_000 <= now_us <= time.time_ns() // 1_000
