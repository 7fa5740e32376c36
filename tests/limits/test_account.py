"""Taking from all purses at once or from none, and what answers say of them."""

from collections.abc import Mapping

import pytest

from tests.limits.lending import (
    APP_REQUESTS,
    APP_SPEND,
    KEY_REQUESTS,
    KEY_SPEND,
    ORG,
    PLAN,
    REQUESTS,
    SPEND,
    TOKENS,
    TRIAL,
    Limited,
    caller,
)
from tests.world.clock import TurningClock
from tollway.domain.ids import AppId, JournalId, KeyId
from tollway.domain.lease import Order
from tollway.domain.limit import Leased, Pot
from tollway.domain.standing import Standing
from tollway.limits.account import Account, Desk

ALL: Limited = {REQUESTS: 200, APP_REQUESTS: 50, TOKENS: 1_000, PLAN: 10_000, TRIAL: None, SPEND: 500}


@pytest.fixture
def clock() -> TurningClock:
    return TurningClock()


def account(clock: TurningClock, limited: Limited = ALL, free: Mapping[str, int] | None = None) -> Account:
    made = Account(caller(limited), Desk(ORG), clock)
    made.turn(clock.now_us())
    for purse in made.purses:
        purse.free = (free or {}).get(purse.pot.kind.value, 100)
    return made


def in_hand(made: Account) -> dict[Pot, int]:
    return {purse.pot: purse.free for purse in made.purses}


def test_a_call_takes_from_every_purse_that_applies(clock: TurningClock) -> None:
    made = account(clock)
    assert made.take((1, 20, 30))
    assert in_hand(made) == {REQUESTS: 99, APP_REQUESTS: 99, TOKENS: 80, PLAN: 80, TRIAL: 70, SPEND: 70}
    assert made.desk.used_us == clock.now_us()
    assert all(purse.used_us == clock.now_us() for purse in made.purses)


@pytest.mark.parametrize("lacking", ["requests", "tokens", "plan", "trial", "spend"])
def test_a_call_takes_nothing_where_one_purse_lacks(clock: TurningClock, lacking: str) -> None:
    made = account(clock, free={lacking: 0})
    before = in_hand(made)
    assert not made.take((1, 20, 30))
    assert in_hand(made) == before
    assert made.desk.used_us == 0


def test_a_call_takes_the_last_that_there_is(clock: TurningClock) -> None:
    made = account(clock, free={"requests": 1, "tokens": 20, "plan": 20, "trial": 30, "spend": 30})
    assert made.take((1, 20, 30))
    assert set(in_hand(made).values()) == {0}
    assert not made.take((1, 0, 0))


def test_who_has_no_limits_takes_what_it_likes(clock: TurningClock) -> None:
    made = account(clock, {})
    assert made.take((1, 10**12, 10**15))
    assert made.headers() == []
    assert made.leased is Leased.NOTHING


def test_another_minute_empties_the_purses_of_a_minute_only(clock: TurningClock) -> None:
    made = account(clock)
    clock.advance(59.999)
    made.turn(clock.now_us())
    assert in_hand(made)[REQUESTS] == 100
    clock.advance(0.001)
    assert not made.take((1, 1, 1))
    assert in_hand(made) == {REQUESTS: 0, APP_REQUESTS: 0, TOKENS: 0, PLAN: 100, TRIAL: 100, SPEND: 100}


def test_a_clock_that_is_set_back_brings_no_minute_back(clock: TurningClock) -> None:
    made = account(clock)
    clock.advance(60)
    made.turn(clock.now_us())
    clock.advance(-30)
    made.turn(clock.now_us())
    assert in_hand(made)[REQUESTS] == 0


def test_the_keys_of_an_organisation_take_from_the_same_purses(clock: TurningClock) -> None:
    desk = Desk(ORG)
    first = Account(caller({SPEND: 500, KEY_SPEND: 10}), desk, clock)
    second = Account(caller({SPEND: 500}, key=KeyId("key-2")), desk, clock)
    first.purses[0].free = 100
    assert second.take((1, 1, 60))
    assert in_hand(first) == {SPEND: 40, KEY_SPEND: 0}


def test_an_account_knows_from_which_leases_its_rows_are_taken(clock: TurningClock) -> None:
    assert account(clock).leased == Leased.PLAN | Leased.TRIAL | Leased.ORG_SPEND
    assert account(clock, {REQUESTS: 1}).leased == Leased.NOTHING
    spending = account(clock, {APP_SPEND: 1, KEY_SPEND: 1}).leased
    assert spending == Leased.APP_SPEND | Leased.KEY_SPEND


def test_only_a_trial_funds_its_calls(clock: TurningClock) -> None:
    assert account(clock).funding is None
    trial = caller(ALL, Standing(tier="_TRIAL_"))
    assert Account(trial, Desk(ORG), clock).funding == "trial"


class TestHeaders:
    def test_they_are_openais(self, clock: TurningClock) -> None:
        made = account(clock)
        for purse in made.purses:
            purse.left = 7
        clock.advance(12.5)
        assert dict(made.headers()) == {
            b"x-ratelimit-limit-requests": b"50",
            b"x-ratelimit-remaining-requests": b"50",
            b"x-ratelimit-reset-requests": b"48s",
            b"x-ratelimit-limit-tokens": b"1000",
            b"x-ratelimit-remaining-tokens": b"107",
            b"x-ratelimit-reset-tokens": b"48s",
        }

    @pytest.mark.parametrize(("later_s", "reset"), [(0, b"60s"), (1, b"59s"), (59.999, b"1s"), (60, b"60s")])
    def test_a_minute_is_full_again_when_the_next_begins(
        self, clock: TurningClock, later_s: float, reset: bytes
    ) -> None:
        made = account(clock, {REQUESTS: 5})
        clock.advance(later_s)
        assert dict(made.headers())[b"x-ratelimit-reset-requests"] == reset

    def test_of_several_limits_the_one_with_least_left_is_told(self, clock: TurningClock) -> None:
        made = account(clock, {REQUESTS: 200, APP_REQUESTS: 50, KEY_REQUESTS: 70})
        for purse, left in zip(made.purses, (-100, 30, -90), strict=True):
            purse.left, purse.free = left, 20
        told = dict(made.headers())
        assert told[b"x-ratelimit-limit-requests"] == b"70"
        assert told[b"x-ratelimit-remaining-requests"] == b"20"

    def test_a_new_minute_is_told_as_full(self, clock: TurningClock) -> None:
        made = account(clock, {REQUESTS: 5})
        assert made.take((5, 0, 0))
        clock.advance(60)
        assert dict(made.headers())[b"x-ratelimit-remaining-requests"] == b"5"


class TestDesk:
    def test_a_new_one_is_blank(self) -> None:
        assert Desk(ORG).is_blank

    async def test_it_is_not_while_something_would_be_lost_with_it(self, clock: TurningClock) -> None:
        made = account(clock, {SPEND: 500, REQUESTS: 9}, {"spend": 0, "requests": 5})
        desk = made.desk
        assert desk.is_blank  # a minute's rest is worth nothing soon
        for free in (1, -1):
            made.purses[0].free = free
            assert not desk.is_blank
        made.purses[0].free = 0
        made.purses[0].owed = 1
        assert not desk.is_blank
        made.purses[0].owed = 0
        desk.in_flight = 1
        assert not desk.is_blank
        desk.in_flight = 0
        desk.pending = Order(
            number=1, journal=JournalId("j"), org_id=ORG, app_id=AppId(""), key_id=KeyId(""), asks=()
        )
        assert not desk.is_blank
        desk.pending = None
        async with desk.one_at_a_time:
            assert not desk.is_blank
        assert desk.is_blank
