"""A gateway to measure: the production wiring, with its recording switched off in parts.

    none        nothing is recorded
    written     calls are written to the journal, and nothing is folded
    unlimited   all is recorded, and nothing limited
    folded      as it is served

Run: `python -m bench.gateway none|written|unlimited|folded [FILE]`; it is configured like `tollway
serve` and prints the same lines. FILE has, all the time, how many SQL statements were for limits,
and how many there were in all.
"""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

import uvloop
from sqlalchemy import Connection, Engine, event

from tollway.cli.configuration import settings_of
from tollway.cli.first_start import first_start, greeting
from tollway.cli.serve import demo_offered, listen, serving
from tollway.domain.caller import Caller
from tollway.domain.ids import OrgId
from tollway.domain.lease import Order, Terms
from tollway.domain.ledger import Entry, Start
from tollway.domain.money import Nano
from tollway.domain.price import Price
from tollway.limits.limits import TICK_S, Lender, Limits
from tollway.limits.reservation import Need
from tollway.metering.journal import Journal
from tollway.store.leases import exchange
from tollway.world import CHANGES_POLL_S, World, open_world

_WRITTEN_EACH_S = 0.1

MODES = ("none", "written", "unlimited", "folded")


class Unrecorded:
    """What a tally asks of a journal, and nothing behind it."""

    def start(self, start: Start) -> None:
        """Nothing."""

    def end(self, entry: Entry, prices: Iterable[Price]) -> None:
        """Nothing."""

    async def durable(self) -> None:
        """Nothing."""


class Unlimited:
    """What the gateway asks of limits, and what a tally asks of a reservation, with nothing behind it."""

    cap = None
    held = Nano(2**40)
    held_tokens = 0
    leased = 0
    funding = None
    headers = ()

    async def reserve(self, _caller: Caller, _need: Need) -> "Unlimited":
        """Itself."""
        return self

    def settle(self, charged: int, consumed: int) -> None:
        """Nothing."""

    def forget(self, org_ids: Collection[OrgId] | None) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""


class Counted:
    """How many SQL statements were run, and how many of them for limits."""

    def __init__(self) -> None:
        self.of_limits = 0
        self.of_all = 0
        self._here = threading.local()
        event.listen(Engine, "before_cursor_execute", self._count)

    def lender(self, world: World) -> Lender:
        """As the world's own, and counted."""

        def counted(db: Connection, order: Order) -> Terms:
            self._here.is_lending = True
            try:
                return exchange(db, order.org_id, order, world.settings.allowances, world.clock.now_us())
            finally:
                self._here.is_lending = False

        async def lend(order: Order) -> Terms:
            return await world.database.write(counted, order)

        return lend

    async def write(self, file: Path) -> None:
        """Write the counts, for ever."""
        while True:
            await asyncio.to_thread(file.write_text, f"{self.of_limits} {self.of_all}")
            await asyncio.sleep(_WRITTEN_EACH_S)

    def _count(self, *_: object) -> None:
        self.of_all += 1
        self.of_limits += getattr(self._here, "is_lending", False)


async def main(mode: str, file: Path | None) -> None:
    """Serve until killed."""
    settings = settings_of()
    async with (
        demo_offered(settings) as offered,
        open_world(offered, runs_tasks=False) as world,
        asyncio.TaskGroup() as group,
    ):
        begun = await first_start(world)
        if mode != "none":
            group.create_task(world.journal.run())
        if mode in ("unlimited", "folded"):
            group.create_task(world.folder.run())
        served = _switched_off(world, mode)
        if file is not None and mode == "folded":
            counted = Counted()
            group.create_task(counted.write(file))
            limits = Limits(counted.lender(world), world.clock, world.journal.id)
            served = replace(world, gateway=replace(world.gateway, limits=limits))
        if mode in ("unlimited", "folded"):
            group.create_task(_each(CHANGES_POLL_S, served.refresh))
        if mode == "folded":
            group.create_task(_each(TICK_S, served.tidy))
        listener = listen(settings.host, settings.port)
        host, port = listener.getsockname()[:2]

        def greet() -> None:
            print(greeting(settings, host, port, begun), flush=True)

        async with serving(served, listener, greet):
            await asyncio.Event().wait()


async def _each(seconds: float, turn: Callable[[], Awaitable[None]]) -> None:
    """As a gateway that is served does it: what was changed holds, and idle limits go back."""
    while True:
        await turn()
        await asyncio.sleep(seconds)


def _switched_off(world: World, mode: str) -> World:
    gateway = world.gateway
    if mode == "none":
        meter = replace(gateway.meter, journal=cast("Journal", Unrecorded()))
        return replace(world, gateway=replace(gateway, meter=meter))
    if mode == "unlimited":
        return replace(world, gateway=replace(gateway, limits=cast("Limits", Unlimited())))
    return world


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in MODES:
        sys.exit(f"usage: python -m bench.gateway {'|'.join(MODES)} [FILE]")
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) == 3 else None))
