"""Questions asked together: each gets its own answer, whoever leaves and whatever fails."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.world.waiting import until
from tollway.domain.errors import StoreUnavailable
from tollway.push.together import MOST, Together


class Oracle:
    """Answers with the double of each number; notes what was asked at once."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_away = False

    async def __call__(self, questions: Sequence[int]) -> Sequence[int]:
        self.asked.append(list(questions))
        await self.gate.wait()
        if self.is_away:
            raise StoreUnavailable("away")
        return [2 * question for question in questions]


async def test_who_comes_while_one_is_answered_goes_with_the_next() -> None:
    oracle = Oracle()
    together = Together(oracle)
    oracle.gate.clear()
    waiting = [asyncio.create_task(together.ask(number)) for number in range(5)]
    await asyncio.sleep(0)
    oracle.gate.set()
    assert await asyncio.gather(*waiting) == [0, 2, 4, 6, 8]
    assert len(oracle.asked) <= 2


async def test_who_gathers_waits_for_others() -> None:
    oracle = Oracle()
    together = Together(oracle)
    answers = await asyncio.gather(*(together.ask(number, 0.01) for number in range(9)))
    assert answers == [2 * number for number in range(9)]
    assert oracle.asked == [list(range(9))]


async def test_more_than_fit_are_asked_in_several() -> None:
    oracle = Oracle()
    together = Together(oracle)
    count = 2 * MOST + 1
    answers = await asyncio.gather(*(together.ask(number, 0.01) for number in range(count)))
    assert answers == [2 * number for number in range(count)]
    assert [len(asked) for asked in oracle.asked] == [MOST, MOST, 1]


async def test_while_the_database_is_away_everybody_is_told() -> None:
    oracle = Oracle()
    oracle.is_away = True
    together = Together(oracle)
    answers = await asyncio.gather(
        *(together.ask(number, 0.01) for number in range(3)), return_exceptions=True
    )
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    oracle.is_away = False
    assert await together.ask(7) == 14


async def test_who_asks_for_all_and_leaves_takes_nobody_along() -> None:
    oracle = Oracle()
    together = Together(oracle)
    oracle.gate.clear()
    first, *others = [asyncio.create_task(together.ask(number, 0.01)) for number in range(4)]
    await until(lambda: bool(oracle.asked))
    first.cancel()
    await asyncio.sleep(0)
    oracle.gate.set()
    assert await asyncio.gather(*others) == [2, 4, 6]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_who_leaves_before_being_asked_for_is_not_asked_for() -> None:
    oracle = Oracle()
    together = Together(oracle)
    oracle.gate.clear()
    first = asyncio.create_task(together.ask(1))
    await asyncio.sleep(0)
    second = asyncio.create_task(together.ask(2))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    oracle.gate.set()
    assert await first == 2
    assert await together.ask(3) == 6
    assert oracle.asked == [[1], [3]]
