"""The database away, slow or restored: what is spent, what is refused, and what is said again."""

import asyncio
import logging

import pytest

from tests.limits.lending import ORG, PLAN, REQUESTS, SPEND, TOKENS, Till
from tollway.domain.errors import (
    LimitsUnavailable,
    RateLimited,
    SpendingLimitReached,
    StoreRefused,
    StoreUnavailable,
)
from tollway.domain.lease import Order
from tollway.domain.standing import Standing
from tollway.limits.limits import RETRY_US

RETRY_S = RETRY_US / 1_000_000


async def lost(till: Till) -> None:
    """The process notices that the database is away."""
    till.bank.is_away = True
    with pytest.raises(LimitsUnavailable):
        await till.reserve(completion_tokens=1_000_000)


async def until_refused(till: Till) -> int:
    """How many calls are let through before one is refused."""
    count = 0
    while True:
        try:
            await till.spend()
        except (RateLimited, LimitsUnavailable):
            return count
        count += 1


async def spend_of_a_share(till: Till) -> None:
    """The database goes away, a call takes of the next minute's share, and the database is back."""
    await till.spend()
    till.bank.is_away = True
    await until_refused(till)
    till.clock.advance(60)
    await till.spend()
    till.bank.is_away = False
    till.clock.advance(RETRY_S)


class TestSpending:
    async def test_what_is_in_hand_is_spent_and_then_calls_are_refused_as_unavailable(self) -> None:
        till = Till({SPEND: 10**9})
        await till.spend()
        in_hand = till.in_hand(SPEND)
        till.bank.is_away = True
        assert await until_refused(till) == in_hand // 10 > 0
        with pytest.raises(LimitsUnavailable) as refused:
            await till.reserve()
        assert (refused.value.status, refused.value.code) == (503, "limits_unavailable")
        assert dict(refused.value.headers)[b"retry-after"] == b"1"

    async def test_a_call_that_can_be_shortened_gets_what_is_in_hand(self) -> None:
        till = Till({SPEND: 10**9})
        await till.spend()
        in_hand = till.in_hand(SPEND)
        till.bank.is_away = True
        made = await till.reserve(is_stated=False, completion_tokens=128_000)
        assert (made.cap, made.held) == (in_hand, in_hand)

    async def test_an_order_that_no_database_can_carry_out_is_not_said_again(self) -> None:
        till = Till({SPEND: 10**9})

        async def refuse() -> None:
            raise StoreRefused("a number too large")

        till.bank.meanwhile = refuse
        with pytest.raises(StoreRefused):
            await till.reserve()
        till.bank.meanwhile = None
        await till.spend()
        assert [order.number for order in till.bank.orders] == [1, 2]

    async def test_no_later_minute_brings_money(self) -> None:
        till = Till({SPEND: 10**9, PLAN: 10**9})
        await lost(till)
        till.clock.advance(120)
        for _ in range(3):
            with pytest.raises(LimitsUnavailable):
                await till.reserve()

    async def test_refusals_for_want_of_a_database_are_not_counted_as_limits(self) -> None:
        till = Till({SPEND: 10**9})
        await lost(till)

        class Nobody:
            def refused(self, counts: object) -> bool:
                raise AssertionError(counts)

        till.limits.refused.flush(Nobody(), 0)


class TestRates:
    async def test_in_the_minute_of_the_loss_only_what_is_in_hand_is_let_through(self) -> None:
        till = Till({REQUESTS: 1_000})
        await till.spend()
        in_hand = till.in_hand(REQUESTS)
        till.bank.is_away = True
        till.clock.advance(15)
        assert await until_refused(till) == in_hand < 100
        with pytest.raises(LimitsUnavailable) as refused:
            await till.reserve()
        assert dict(refused.value.headers)[b"retry-after"] == b"45"

    @pytest.mark.parametrize(
        ("processes", "shares"),
        [(1, [10]), (2, [5, 5]), (3, [4, 3, 3]), (4, [3, 3, 2, 2]), (11, [1] * 10 + [0])],
    )
    async def test_from_the_next_full_minute_on_each_process_has_an_even_share(
        self, processes: int, shares: list[int]
    ) -> None:
        for rank, share in enumerate(shares):
            till = Till({REQUESTS: 10})
            till.bank.processes, till.bank.rank = processes, rank
            await till.spend()
            till.bank.is_away = True
            till.clock.advance(59)
            await until_refused(till)
            for _ in range(2):
                till.clock.advance(60)
                assert await until_refused(till) == share
        assert sum(shares) == 10

    async def test_the_minute_that_begins_after_anybody_noticed_is_shared_though_no_call_asked_before(
        self,
    ) -> None:
        till = Till({REQUESTS: 10})
        till.clock.advance(59)
        till.bank.is_away = True
        till.limits.lost(StoreUnavailable("whoever reads the feed of changes"))
        assert till.limits.trouble is not None
        till.clock.advance(1)
        assert await until_refused(till) == 10

    async def test_a_database_that_answers_others_again_is_asked_by_the_next_call(self) -> None:
        till = Till({REQUESTS: 10})
        till.limits.lost(StoreUnavailable("whoever reads the feed of changes"))
        till.limits.found()
        assert till.limits.trouble is None
        till.limits.lost(StoreUnavailable("again"))
        await till.spend()  # nothing keeps a call from trying
        assert till.limits.trouble is None
        till.bank.is_away = True
        await until_refused(till)
        till.limits.found()  # what is held is asked for by its own way
        assert till.limits.trouble is not None

    async def test_a_share_that_is_used_up_refuses_as_a_rate_and_says_when_it_is_full(self) -> None:
        till = Till({REQUESTS: 3, TOKENS: 10**9})
        await till.spend()
        await lost(till)
        till.clock.advance(60)
        assert await until_refused(till) == 3
        till.clock.advance(20)
        with pytest.raises(RateLimited) as refused:
            await till.reserve()
        headers = dict(refused.value.headers)
        assert headers[b"retry-after"] == b"40"
        assert headers[b"x-ratelimit-remaining-requests"] == b"0"

    async def test_a_share_holds_for_its_minute_also_when_the_database_is_back(self) -> None:
        till = Till({REQUESTS: 10})
        till.bank.processes = 2
        await spend_of_a_share(till)
        await till.limits.tidy()
        assert await until_refused(till) == 4
        till.clock.advance(60)
        assert await until_refused(till) == 10

    async def test_nothing_of_a_share_is_given_back_as_if_it_had_been_lent(self) -> None:
        till = Till({REQUESTS: 10})
        await spend_of_a_share(till)
        till.limits.forget(None)
        await till.limits.tidy()
        assert not [ask for order in till.bank.orders for ask in order.asks if ask.given_back]

    async def test_a_limit_in_dollars_refuses_beside_a_share(self) -> None:
        till = Till({REQUESTS: 10, SPEND: 10**9})
        await lost(till)
        till.clock.advance(60)
        with pytest.raises(LimitsUnavailable, match="spend limit"):
            await till.reserve()


class TestAsking:
    async def test_nobody_asks_again_within_a_second(self) -> None:
        till = Till({SPEND: 10**9})
        await lost(till)
        for _ in range(5):
            with pytest.raises(LimitsUnavailable):
                await till.reserve()
        await till.limits.tidy()
        assert len(till.bank.orders) == 1
        till.clock.advance(RETRY_S)
        with pytest.raises(LimitsUnavailable):
            await till.reserve()
        assert len(till.bank.orders) == 2

    async def test_a_database_that_lets_callers_wait_is_away_too(self) -> None:
        till = Till({SPEND: 10**9})
        till.bank.is_silent = True
        with pytest.raises(LimitsUnavailable):
            await till.reserve()
        assert till.limits.trouble is not None

    async def test_the_loss_and_the_return_are_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, "tollway.limits.limits")
        till = Till({SPEND: 10**9})
        for _ in range(3):
            await lost(till)
            till.clock.advance(RETRY_S)
        assert "1 processes" in (till.limits.trouble or "")
        till.bank.is_away = False
        await till.spend()
        assert till.limits.trouble is None
        assert [record.message for record in caplog.records] == [
            "limits: the database does not answer: the database is away",
            "limits: the database answers again",
        ]

    async def test_that_it_is_back_is_found_out_without_a_call(self) -> None:
        till = Till({SPEND: 10**9})
        await lost(till)
        till.clock.advance(RETRY_S)
        await till.limits.tidy()
        assert till.limits.trouble is not None
        till.bank.is_away = False
        till.clock.advance(RETRY_S)
        await till.limits.tidy()
        assert till.limits.trouble is None


class TestSaidAgain:
    async def test_an_order_whose_answer_was_lost_is_said_again_before_the_next(self) -> None:
        till = Till({SPEND: 100})
        till.bank.is_deaf = True
        with pytest.raises(LimitsUnavailable):
            await till.reserve()
        till.bank.is_deaf = False
        till.clock.advance(RETRY_S)
        assert await till.spend_all() == 100
        first, again = till.bank.orders[:2]
        assert first == again
        assert till.bank.lent[SPEND, 0] == 100

    async def test_so_is_that_of_a_caller_who_left(self) -> None:
        till = Till({SPEND: 100}, Standing(max_in_flight=1))
        with till.bank.held():
            leaving = asyncio.create_task(till.reserve())
            await asyncio.sleep(0.01)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        assert await till.spend_all() == 100
        assert till.bank.orders[0] == till.bank.orders[1]

    async def test_what_was_given_back_is_given_back_once(self) -> None:
        till = Till({SPEND: 100})
        await till.spend()
        in_hand = till.in_hand(SPEND)
        till.bank.is_deaf = True
        till.limits.forget({ORG})
        await till.limits.tidy()
        assert till.in_hand(SPEND) == 0
        till.bank.is_deaf = False
        till.clock.advance(RETRY_S)
        await till.limits.tidy()
        assert [[ask.given_back for ask in order.asks] for order in till.bank.orders[1:]] == [[in_hand]] * 2
        assert till.bank.lent[SPEND, 0] == 10
        assert await till.spend_all() == 90

    async def test_an_answer_that_comes_in_the_next_minute_brings_nothing_of_the_last(self) -> None:
        till = Till({REQUESTS: 10})
        till.bank.is_deaf = True
        with pytest.raises(LimitsUnavailable):
            await till.reserve()
        till.bank.is_deaf = False
        till.clock.advance(60)
        assert await until_refused(till) == 10


class TestRestored:
    """The database was set back: it does not know what this process has."""

    async def test_what_was_in_hand_is_forgotten(self) -> None:
        till = Till({SPEND: 100})
        await till.spend()
        till.limits.drop()
        assert till.in_hand(SPEND) == 0

    async def test_nothing_comes_back_from_calls_that_were_running(self) -> None:
        till = Till({SPEND: 100})
        running = await till.reserve(completion_tokens=80)
        till.limits.drop()
        till.bank.lent.clear()
        running.settle(5, 5)
        assert till.in_hand(SPEND) == 0

    async def test_an_order_that_was_to_be_said_again_is_not(self) -> None:
        till = Till({SPEND: 100})
        till.bank.is_deaf = True
        with pytest.raises(LimitsUnavailable):
            await till.reserve()
        till.bank.is_deaf = False
        till.limits.drop()
        till.clock.advance(RETRY_S)
        await till.reserve()
        first, second = till.bank.orders
        assert first.number != second.number

    async def test_what_was_on_its_way_is_not_taken_in(self) -> None:
        till = Till({SPEND: 100})
        with till.bank.held():
            waiting = asyncio.create_task(till.reserve())
            await asyncio.sleep(0.01)
            till.limits.drop()
        with pytest.raises(LimitsUnavailable):
            await waiting
        assert till.in_hand(SPEND) == 0

    async def test_a_refusal_is_not_repeated(self) -> None:
        till = Till({SPEND: 5})
        with pytest.raises(SpendingLimitReached):
            await till.reserve()
        till.bank.limits[SPEND] = 100
        till.limits.drop()
        await till.reserve()


async def test_a_desk_s_orders_have_rising_numbers() -> None:
    till = Till({SPEND: 10**9})
    for _ in range(5):
        await till.spend()
        till.limits.forget({ORG})
        await till.limits.tidy()
    numbers = [order.number for order in till.bank.orders]
    assert numbers == sorted(set(numbers))
    assert all(isinstance(order, Order) for order in till.bank.orders)
