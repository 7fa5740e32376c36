"""Questions that are asked together: whoever comes while one is being answered goes with the next.

What many tasks want of the database every few seconds is one transaction then, not one for each.
Owns gathering; does not own what is asked. Needs no task of its own: whoever is first asks for all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tollway.domain.errors import StoreUnavailable

MOST = 200
"""Asked at once."""

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """`answer` gets questions and returns as many answers, in their order."""

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]]) -> None:
        self._answer = answer
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, question: Q, gather_s: float = 0.0) -> A:
        """The answer; StoreUnavailable for all that were asked together. Waits so long for others to come."""
        mine: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, mine))
        try:
            async with self._one_at_a_time:
                if not mine.done():
                    if gather_s:
                        await asyncio.sleep(gather_s)
                    await self._ask_for_all()
            return await mine
        finally:
            self._waiting = [one for one in self._waiting if one[1] is not mine]

    async def _ask_for_all(self) -> None:
        asked, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            answers = await self._answer([question for question, _ in asked])
        except StoreUnavailable as error:
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
            return
        except BaseException:  # whoever asked leaves; the others ask again
            self._waiting = asked + self._waiting
            raise
        for (_, future), answer in zip(asked, answers, strict=True):
            if not future.done():
                future.set_result(answer)
