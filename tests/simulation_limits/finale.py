"""How some seeds end: all of a limit is used, or all of a minute, and nothing more."""

import asyncio
from typing import TYPE_CHECKING

from tests.simulation_limits.plan import Spender
from tollway.domain.clock import US_PER_S
from tollway.domain.limit import MINUTE_US, Kind, Pot, minute_of
from tollway.domain.price import WorstCase
from tollway.gateway.need import Need

if TYPE_CHECKING:
    from tests.simulation_limits.history import History
    from tests.simulation_limits.process import Process

_CALLS = 4
_AGAIN_S = 1.2
_SEVERAL = 20
"""Of a minute that is used up, at most so many requests."""


def _need(tokens: int, nano: int) -> Need:
    return Need(
        prompt_tokens=tokens,
        choices=1,
        completion_tokens=0,
        is_stated=True,
        can_be_capped=True,
        price=WorstCase(nano, 0, 1),
    )


def _left(history: "History", pots: list[Pot], kinds: tuple[Kind, ...]) -> int | None:
    """What is left of the pot of these kinds that has least; None without any."""
    book, now_us = history.book, history.loop.now_us()
    limits = [(pot, book.limits.get(pot)) for pot in pots if pot.kind in kinds]
    found = [limit - book.spent(pot, now_us) for pot, limit in limits if limit is not None]
    return min(found, default=None)


async def use(history: "History") -> None:
    """Each organisation's first key calls until it is refused by every process."""
    for tenant in history.plan.tenants:
        spender = tenant.keys[0]
        pots = [pot for pot in history.book.limits if _is_of(pot, spender)]
        nano = _left(history, pots, (Kind.SPEND, Kind.TRIAL))
        plan = _left(history, pots, (Kind.PLAN,))
        if nano is None and plan is None:
            continue
        tokens = max(plan or 0, 0) // _CALLS + 1
        narrow = min(
            (limit for pot in pots if pot.kind is Kind.TOKENS and (limit := history.book.limits[pot])),
            default=tokens,
        )
        cost = max(nano or 0, 0) // _CALLS + 1
        need = _need(min(tokens, narrow), cost if nano is not None else 0)
        await _until_all_refuse(history, spender, need)
        rest = [
            (left, size)
            for left, size in (
                (_left(history, pots, (Kind.SPEND, Kind.TRIAL)), cost),
                (_left(history, pots, (Kind.PLAN,)), need.prompt_tokens),
            )
            if left is not None
        ]
        if all(left >= size for left, size in rest):
            history.violate(f"{spender.key} is refused, and there is enough: {rest}")


async def _until_all_refuse(history: "History", spender: Spender, need: Need) -> None:
    refusals = 0
    while refusals < 2 * len(history.living):
        for process in history.living:
            code = await _call(history, process, spender, need)
            if code is None:
                refusals = 0
            elif code == "rate_limit_exceeded":
                now_us = history.loop.now_us()
                await asyncio.sleep((minute_of(now_us) + MINUTE_US - now_us) / US_PER_S + 0.001)
            else:
                refusals += 1
                await asyncio.sleep(_AGAIN_S)


async def rate(history: "History") -> None:
    """Every process keeps trying for a minute: exactly what is in a limit is let through."""
    spender = history.plan.tenants[0].keys[0]
    limits = [limit for pot in spender.pots(Kind.REQUESTS) if (limit := history.book.limits[pot]) is not None]
    if min(limits) > _SEVERAL:
        return
    now_us = history.loop.now_us()
    begin_us = minute_of(now_us) + MINUTE_US
    await asyncio.sleep((begin_us - now_us) / US_PER_S + 0.001)
    admitted = 0

    async def keep_trying(process: "Process") -> int:
        done = 0
        while history.loop.now_us() < begin_us + MINUTE_US - US_PER_S:
            code = await _call(history, process, spender, _need(0, 0))
            if code is None:
                done += 1
                await asyncio.sleep(history.random.random())
            else:
                await asyncio.sleep(2 + 15 * history.random.random())
        return done

    admitted = sum(await asyncio.gather(*(keep_trying(process) for process in history.living)))
    if admitted != min(limits):
        history.violate(f"{admitted} requests of {min(limits)} were let through")


async def _call(history: "History", process: "Process", spender: Spender, need: Need) -> str | None:
    """Call in a process; what it was refused with."""
    return await history.loop.spawn(process.life, process.call(spender, need, 0.0, 1.0))


def _is_of(pot: Pot, spender: Spender) -> bool:
    return pot.id in (spender.org, spender.app, spender.key)
