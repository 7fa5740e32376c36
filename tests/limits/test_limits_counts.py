"""What limits tell the operator: who was refused, what was ordered, and what is in hand."""

import pytest

from tests.limits.lending import PLAN, REQUESTS, SPEND, TOKENS, TRIAL, Till
from tollway.domain.errors import LimitsUnavailable, RateLimited, SpendingLimitReached, StoreRefused
from tollway.domain.limit import Kind, Pot
from tollway.domain.standing import Standing
from tollway.limits.limits import RETRY_US


async def test_refused_calls_are_counted_by_code_and_told_calls_stay_counted() -> None:
    till = Till({REQUESTS: 1, SPEND: 1_000_000})
    await till.spend()
    for _ in range(2):
        with pytest.raises(RateLimited):
            await till.reserve()
    till.clock.advance(60)
    with pytest.raises(SpendingLimitReached):
        await till.reserve(completion_tokens=2_000_000)
    assert till.limits.refusals == {"rate_limit_exceeded": 2, "spending_limit_reached": 1}


async def test_a_call_that_the_database_would_have_to_allow_is_counted_too() -> None:
    till = Till({SPEND: 100})
    till.bank.is_away = True
    with pytest.raises(LimitsUnavailable):
        await till.reserve()
    assert till.limits.refusals == {"limits_unavailable": 1}


async def test_orders_are_counted_and_those_that_failed_among_them() -> None:
    till = Till({SPEND: 1_000})
    await till.spend()
    assert (till.limits.num_orders, till.limits.num_failed_orders) == (len(till.bank.orders), 0)
    till.bank.is_away = True
    with pytest.raises(LimitsUnavailable):
        await till.reserve(completion_tokens=900)
    till.clock.advance(RETRY_US / 1_000_000)
    await till.limits.tidy()
    assert (till.limits.num_orders, till.limits.num_failed_orders) == (len(till.bank.orders), 2)


async def test_an_order_that_no_database_can_carry_out_has_failed() -> None:
    till = Till({SPEND: 1_000})

    async def refuse() -> None:
        raise StoreRefused("the number is too large")

    till.bank.meanwhile = refuse
    with pytest.raises(StoreRefused):
        await till.reserve()
    assert (till.limits.num_orders, till.limits.num_failed_orders) == (1, 1)


async def test_what_is_in_hand_is_told_by_kind_and_a_minute_that_is_over_holds_nothing() -> None:
    pots: dict[Pot, int | None] = {REQUESTS: 100, TOKENS: 10_000, PLAN: 10_000, TRIAL: 10_000, SPEND: 10_000}
    till = Till(pots, Standing(tier="_TRIAL_", trial_end_s=4_000_000_000))
    assert (till.limits.num_organisations, sum(till.limits.in_hand().values())) == (0, 0)
    await till.spend()
    held = till.limits.in_hand()
    assert till.limits.num_organisations == 1
    assert held == {pot.kind: till.in_hand(pot) for pot in pots}
    assert all(held[kind] > 0 for kind in Kind)
    till.clock.advance(60)
    later = till.limits.in_hand()
    assert later == {**held, Kind.REQUESTS: 0, Kind.TOKENS: 0}


async def test_a_purse_below_nothing_holds_nothing() -> None:
    till = Till({SPEND: 100})
    made = await till.reserve()
    made.settle(10_000, 10_000)
    assert till.in_hand(SPEND) < 0
    assert till.limits.in_hand()[Kind.SPEND] == 0
