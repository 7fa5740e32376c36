"""Refusing: which limit says so, what it says, and how often the database is asked."""

from collections.abc import Iterable

import pytest

from tests.limits.lending import (
    IN_ORDER,
    ORG,
    REQUESTS,
    SPEND,
    TOKENS,
    TRIAL,
    Till,
)
from tollway.domain.errors import (
    Limited,
    PlanExhausted,
    RateLimited,
    SpendingLimitReached,
    SubscriptionPaused,
    SubscriptionRequired,
    TrialExhausted,
)
from tollway.domain.limit import Kind
from tollway.domain.refusal import Refused
from tollway.domain.standing import Standing


class TestRefusing:
    @pytest.mark.parametrize("first", range(len(IN_ORDER)))
    async def test_the_first_limit_that_has_nothing_left_refuses(self, first: int) -> None:
        till = Till({pot: 1_000 if at < first else 0 for at, pot in enumerate(IN_ORDER)})
        pot = IN_ORDER[first]
        errors: dict[Kind, type[Limited]] = {
            Kind.REQUESTS: RateLimited,
            Kind.TOKENS: RateLimited,
            Kind.PLAN: PlanExhausted,
            Kind.TRIAL: TrialExhausted,
            Kind.SPEND: SpendingLimitReached,
        }
        with pytest.raises(Limited) as refused:
            await till.reserve()
        assert type(refused.value) is errors[pot.kind]
        if pot.kind is Kind.REQUESTS:
            assert f"rate limit of the {pot.level}: 0 requests per minute" in str(refused.value)
        if pot.kind is Kind.SPEND:
            assert f"spending limit of the {pot.level}" in str(refused.value)

    async def test_a_refused_call_takes_nothing_from_the_limits_before_it(self) -> None:
        till = Till({REQUESTS: 5, TOKENS: 100, SPEND: 9})
        for _ in range(20):
            with pytest.raises(SpendingLimitReached):
                await till.reserve()
        for _ in range(5):
            await till.spend(completion_tokens=1)
        with pytest.raises(RateLimited):
            await till.reserve(completion_tokens=1)

    async def test_a_call_is_not_refused_by_a_minute_that_is_over_when_the_answer_comes(self) -> None:
        till = Till({REQUESTS: 5, SPEND: 1_000})
        for _ in range(5):
            await till.spend()
        till.clock.advance(59)

        async def slow() -> None:
            till.clock.advance(2)
            till.bank.meanwhile = None

        till.bank.meanwhile = slow
        await till.spend(completion_tokens=900)

    async def test_a_limit_that_refused_just_now_does_not_hide_one_before_it(self) -> None:
        till = Till({REQUESTS: 3, SPEND: 100})
        with pytest.raises(SpendingLimitReached):
            await till.reserve(completion_tokens=200)
        for _ in range(3):
            await till.spend(completion_tokens=1)
        with pytest.raises(RateLimited):
            await till.reserve(completion_tokens=200)

    async def test_a_refusal_is_repeated_for_a_second_without_asking_again(self) -> None:
        till = Till({SPEND: 9})
        for _ in range(20):
            with pytest.raises(SpendingLimitReached):
                await till.reserve()
        assert len(till.bank.orders) == 1
        till.clock.advance(1)
        with pytest.raises(SpendingLimitReached):
            await till.reserve()
        assert len(till.bank.orders) == 2

    async def test_a_smaller_call_is_let_through_beside_one_that_is_too_large(self) -> None:
        till = Till({SPEND: 100})
        for _ in range(3):
            with pytest.raises(SpendingLimitReached):
                await till.reserve(completion_tokens=200)
            await till.spend(completion_tokens=30)

    async def test_it_tells_what_is_left_of_the_minute_in_headers(self) -> None:
        till = Till({REQUESTS: 2, SPEND: 9})
        with pytest.raises(SpendingLimitReached) as refused:
            await till.reserve()
        assert dict(refused.value.headers) == {
            b"x-ratelimit-limit-requests": b"2",
            b"x-ratelimit-remaining-requests": b"2",
            b"x-ratelimit-reset-requests": b"60s",
        }
        await till.spend(completion_tokens=1)
        await till.spend(completion_tokens=1)
        with pytest.raises(RateLimited) as limited:
            await till.reserve(completion_tokens=1)
        headers = dict(limited.value.headers)
        assert headers[b"retry-after"] == b"60"
        assert headers[b"x-ratelimit-remaining-requests"] == b"0"

    @pytest.mark.parametrize(
        ("standing", "error"),
        [
            (Standing(tier="GROWTH", pause_reason={}, max_in_flight=0), SubscriptionPaused),
            (Standing(tier="_NONE_", max_in_flight=0), SubscriptionRequired),
            (Standing(tier="_TRIAL_", trial_end_s=0, max_in_flight=0), SubscriptionRequired),
            (Standing(max_in_flight=0), RateLimited),
        ],
    )
    async def test_the_subscription_comes_before_calls_at_once_and_these_before_amounts(
        self, standing: Standing, error: type[Limited]
    ) -> None:
        till = Till({TRIAL: 0, SPEND: 0}, standing)
        with pytest.raises(error):
            await till.reserve()
        assert till.bank.orders == []

    async def test_refused_calls_are_counted_by_what_refused_them(self) -> None:
        told = Told()
        till = Till({REQUESTS: 3, SPEND: 9}, Standing(max_in_flight=1))
        held = await till.reserve(completion_tokens=1)
        for _ in range(2):
            with pytest.raises(RateLimited):
                await till.reserve(completion_tokens=1)
        held.release()
        for _ in range(4):
            with pytest.raises(SpendingLimitReached):
                await till.reserve()
        till.limits.refused.flush(told, till.clock.now_us())
        assert told.counts == {"too_many_in_flight": 2, "spending_limit_reached": 4}


class Told:
    """Who is told of refused calls."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def refused(self, counts: Iterable[Refused]) -> bool:
        for each in counts:
            assert (each.org_id, each.app) == (ORG, "acme-app")
            self.counts[each.code] = each.count
        return True
