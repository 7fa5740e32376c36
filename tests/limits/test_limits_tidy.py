"""Giving back what lies idle or is missed elsewhere, and limits that change."""

import asyncio
from dataclasses import replace

import pytest

from tests.limits.lending import APP_SPEND, ORG, REQUESTS, SPEND, Till, Wanted, caller
from tollway.domain.errors import SpendingLimitReached
from tollway.domain.ids import KeyId, OrgId
from tollway.domain.limit import Cap, Kind, Level, Pot

LITTLE, MUCH = 0.05, 31


def given_back(till: Till) -> dict[Pot, int]:
    """By the last order."""
    return {ask.pot: ask.given_back for ask in till.bank.orders[-1].asks if ask.given_back}


async def test_what_is_asked_for_elsewhere_is_given_back_at_once() -> None:
    till = Till({REQUESTS: 1_000, SPEND: 10**9, APP_SPEND: 10**9})
    await till.spend()
    in_hand = {pot: till.in_hand(pot) for pot in till.limited}
    till.limits.forget({ORG, OrgId("nobody")})
    await till.limits.tidy()
    assert given_back(till) == in_hand
    assert all(till.in_hand(pot) == 0 for pot in till.limited)
    await till.limits.tidy()
    assert len(till.bank.orders) == 2


async def test_and_where_some_of_the_feed_was_missed_by_all() -> None:
    till = Till({SPEND: 10**9})
    await till.spend()
    till.limits.forget(None)
    await till.limits.tidy()
    assert till.bank.lent[SPEND, 0] == 10


async def test_changes_of_others_are_nothing_to_it() -> None:
    till = Till({SPEND: 10**9})
    await till.spend()
    till.limits.forget({OrgId("nobody")})
    await till.limits.tidy()
    assert len(till.bank.orders) == 1


async def test_what_calls_hold_is_not_given_back_until_they_are_settled() -> None:
    till = Till({SPEND: 1_000})
    running = await till.reserve(completion_tokens=100)
    till.limits.forget({ORG})
    await till.limits.tidy()
    assert till.bank.lent[SPEND, 0] == 100
    running.settle(30, 30)
    till.limits.forget({ORG})
    await till.limits.tidy()
    assert till.bank.lent[SPEND, 0] == 30


@pytest.mark.parametrize(
    ("processes", "limit", "idle_s", "is_returned"),
    [
        (2, 200, LITTLE, False),
        (2, 200, 0.2, True),
        (2, 10**9, 0.2, False),
        (2, 10**9, MUCH, True),
        (1, 200, 0.2, False),
        (1, 200, MUCH, True),
    ],
)
async def test_what_lies_idle_is_given_back_the_sooner_the_more_others_may_miss_it(
    processes: int, limit: int, idle_s: float, is_returned: bool
) -> None:
    till = Till({SPEND: limit})
    till.bank.processes = processes
    await till.spend()
    till.clock.advance(idle_s)
    await till.limits.tidy()
    assert (till.in_hand(SPEND) == 0) == is_returned


async def test_what_others_may_miss_is_looked_at_each_time() -> None:
    till = Till({SPEND: 200})
    till.bank.processes = 2
    await till.spend()
    await till.limits.tidy()
    assert till.in_hand(SPEND)
    till.clock.advance(2 * LITTLE + 0.01)
    await till.limits.tidy()
    assert not till.in_hand(SPEND)


async def test_what_is_asked_for_elsewhere_comes_before_what_lies_idle() -> None:
    till = Till({SPEND: 10**9})
    other = OrgId("org-2")
    await till.spend()
    till.clock.advance(MUCH)
    pot = Pot(Level.ORG, other, Kind.SPEND)
    till.bank.limits[pot] = 10**9
    made = await till.limits.reserve(
        replace(caller({}), org_id=other, key_id=KeyId("key-2"), caps=(Cap(pot, 10**9),)), Wanted()
    )
    made.release()
    till.limits.forget({other})
    await till.limits.tidy()
    assert [order.org_id for order in till.bank.orders[2:]] == [other, ORG]


async def test_what_is_in_use_stays() -> None:
    till = Till({SPEND: 10**9})
    for _ in range(10):
        await till.spend()
        till.clock.advance(MUCH / 2)
        await till.limits.tidy()
    assert till.in_hand(SPEND) > 0


async def test_of_a_minute_that_is_over_nothing_is_given_back() -> None:
    till = Till({REQUESTS: 1_000})
    await till.spend()
    till.clock.advance(60)
    till.limits.forget({ORG})
    await till.limits.tidy()
    assert len(till.bank.orders) == 1


async def test_nothing_is_given_back_while_a_call_is_asking_for_more() -> None:
    till = Till({SPEND: 10**9})
    await till.spend()
    with till.bank.held():
        waiting = asyncio.create_task(till.reserve(completion_tokens=10_000))
        await asyncio.sleep(0.01)
        till.limits.forget({ORG})
        await till.limits.tidy()
        assert len(till.bank.orders) == 2
    (await waiting).release()
    await till.limits.tidy()
    assert given_back(till)


async def test_an_organisation_of_which_nothing_is_held_is_forgotten() -> None:
    till = Till({SPEND: 10**9})
    await till.spend()
    till.clock.advance(MUCH)
    await till.limits.tidy()
    till.limits.forget({ORG})
    await till.limits.tidy()
    assert len(till.bank.orders) == 2
    await till.spend()
    assert len(till.bank.orders) == 3


async def test_an_organisation_with_a_running_call_is_not_forgotten() -> None:
    till = Till({SPEND: 1_000})
    running = await till.reserve()
    till.clock.advance(MUCH)
    await till.limits.tidy()
    till.clock.advance(MUCH)
    await till.limits.tidy()
    running.release()
    assert till.in_hand(SPEND) == 10
    till.limits.forget({ORG})
    await till.limits.tidy()
    assert till.bank.lent[SPEND, 0] == 0


async def test_that_a_limit_refuses_is_not_forgotten_with_the_next_tidying() -> None:
    till = Till({SPEND: 5})
    for _ in range(3):
        with pytest.raises(SpendingLimitReached):
            await till.reserve()
        await till.limits.tidy()
        till.clock.advance(0.1)
    assert len(till.bank.orders) == 1


class TestChanges:
    async def test_a_limit_that_is_raised_is_used_at_once(self) -> None:
        till = Till({SPEND: 15})
        assert await till.spend_all() == 10
        till.change(SPEND, 100)
        await till.limits.tidy()
        assert await till.spend_all() == 90

    async def test_a_limit_that_is_lowered_takes_back_what_was_lent(self) -> None:
        till = Till({SPEND: 10**6})
        await till.spend()
        till.change(SPEND, 50)
        await till.limits.tidy()
        assert await till.spend_all() == 40

    async def test_what_comes_back_from_running_calls_is_given_back_before_it_is_lent_again(self) -> None:
        till = Till({SPEND: 100})
        running = await till.reserve(completion_tokens=90)
        till.change(SPEND, 50)
        await till.limits.tidy()
        running.settle(20, 20)
        assert till.in_hand(SPEND) == 0
        await till.limits.tidy()
        assert given_back(till) == {SPEND: 70}
        assert await till.spend_all() == 30

    async def test_one_that_is_lowered_below_what_is_spent_refuses(self) -> None:
        till = Till({SPEND: 1_000})
        for _ in range(10):
            await till.spend()
        till.change(SPEND, 50)
        await till.limits.tidy()
        assert await till.spend_all() == 0

    async def test_one_that_is_removed_refuses_nobody(self) -> None:
        till = Till({SPEND: 15, REQUESTS: 10})
        assert await till.spend_all() == 10
        del till.limited[SPEND]
        till.bank.limits[SPEND] = None
        till.change(REQUESTS, 10)
        await till.limits.tidy()
        assert await till.spend_all() == 90

    async def test_one_that_the_database_knows_to_be_gone_refuses_nobody(self) -> None:
        till = Till({SPEND: 15})
        till.bank.limits[SPEND] = None
        made = await till.reserve(is_stated=False, completion_tokens=10_000)
        assert (made.held, made.cap) == (10_000, None)
