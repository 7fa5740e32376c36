"""A gateway to measure: the production wiring, with its recording switched off in parts.

    none      nothing is recorded
    written   calls are written to the journal, and nothing is folded
    folded    as it is served

Run: `python -m bench.gateway none|written|folded`; it is configured like `tollway serve` and prints
the same lines.
"""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import uvloop

from tollway.cli.configuration import settings_of
from tollway.cli.first_start import first_start, greeting
from tollway.cli.serve import demo_offered, listen, serving
from tollway.domain.ledger import Entry, Start
from tollway.domain.price import Price
from tollway.metering.journal import Journal
from tollway.world import World, open_world

MODES = ("none", "written", "folded")


class Unrecorded:
    """What a tally asks of a journal, and nothing behind it."""

    def start(self, start: Start) -> None:
        """Nothing."""

    def end(self, entry: Entry, prices: Iterable[Price]) -> None:
        """Nothing."""

    async def durable(self) -> None:
        """Nothing."""


async def main(mode: str) -> None:
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
        if mode == "folded":
            group.create_task(world.folder.run())
        listener = listen(settings.host, settings.port)
        host, port = listener.getsockname()[:2]

        def greet() -> None:
            print(greeting(settings, host, port, begun), flush=True)

        async with serving(_unrecorded(world) if mode == "none" else world, listener, greet):
            await asyncio.Event().wait()


def _unrecorded(world: World) -> World:
    meter = replace(world.gateway.meter, journal=cast("Journal", Unrecorded()))
    return replace(world, gateway=replace(world.gateway, meter=meter))


if __name__ == "__main__":
    if sys.argv[1:] not in [[mode] for mode in MODES]:
        sys.exit(f"usage: python -m bench.gateway {'|'.join(MODES)}")
    uvloop.run(main(sys.argv[1]))
