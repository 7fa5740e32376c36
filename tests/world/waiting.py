"""Waiting for what tells nobody when it is so: another process, a double, a task of its own."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_S = 20.0
"""Far more than anything takes: who waits so long waits for ever."""
STEP_S = 0.02


async def until(
    holds: Callable[[], bool | Awaitable[bool]],
    complaint: str = "what is waited for is still not so",
    *,
    within_s: float = PATIENCE_S,
) -> None:
    """Ask again and again until it holds; AssertionError with the complaint if that takes too long."""
    try:
        async with asyncio.timeout(within_s):
            while not await _answer(holds):  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(STEP_S)
    except TimeoutError as error:
        raise AssertionError(f"{complaint}, {within_s:g} s later") from error


async def _answer(holds: Callable[[], bool | Awaitable[bool]]) -> bool:
    said = holds()
    return await said if isinstance(said, Awaitable) else said
