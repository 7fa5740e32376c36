"""One start of one process: the production's journal, folder, recovery and stop, with simulated ends."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from tests.simulation.calls import Client
from tests.simulation.database import Instead, SimulatedDatabase
from tests.simulation.disk import Lens, SimulatedDisk
from tests.simulation.scheduler import Life, SkewedClock
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import JournalUnreadable, MeteringUnavailable, StoreUnavailable
from tollway.domain.ids import JournalId
from tollway.limits.refused import RefusedCounts
from tollway.metering.folder import Folder
from tollway.metering.journal import Journal
from tollway.metering.recovery import Recovery
from tollway.settings import Settings
from tollway.store.journals import register_journal
from tollway.world import RECOVERY_S, World, _fold_the_rest, each

if TYPE_CHECKING:
    from tests.simulation.history import History
    from tollway.gateway.chat import Gateway
    from tollway.notices.post import Post
    from tollway.push.worker import Pusher
    from tollway.store.vault import Vault

_RESTART_S = 1.0
_UNTIL_TOLD_AGAIN_S = 0.5
"""More than it takes until a process learns that a synchronisation failed, and writes all of it again."""
_EXPECTED = (OSError, StoreUnavailable, MeteringUnavailable, JournalUnreadable)
_SETTINGS = Settings(drain_s=2)


def _as_it_is(_head: bytes, piece: bytes) -> bytes:
    return piece


class _Unlimited:
    """The limits of a process whose calls are refused by a die alone."""

    def __init__(self, refused: RefusedCounts) -> None:
        self.refused = refused

    def drop(self) -> None:
        """There is nothing to drop."""

    async def tidy(self) -> None:
        """Nor to give back."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What processes are made of; a test puts a faulty part in its place."""

    journal: type[Journal] = Journal
    recovery: type[Recovery] = Recovery
    disk: type[SimulatedDisk] = SimulatedDisk
    lens: Lens = _as_it_is
    """What comes between a file and whoever reads it."""
    instead: Instead = field(default_factory=dict)
    """Transactions, by those in whose place they stand."""


class Process:
    """A process that lives until it stops, or is killed."""

    def __init__(self, history: "History", name: str) -> None:
        self.life = Life(name)
        self.life.at_death = self._died
        self.world: World | None = None
        """Its parts, once it has started."""
        self.accepts = False
        """Whether it takes calls."""
        self._history = history
        skew_us = history.plan.clocks_differ_s * US_PER_S
        self._clock = SkewedClock(history.loop, history.random.randint(-skew_us, skew_us))
        self._tasks: list[asyncio.Task[None]] = []
        self._calls: list[asyncio.Task[None]] = []
        self._refused = RefusedCounts()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.life.is_alive

    def begin(self) -> None:
        """Start, as `open_world` does."""
        self._spawn(self._begin())

    def call(self) -> None:
        """Let somebody make a call."""
        if self.world is not None and self.accepts:
            history = self._history
            client = Client(
                self.world.journal,
                history.plan.fsync,
                history.book,
                self._clock,
                history.random,
                history.faults,
            )
            if history.random.random() < 0.3:
                self._spawn(self._guarded(self._refuse(client)))
                return
            self._calls.append(self._spawn(self._guarded(client.request())))

    async def _refuse(self, client: Client) -> None:
        client.refuse(self._refused)

    def do(self, work: Callable[[World], Awaitable[object]]) -> None:
        """Let it do something once; what fails is left at that."""

        async def once(world: World) -> None:
            await work(world)

        if self.world is not None and self.accepts:
            self._tasks.append(self._spawn(self._guarded(once(self.world))))

    def stop(self) -> None:
        """Stop as after SIGTERM: calls in flight end, what was metered is folded."""
        if self.world is not None and self.accepts:
            self.accepts = False
            self._spawn(self._stop(self.world))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._history.loop.spawn(self.life, work)

    async def _begin(self) -> None:
        history = self._history
        disk = history.parts.disk(history.platter, self.life, history.parts.lens)
        database = SimulatedDatabase(history.server)
        journal = None
        try:
            journal = history.parts.journal(
                disk,
                JournalId(f"{history.loop.now_us():016}-{UUID(int=history.random.getrandbits(128))}"),
                self._clock,
                segment_bytes=history.plan.segment_bytes,
                max_bytes=history.plan.max_bytes,
                fsync=history.plan.fsync,
            )
            await database.write(register_journal, journal.id, "simulated", self._clock.now_us())
        except (OSError, StoreUnavailable) as error:
            history.note(f"{self.life.name} cannot start: {error}")
            if journal is not None:
                journal.close()
            history.loop.kill(self.life)
            return
        self.world = World(
            settings=_SETTINGS,
            clock=self._clock,
            database=database,
            vault=cast("Vault", None),
            deployment="simulated",
            journal=journal,
            folder=Folder(journal, disk, database, self._clock),
            recovery=history.parts.recovery(disk, database, self._clock, own=journal.id),
            gateway=cast("Gateway", SimpleNamespace(limits=_Unlimited(self._refused))),
            pusher=cast("Pusher", None),
            post=cast("Post", None),
        )
        self.accepts = True
        history.note(f"{self.life.name} has journal {journal.id}")
        world = self.world
        for run in (journal.run, world.folder.run, lambda: each(RECOVERY_S, world.recover)):
            self._tasks.append(self._spawn(self._supervised(run)))

    async def _stop(self, world: World) -> None:
        for tasks in (self._calls, self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._guarded(_fold_the_rest(world))
        world.journal.close()
        self._history.note(f"{self.life.name} has stopped")
        self._history.loop.kill(self.life)

    async def _supervised(self, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._guarded(run())
            await asyncio.sleep(_RESTART_S)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except _EXPECTED as error:
            self._history.note(f"{self.life.name}: {error}")
        except Exception as error:  # noqa: BLE001 - nothing else may happen
            self._history.violate(f"{self.life.name} met {error!r}")

    def _died(self) -> None:
        self._history.platter.lose_process(self.life)
        if self.world is not None:
            journal, history = self.world.journal, self._history
            history.book.lose_process(journal.id, journal.unwritten)
            failed_s = history.platter.failed_s(journal.id)
            if failed_s is not None:
                is_told_again = (
                    journal.trouble is None and history.loop.time() > failed_s + _UNTIL_TOLD_AGAIN_S
                )
                if not is_told_again:
                    history.book.may_forget(journal.id)
        self.world, self.accepts = None, False
