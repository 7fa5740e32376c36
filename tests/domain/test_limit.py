"""Pots: which there are, and when they are filled anew."""

from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.limit import LEASED, MINUTE_US, Kind, Leased, Level, minute_of


def test_requests_and_tokens_are_of_a_minute_and_all_else_is_not() -> None:
    assert {kind for kind in Kind if kind.is_of_a_minute} == {Kind.REQUESTS, Kind.TOKENS}


def test_calls_are_refused_for_rates_first_and_for_spending_last() -> None:
    assert list(Kind) == [Kind.REQUESTS, Kind.TOKENS, Kind.PLAN, Kind.TRIAL, Kind.SPEND]


def test_each_pot_that_rows_settle_has_a_flag_of_its_own() -> None:
    assert not any(kind.is_of_a_minute for _, kind in LEASED)
    assert {(level, Kind.SPEND) for level in Level} < set(LEASED)
    assert len(set(LEASED.values())) == len(LEASED) == len(Leased)
    together = Leased.NOTHING
    for flag in LEASED.values():
        assert not together & flag
        together |= flag


@given(st.integers(0, 2**60))
def test_a_moment_lies_in_exactly_one_minute(us: int) -> None:
    start = minute_of(us)
    assert start <= us < start + MINUTE_US
    assert start % MINUTE_US == 0
