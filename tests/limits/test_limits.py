"""Who may call: the order of refusals, borrowing, shortening, and what others are told."""

import asyncio

import pytest

from tests.limits.lending import (
    IN_ORDER,
    KEY_SPEND,
    PLAN,
    REQUESTS,
    SPEND,
    TOKENS,
    Price,
    Till,
    Wanted,
    caller,
)
from tollway.domain.caller import Caller
from tollway.domain.errors import (
    RateLimited,
    SpendingLimitReached,
)
from tollway.domain.ids import KeyId
from tollway.domain.limit import Kind, Pot
from tollway.domain.standing import Standing


def pots(till: Till) -> list[list[Pot]]:
    """What each order asked for."""
    return [[ask.pot for ask in order.asks] for order in till.bank.orders]


class TestAdmitting:
    async def test_all_that_lacks_is_asked_for_in_one_order(self) -> None:
        till = Till(dict.fromkeys(IN_ORDER, 1_000_000))
        await till.reserve()
        assert pots(till) == [IN_ORDER]

    async def test_while_enough_is_in_hand_nobody_is_asked(self) -> None:
        till = Till({REQUESTS: 1_000, SPEND: 1_000_000})
        await till.spend()
        asked = len(till.bank.orders)
        await till.spend()
        assert len(till.bank.orders) == asked

    async def test_orders_become_few_as_calls_become_many(self) -> None:
        till = Till({REQUESTS: 1_000_000, SPEND: 10**12})
        for _ in range(2_000):
            await till.spend()
        assert len(till.bank.orders) < 20

    async def test_who_has_no_limits_is_let_through_unasked(self) -> None:
        till = Till({})
        assert (await till.reserve(completion_tokens=10**9)).cap is None
        assert till.bank.orders == []

    async def test_calls_at_the_same_time_share_one_conversation(self) -> None:
        till = Till({REQUESTS: 1_000, SPEND: 1_000_000})
        with till.bank.held():
            calls = [asyncio.create_task(till.reserve()) for _ in range(5)]
            await asyncio.sleep(0.01)
        assert {made.held for made in await asyncio.gather(*calls)} == {10}
        assert len(till.bank.orders) == 1

    async def test_a_limit_of_requests_lets_exactly_as_many_through_in_each_minute(self) -> None:
        till = Till({REQUESTS: 7})
        for _ in range(3):
            for _ in range(7):
                await till.spend()
            with pytest.raises(RateLimited):
                await till.reserve()
            till.clock.advance(60)

    async def test_what_calls_did_not_use_is_there_for_those_behind_them(self) -> None:
        till = Till({TOKENS: 100, SPEND: 100})
        for _ in range(6):
            (await till.reserve(completion_tokens=50)).settle(10, 10)
        with pytest.raises(RateLimited):
            await till.reserve(completion_tokens=50)

    async def test_small_calls_use_the_whole_limit_but_less_than_one_call(self) -> None:
        till = Till({SPEND: 1_003})
        assert await till.spend_all() == 1_000

    @pytest.mark.parametrize("is_folded", [False, True])
    async def test_an_overrun_is_made_good_before_more_is_let_through(self, is_folded: bool) -> None:
        till = Till({SPEND: 1_000})
        (await till.reserve()).settle(500, 0)
        if is_folded:
            till.bank.fold(SPEND, 500)
        assert await till.spend_all() == 500

    async def test_a_view_that_is_replaced_leaves_what_is_in_hand(self) -> None:
        till = Till({REQUESTS: 1_000})
        await till.spend()
        till.caller = caller({REQUESTS: 1_000})
        await till.spend()
        assert len(till.bank.orders) == 1

    async def test_forgotten_accounts_leave_what_is_in_hand(self) -> None:
        till = Till({REQUESTS: 1_000})
        await till.spend()
        for number in range(10_000):
            other = caller({}, key=KeyId(f"key-{number}"))
            (await till.limits.reserve(other, Wanted())).release()
        await till.spend()
        assert len(till.bank.orders) == 1


class TestInFlight:
    async def test_only_so_many_calls_are_let_through_at_once(self) -> None:
        till = Till({REQUESTS: 1_000}, Standing(max_in_flight=2))
        first, _ = await till.reserve(), await till.reserve()
        with pytest.raises(RateLimited) as refused:
            await till.reserve()
        assert refused.value.code == "too_many_in_flight"
        headers = dict(refused.value.headers)
        assert headers[b"retry-after"] == b"1"
        assert headers[b"x-ratelimit-remaining-requests"] == b"998"
        first.settle(0, 0)
        await till.reserve()

    async def test_a_call_that_waits_for_the_database_is_one_of_them(self) -> None:
        till = Till({REQUESTS: 1_000}, Standing(max_in_flight=1))
        with till.bank.held():
            waiting = asyncio.create_task(till.reserve())
            await asyncio.sleep(0.01)
            with pytest.raises(RateLimited, match="1 calls"):
                await till.reserve()
        (await waiting).release()
        await till.reserve()

    async def test_calls_that_were_refused_or_given_up_are_none_of_them(self) -> None:
        till = Till({SPEND: 9}, Standing(max_in_flight=1))
        for _ in range(3):
            with pytest.raises(SpendingLimitReached):
                await till.reserve()
        till.clock.advance(1)
        with till.bank.held():
            given_up = asyncio.create_task(till.reserve(completion_tokens=1))
            await asyncio.sleep(0.01)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
        await till.spend(completion_tokens=1)


class TestShortening:
    async def test_a_call_that_fits_is_not_shortened(self) -> None:
        till = Till({SPEND: 800})
        made = await till.reserve(is_stated=False, completion_tokens=800)
        assert (made.held, made.cap, made.completion_tokens) == (800, None, 800)

    async def test_a_call_without_a_cap_gets_a_share_of_what_is_left(self) -> None:
        till = Till({SPEND: 800})
        made = await till.reserve(is_stated=False, completion_tokens=801)
        assert (made.held, made.held_tokens, made.cap, made.completion_tokens) == (100, 100, 100, 100)
        assert dict(made.headers)[b"tollway-max-tokens"] == b"100"

    async def test_never_less_than_the_least(self) -> None:
        till = Till({SPEND: 40})
        wanted = Wanted(is_stated=False, completion_tokens=1_000, least_tokens=16)
        assert await till.spend_all(wanted) == 32

    async def test_all_choices_together_stay_within_the_share(self) -> None:
        till = Till({SPEND: 800})
        made = await till.reserve(is_stated=False, choices=3, completion_tokens=3_000, least_tokens=48)
        assert (made.cap, made.completion_tokens, made.held) == (33, 99, 99)

    async def test_the_prompt_and_the_fee_are_paid_first(self) -> None:
        till = Till({SPEND: 1_600, TOKENS: 10_000})
        price = Price(base=50, each=3)
        made = await till.reserve(
            is_stated=False, prompt_tokens=30, completion_tokens=5_000, least_tokens=16, price=price
        )
        assert (made.cap, made.held, made.held_tokens) == (50, 200, 80)

    async def test_the_scarcest_limit_shortens(self) -> None:
        till = Till({TOKENS: 400, PLAN: 10_000, SPEND: 1_600})
        made = await till.reserve(is_stated=False, prompt_tokens=10, completion_tokens=5_000)
        assert (made.cap, made.held_tokens) == (40, 50)

    async def test_a_call_is_refused_where_its_least_does_not_fit(self) -> None:
        till = Till({SPEND: 15})
        with pytest.raises(SpendingLimitReached, match=r"may cost \$0\.000000016"):
            await till.reserve(is_stated=False, completion_tokens=1_000, least_tokens=16)

    async def test_a_stated_cap_is_never_lowered(self) -> None:
        till = Till({SPEND: 800})
        with pytest.raises(SpendingLimitReached, match=r"may cost \$0\.000000801"):
            await till.reserve(completion_tokens=801)
        assert (await till.reserve(completion_tokens=800)).cap is None

    async def test_unless_the_organisation_asks_for_it(self) -> None:
        till = Till({SPEND: 800}, Standing(near_limit="shorten"))
        assert (await till.reserve(completion_tokens=801)).cap == 100

    async def test_the_first_call_of_a_minute_is_not_shortened_by_the_last_minute(self) -> None:
        till = Till({TOKENS: 800})
        assert (await till.spend(is_stated=False, completion_tokens=801)).cap == 100
        till.clock.advance(60)
        assert (await till.spend(is_stated=False, completion_tokens=800)).cap is None

    async def test_many_calls_run_beside_each_other_near_a_limit(self) -> None:
        till = Till({SPEND: 10_000})
        open_ = [await till.reserve(is_stated=False, completion_tokens=128_000) for _ in range(30)]
        assert sum(made.held for made in open_) <= 10_000
        caps = [made.cap or 0 for made in open_]
        assert caps == sorted(caps, reverse=True)


class TestOthers:
    """What other processes have."""

    async def test_a_call_waits_once_for_others_to_give_back_what_it_lacks(self) -> None:
        till = Till({SPEND: 100})
        till.bank.elsewhere[SPEND] = till.bank.gets_back[SPEND] = 95
        assert (await till.reserve()).held == 10
        assert len(till.bank.orders) == 2

    async def test_and_is_refused_if_they_do_not(self) -> None:
        till = Till({SPEND: 100})
        till.bank.elsewhere[SPEND] = 95
        with pytest.raises(SpendingLimitReached):
            await till.reserve()
        assert len(till.bank.orders) == 2

    async def test_for_a_rate_nobody_waits(self) -> None:
        till = Till({REQUESTS: 10})
        till.bank.elsewhere[REQUESTS] = 10
        with pytest.raises(RateLimited):
            await till.reserve()
        assert len(till.bank.orders) == 1


class TestBusyPurses:
    """Other calls of the process take what one has borrowed, before it has all that it needs."""

    async def test_what_is_taken_meanwhile_is_borrowed_again(self) -> None:
        till = Till({TOKENS: 10**6, KEY_SPEND: 10**6})
        tokens_only = caller({TOKENS: 10**6}, key=KeyId("key-2"))
        await till.limits.reserve(tokens_only, Wanted())

        async def take_all_tokens() -> None:
            till.bank.meanwhile = None
            await self._take_all(till, tokens_only)

        till.bank.meanwhile = take_all_tokens
        assert (await till.reserve()).held == 10
        assert [pot.kind for pot in pots(till)[-1]] == [Kind.TOKENS]

    @pytest.mark.parametrize(("left", "cap"), [(5, 5), (0, None)])
    async def test_after_three_tries_a_call_takes_what_there_is_or_is_refused(
        self, left: int, cap: int | None
    ) -> None:
        till = Till({TOKENS: 10**6, KEY_SPEND: 10**6})
        tokens_only = caller({TOKENS: 10**6}, key=KeyId("key-2"))
        money_only = caller({KEY_SPEND: 10**6}, key=KeyId("key-2"))
        takers = [tokens_only, money_only, tokens_only]
        await till.limits.reserve(tokens_only, Wanted())

        async def take_the_other() -> None:
            await self._take_all(till, takers.pop(0), left)

        till.bank.meanwhile = take_the_other
        wanted = till.reserve(is_stated=False)
        if cap is None:
            with pytest.raises(RateLimited):
                await wanted
        else:
            made = await wanted
            assert (made.cap, made.held) == (cap, cap)
        assert takers == []

    async def _take_all(self, till: Till, taker: Caller, left: int = 0) -> None:
        """All but so much of what is in hand, without asking for more."""
        in_hand = till.in_hand(taker.caps[0].pot)
        await till.limits.reserve(taker, Wanted(completion_tokens=in_hand - left))
