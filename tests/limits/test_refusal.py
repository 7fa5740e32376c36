"""What a caller is told when a limit refuses."""

from typing import NoReturn

import pytest

from tests.limits.lending import APP_REQUESTS, KEY_SPEND, PLAN, REQUESTS, SPEND, TOKENS, TRIAL
from tests.world.clock import NOON_US
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import Limited, LimitsUnavailable, RateLimited
from tollway.domain.limit import MINUTE_US, Pot
from tollway.limits.purse import Purse
from tollway.limits.refusal import refuse, refuse_more_at_once, refuse_unasked

MONTH_END_US = NOON_US + (21 * 24 + 12) * 3600 * US_PER_S


def purse(pot: Pot, limit: int | None = 100, left: int | None = 3, resets_us: int | None = None) -> Purse:
    made = Purse(pot)
    if made.is_of_a_minute:
        made.turn(NOON_US)
    made.limit, made.left = limit, left
    if resets_us is not None:
        made.resets_us = resets_us
    return made


def refused(made: Purse, least: int, now_us: int = NOON_US) -> Limited:
    with pytest.raises(Limited) as error:
        refuse(made, least, now_us)
    return error.value


@pytest.mark.parametrize(
    ("pot", "status", "code", "said"),
    [
        (
            REQUESTS,
            429,
            "rate_limit_exceeded",
            (
                "rate limit of the organisation: 100 requests per minute, of which 3 are left and 4 needed; "
                "it is full again in 60 s; the gateway's operator can change it"
            ),
        ),
        (
            APP_REQUESTS,
            429,
            "rate_limit_exceeded",
            (
                "rate limit of the app: 100 requests per minute, of which 3 are left and 4 needed; "
                "it is full again in 60 s; an admin of the organisation can change it"
            ),
        ),
        (
            TOKENS,
            429,
            "rate_limit_exceeded",
            (
                "rate limit of the organisation: 100 tokens per minute, of which 3 are left and 4 needed; "
                "it is full again in 60 s; the gateway's operator can change it"
            ),
        ),
        (
            PLAN,
            402,
            "plan_exhausted",
            (
                "the plan's 100 tokens of this cycle: 3 are left and 4 needed; "
                "an admin of the organisation can change the subscription"
            ),
        ),
        (
            TRIAL,
            402,
            "trial_exhausted",
            (
                "the trial's balance: $0.000000003 is left and up to $0.000000004 needed; "
                "an admin of the organisation can start a subscription"
            ),
        ),
        (
            SPEND,
            402,
            "spending_limit_reached",
            (
                "spending limit of the organisation: of $0.0000001 a cycle, $0.000000003 is left, and "
                "this call may cost $0.000000004; an admin of the organisation can change it"
            ),
        ),
        (
            KEY_SPEND,
            402,
            "spending_limit_reached",
            (
                "spending limit of the key: of $0.0000001 a cycle, $0.000000003 is left, and this call "
                "may cost $0.000000004; an admin of the organisation can change it"
            ),
        ),
    ],
)
def test_it_names_the_limit_what_is_left_and_who_can_change_it(
    pot: Pot, status: int, code: str, said: str
) -> None:
    error = refused(purse(pot), 4)
    assert (error.status, error.code, str(error)) == (status, code, said)


@pytest.mark.parametrize(("pot", "amount"), [(PLAN, "4 needed"), (SPEND, "may cost $0.000000004")])
def test_a_limit_of_a_cycle_says_when_it_is_full_again(pot: Pot, amount: str) -> None:
    error = refused(purse(pot, resets_us=MONTH_END_US), 4)
    assert f"{amount}; it is full again at 2026-04-01 00:00 UTC; an admin" in str(error)


@pytest.mark.parametrize(
    ("later_us", "wait"),
    [(0, b"60"), (1, b"60"), (US_PER_S, b"59"), (MINUTE_US - 1, b"1"), (MINUTE_US, b"1")],
)
def test_a_rate_says_in_how_many_whole_seconds_trying_again_can_help(later_us: int, wait: bytes) -> None:
    error = refused(purse(REQUESTS), 4, NOON_US + later_us)
    assert error.headers == ((b"retry-after", wait),)
    assert error.retryable


def test_a_call_that_no_minute_can_hold_is_told_not_to_come_again() -> None:
    assert refused(purse(TOKENS), 101).headers == ((b"x-should-retry", b"false"),)
    assert refused(purse(TOKENS), 100).headers == ((b"retry-after", b"60"),)


def test_what_is_paid_for_is_told_no_time_to_try_again() -> None:
    for pot in (PLAN, TRIAL, SPEND):
        assert refused(purse(pot), 4).headers == ()


def test_too_many_at_once_is_told_to_wait_for_one_of_them() -> None:
    def three() -> NoReturn:
        refuse_more_at_once(3)

    with pytest.raises(RateLimited, match=r"^3 calls of the organisation are being answered") as error:
        three()
    assert (error.value.status, error.value.code) == (429, "too_many_in_flight")
    assert error.value.headers == ((b"retry-after", b"1"),)


@pytest.mark.parametrize(("pot", "wait"), [(REQUESTS, b"60"), (SPEND, b"1")])
def test_what_cannot_be_asked_for_is_unavailable_not_refused(pot: Pot, wait: bytes) -> None:
    with pytest.raises(LimitsUnavailable, match=f"the {pot.kind} limit of the organisation") as error:
        refuse_unasked(purse(pot, resets_us=NOON_US + MINUTE_US), NOON_US)
    assert (error.value.status, error.value.code) == (503, "limits_unavailable")
    assert error.value.headers == ((b"retry-after", wait),)
