"""The rule of cycles: every moment has exactly one, whatever is stored."""

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world.entries import entry, lost
from tollway.domain.cycle import Cycle, amounts, cycle_among
from tollway.domain.moment import us_of

DAY_US = 86_400 * 1_000_000
QUICKLY = settings(deadline=None, max_examples=200)


def at(text: str) -> int:
    return us_of(datetime.fromisoformat(text))


def cycle(start: str, end: str) -> Cycle:
    return Cycle(start_us=at(start), end_us=at(end))


SUBSCRIBED = [cycle("2026-03-15", "2026-04-15"), cycle("2026-04-15", "2026-05-15")]

moments = st.integers(at("2025-11-01"), at("2027-02-01"))
stored_cycles = st.lists(
    st.builds(
        lambda start, length: Cycle(start_us=start, end_us=start + length),
        moments,
        st.integers(1, 90 * DAY_US),
    ),
    max_size=6,
    unique_by=lambda one: one.start_us,
).map(lambda found: sorted(found, key=lambda one: one.start_us))
"""Whatever rows there may be: side by side, with gaps, one over the other, one inside another."""


def test_without_a_stored_one_it_is_the_calendar_month() -> None:
    assert cycle_among([], at("2026-02-10")) == cycle("2026-02-01", "2026-03-01")
    assert cycle_among([], at("2026-03-01") - 1) == cycle("2026-02-01", "2026-03-01")
    assert cycle_among([], at("2026-03-01")) == cycle("2026-03-01", "2026-04-01")
    assert cycle_among([], at("2024-02-29T23:59:59")) == cycle("2024-02-01", "2024-03-01")


def test_a_subscription_that_begins_mid_month_cuts_the_month_on_both_sides() -> None:
    assert cycle_among(SUBSCRIBED, at("2026-03-14")) == cycle("2026-03-01", "2026-03-15")
    assert cycle_among(SUBSCRIBED, at("2026-03-15")) == SUBSCRIBED[0]
    assert cycle_among(SUBSCRIBED, at("2026-04-15") - 1) == SUBSCRIBED[0]
    assert cycle_among(SUBSCRIBED, at("2026-04-15")) == SUBSCRIBED[1]
    assert cycle_among(SUBSCRIBED, at("2026-05-15")) == cycle("2026-05-15", "2026-06-01")
    assert cycle_among(SUBSCRIBED, at("2026-06-01")) == cycle("2026-06-01", "2026-07-01")


def test_a_gap_within_a_month_is_cut_on_both_sides() -> None:
    weeks = [cycle("2026-03-02", "2026-03-09"), cycle("2026-03-20", "2026-03-27")]
    assert cycle_among(weeks, at("2026-03-10")) == cycle("2026-03-09", "2026-03-20")


def test_one_that_starts_inside_another_ends_it() -> None:
    nested = [cycle("2026-03-01", "2026-04-01"), cycle("2026-03-10", "2026-03-20")]
    assert cycle_among(nested, at("2026-03-05")) == cycle("2026-03-01", "2026-03-10")
    assert cycle_among(nested, at("2026-03-15")) == nested[1]
    assert cycle_among(nested, at("2026-03-25")) == cycle("2026-03-20", "2026-04-01")


@QUICKLY
@given(stored_cycles, moments)
def test_a_cycle_holds_its_moment_and_is_the_same_for_all_that_it_holds(
    stored: list[Cycle], now_us: int
) -> None:
    found = cycle_among(stored, now_us)
    assert found.start_us <= now_us < found.end_us
    for inside in (found.start_us, (found.start_us + found.end_us) // 2, found.end_us - 1):
        assert cycle_among(stored, inside) == found


@QUICKLY
@given(stored_cycles, moments)
def test_cycles_follow_each_other_without_gap_or_overlap(stored: list[Cycle], now_us: int) -> None:
    found = cycle_among(stored, now_us)
    assert cycle_among(stored, found.end_us).start_us == found.end_us
    assert cycle_among(stored, found.start_us - 1).end_us == found.start_us


@QUICKLY
@given(stored_cycles, st.lists(moments, max_size=10))
def test_storing_what_was_found_changes_no_cycle(stored: list[Cycle], asked: list[int]) -> None:
    known = list(stored)
    for now_us in asked:
        found = cycle_among(known, now_us)
        if all(one.start_us != found.start_us for one in known):
            known = sorted([*known, found], key=lambda one: one.start_us)
    assert [cycle_among(known, now_us) for now_us in asked] == [cycle_among(stored, at) for at in asked]


def test_a_row_adds_its_cost_to_its_cycle_or_what_is_held_while_that_is_not_known() -> None:
    ended = entry()
    zeros = dict.fromkeys(amounts(ended), 0)
    assert amounts(ended) == zeros | {
        "num_requests": 1,
        "prompt_tokens": 6,
        "completion_tokens": 25,
        "cost_prompt_nano": 2_400,
        "cost_completion_nano": 40_000,
    }
    assert amounts(lost(ended, held=70)) == zeros | {
        "num_requests": 1,
        "num_unsettled": 1,
        "held_nano": 70,
    }
