"""Whatever happens in whatever order: what is admitted fits, and nothing is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.limits.lending import ORG, PLAN, REQUESTS, SPEND, Till
from tollway.domain.errors import Limited, LimitsUnavailable
from tollway.domain.limit import Pot
from tollway.domain.standing import Standing
from tollway.limits.reservation import Reservation

REQUESTS_LIMIT, SPEND_LIMIT, PLAN_LIMIT, AT_ONCE = 40, 3_000, 2_500, 8

Step = Callable[["Story"], Awaitable[None]]


class Story:
    """One process and its database, and what must hold at each moment."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - not a secret
        limited: dict[Pot, int | None] = {REQUESTS: REQUESTS_LIMIT, PLAN: PLAN_LIMIT, SPEND: SPEND_LIMIT}
        self.till = Till(limited, Standing(max_in_flight=AT_ONCE))
        self.open: list[Reservation] = []
        self.cost = 0
        self.unfolded: list[int] = []
        self.admitted: dict[int, int] = {}
        """By minute."""

    async def call(self) -> None:
        completion_tokens, is_stated = self.random.randrange(1, 900), self.random.random() < 0.5
        try:
            made = await self.till.reserve(completion_tokens=completion_tokens, is_stated=is_stated)
        except (Limited, LimitsUnavailable):
            return
        self.open.append(made)
        minute = self.till.clock.now_us() // 60_000_000
        self.admitted[minute] = self.admitted.get(minute, 0) + 1

    async def leave(self) -> None:
        with self.till.bank.held():
            leaving = asyncio.create_task(self.call())
            for _ in range(self.random.randrange(4)):
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    async def end(self) -> None:
        if self.open:
            one = self.open.pop(self.random.randrange(len(self.open)))
            cost = self.random.randrange(one.held + 1)
            one.settle(cost, cost)
            self.cost += cost
            self.unfolded.append(cost)

    async def release(self) -> None:
        if self.open:
            self.open.pop().release()

    async def fold(self) -> None:
        for cost in self.unfolded:
            self.till.bank.fold(SPEND, cost)
            self.till.bank.fold(PLAN, cost)
        self.unfolded.clear()

    async def wait(self) -> None:
        self.till.clock.advance(self.random.choice([0.05, 0.5, 1, 20, 40]))

    async def recall(self) -> None:
        self.till.limits.forget({ORG})
        await self.till.limits.tidy()

    async def tidy(self) -> None:
        await self.till.limits.tidy()

    async def lose_or_find(self) -> None:
        bank = self.till.bank
        bank.is_away, bank.is_deaf = self.random.choice([(False, False), (False, True), (True, False)])

    def check(self) -> None:
        held = sum(made.held for made in self.open)
        assert held + self.cost <= min(SPEND_LIMIT, PLAN_LIMIT)
        # One process has the whole rate as its even share, and what it borrowed before is its own.
        assert all(count <= REQUESTS_LIMIT for count in self.admitted.values())
        bank, till = self.till.bank, self.till
        for pot, limit in ((SPEND, SPEND_LIMIT), (PLAN, PLAN_LIMIT)):
            assert bank.spent[pot] + bank.lent[pot, 0] <= limit
            assert till.in_hand(pot) + held + sum(self.unfolded) <= bank.lent[pot, 0]

    async def rest(self) -> None:
        """Everything ends, and the database is there: nothing is lent any more, and all is there again."""
        bank = self.till.bank
        bank.is_away = bank.is_deaf = False
        while self.open:
            await self.end()
        await self.fold()
        for _ in range(3):
            self.till.clock.advance(60)
            await self.recall()
        assert (bank.lent[SPEND, 0], bank.lent[PLAN, 0]) == (0, 0)
        assert bank.spent[SPEND] == self.cost
        left = PLAN_LIMIT - self.cost
        if left >= AT_ONCE:
            for made in [await self.till.reserve(completion_tokens=1) for _ in range(AT_ONCE)]:
                made.release()
        if left:
            assert (await self.till.reserve(completion_tokens=left)).held == left


STEPS: list[Step] = [
    Story.call,
    Story.call,
    Story.call,
    Story.end,
    Story.end,
    Story.release,
    Story.leave,
    Story.fold,
    Story.wait,
    Story.recall,
    Story.tidy,
    Story.lose_or_find,
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=60), st.integers(0, 2**32))
def test_what_is_admitted_fits_and_after_rest_nothing_is_lent(steps: list[Step], seed: int) -> None:
    async def tell() -> None:
        story = Story(seed)
        for step in steps:
            await step(story)
            story.check()
        await story.rest()

    asyncio.run(tell())
