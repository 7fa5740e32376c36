"""The wiring: everything that runs, built once from settings, started and stopped here.

Owns construction, the tasks (all in one group) and the order of stopping: what was metered is
folded last. Does not own what any part does. Tests open the same world with another clock.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tollway.domain.clock import US_PER_S, Clock
from tollway.domain.errors import StoreUnavailable
from tollway.gateway.chat import Gateway
from tollway.gateway.live import Live
from tollway.gateway.metered import Meter
from tollway.limits.limits import TICK_S, Limits
from tollway.metering.disk import Disk
from tollway.metering.folder import Folder
from tollway.metering.journal import Journal
from tollway.metering.recovery import Recovery
from tollway.notices.post import LOOK_FOR_LETTERS_S, Post
from tollway.parts import (
    catalog_of,
    connection_of,
    database_of,
    journal_folder,
    journal_of,
    lender_of,
    loader_of,
    make_data_dir,
    outbound_of,
    place_of,
    post_of,
    vault_of,
)
from tollway.push.addresses import LookUp, ask_the_system
from tollway.push.worker import Pusher, Run
from tollway.settings import Settings, SettingsError
from tollway.store.bodies import forget_bodies
from tollway.store.changes import position, prune, since
from tollway.store.clock import SharedClock
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.journals import close_journal, register_journal
from tollway.store.leases import forget_minutes, return_leases
from tollway.store.migrate import migrate
from tollway.store.outbox import prune_letters
from tollway.store.partitions import ensure_partitions
from tollway.store.price_list import imported_prices
from tollway.store.vault import Vault

CHANGES_POLL_S = 0.25
_RESTART_S = 1.0
_HOUSEKEEPING_S = 3600.0
_CHANGES_KEPT_S = 3600
_LEAST_LAST_FOLD_S = 1
RECOVERY_S = 2.0
"""So that what a dead process held of a minute comes back within it."""
_CLOCK_S = 30.0
_DAY_S = 86_400

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All parts of one running process."""

    settings: Settings
    clock: Clock
    database: Database
    vault: Vault
    deployment: str
    journal: Journal
    folder: Folder
    recovery: Recovery
    gateway: Gateway
    pusher: Pusher
    post: Post

    async def refresh(self) -> None:
        """Read the feed of changes, forget what they touch, and take over imported prices."""
        live = self.gateway.live
        changes = await self.database.read(since, live.position)
        if changes.are_of_prices:
            self.gateway.catalog.reprice(await self.database.read(imported_prices))
        org_ids = changes.org_ids if changes.complete else None
        live.forget(changes.upto, org_ids)
        self.gateway.limits.forget(org_ids)

    async def recover(self) -> None:
        """Fold what the dead left, and what a database that was restored lacks of this process."""
        await self.recovery.recover()
        if await self.folder.catch_up():
            # The restored database does not know what this process holds of limits.
            self.gateway.limits.drop()
            await self.database.write(return_leases, self.journal.id, self.clock.now_us())
            await self.recovery.renew_instance()
        await self.folder.mark()

    async def tidy(self) -> None:
        """Give back what lies idle of limits, and tell the journal of refused calls."""
        await self.gateway.limits.tidy()
        self.gateway.limits.refused.flush(self.journal, self.clock.now_us())

    async def settled(self) -> None:
        """Recover, fold, push, mail and forget what there is now: all that tasks do over time."""
        await self.refresh()
        await self.recover()
        await self.tidy()
        await self.folder.fold_all()
        await self.pusher.push_once()
        await self.post.deliver_due()


@asynccontextmanager
async def open_world(
    settings: Settings, *, clock: Clock | None = None, ask: LookUp = ask_the_system, runs_tasks: bool = True
) -> AsyncIterator[World]:
    """Build and start everything; on leaving, stop it and store what was metered.

    SettingsError for a configuration that cannot work. With `runs_tasks=False` nothing runs by
    itself: `World.settled()` does what the tasks would have done.
    """
    async with AsyncExitStack() as stack:
        make_data_dir(settings)
        vault = vault_of(settings)
        database = database_of(settings)
        stack.callback(database.close)
        clock = clock or SharedClock(database)
        try:
            await asyncio.to_thread(migrate, database, clock.now_us())
        except ValueError as error:
            raise SettingsError(f"database_url: {error}") from None
        if isinstance(clock, SharedClock):
            await clock.set_right()
        deployment = await database.write(identify, clock.now_us())
        vendors = {
            name: await stack.enter_async_context(connection_of(settings, name))
            for name in settings.providers
        }
        disk = Disk(journal_folder(settings, deployment))
        journal = journal_of(settings, disk, clock)
        stack.callback(journal.close)
        await database.write(register_journal, journal.id, place_of(disk), clock.now_us())
        seen = await database.read(position)  # before the prices: what comes between is read again
        catalog = catalog_of(settings, await database.read(imported_prices))
        load = loader_of(database, clock, settings.allowances)
        limits = Limits(lender_of(database, clock, settings.allowances), clock, journal.id)
        world = World(
            settings=settings,
            clock=clock,
            database=database,
            vault=vault,
            deployment=deployment,
            journal=journal,
            folder=Folder(journal, disk, database, clock),
            recovery=Recovery(disk, database, clock, own=journal.id),
            gateway=Gateway(
                live=Live(load, seen, clock.now_us, turned_away=limits.count_refused),
                catalog=catalog,
                limits=limits,
                meter=Meter(journal, catalog, clock, settings.body_max_bytes),
                vendors=vendors,
            ),
            pusher=Pusher(
                id=journal.id,
                database=database,
                vault=vault,
                clock=clock,
                outbound=outbound_of(settings, ask),
                interval_s=settings.push_interval_s,
            ),
            post=post_of(settings, database, vault, clock),
        )
        stack.push_async_callback(_fold_the_rest, world)
        if runs_tasks:
            await world.recovery.notice_restored()  # before anything is pushed
            await stack.enter_async_context(_tasks(world))
        yield world


@asynccontextmanager
async def _tasks(world: World) -> AsyncIterator[None]:
    """Every task of the process, in one group; cancelled on leaving."""
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        tasks: set[asyncio.Task[None]] = set()

        def start(run: Run, name: str) -> asyncio.Task[None]:
            task = group.create_task(_supervised(run, name), name=name)
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            return task

        start(world.journal.run, "synchronise the journal")
        start(world.folder.run, "fold")
        start(partial(each, RECOVERY_S, world.recover), "recover journals")
        start(partial(_follow_changes, world), "follow changes")
        start(partial(each, TICK_S, world.tidy), "give back idle limits")
        start(partial(_keep_house, world), "keep house")
        start(partial(each, LOOK_FOR_LETTERS_S, world.post.deliver_due), "send letters")
        if isinstance(world.clock, SharedClock):
            start(partial(each, _CLOCK_S, world.clock.set_right), "set the clock right")
        start(partial(world.pusher.run, start), "push")
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised again below: the group would wrap it
            failure = error
        for task in list(tasks):
            task.cancel()
    if failure is not None:
        raise failure


async def _supervised(run: Run, name: str) -> None:
    """Run a task to its end, if it has one: one that fails is logged and started again."""
    while True:
        try:
            return await run()
        except Exception:  # noqa: BLE001 - the task supervisor: one fault must not end the process
            _log.exception("the task '%s' failed and is started again", name)
        await asyncio.sleep(_RESTART_S)


async def _follow_changes(world: World) -> None:
    while True:
        limits = world.gateway.limits
        try:
            await world.refresh()
            limits.found()
        except StoreUnavailable as error:  # what is cached serves on while the database is away
            limits.lost(error)
        await asyncio.sleep(CHANGES_POLL_S)


async def each(seconds: float, turn: Run) -> None:
    """Again and again; where the database is away, the next time may do it."""
    while True:
        with contextlib.suppress(StoreUnavailable):
            await turn()
        await asyncio.sleep(seconds)


async def _keep_house(world: World) -> None:
    kept_us = int(world.settings.journal_keep_days * _DAY_S * US_PER_S)
    while True:
        now_us = world.clock.now_us()
        try:
            await world.database.write(ensure_partitions, now_us)
            await world.database.write(prune, now_us - _CHANGES_KEPT_S * US_PER_S)
            await world.database.write(forget_minutes, now_us)
            while await world.database.write(forget_bodies, now_us):
                pass
            await world.database.write(prune_letters, now_us)
            world.journal.drop(now_us - kept_us)
            await world.recovery.remove_old(now_us - kept_us)
        except StoreUnavailable as error:
            _log.warning("housekeeping is put off: %s", error)
        await asyncio.sleep(_HOUSEKEEPING_S)


async def _fold_the_rest(world: World) -> None:
    """The last act: store what was metered; what the database does not take waits in the journal."""
    patience_s = max(world.settings.drain_s, _LEAST_LAST_FOLD_S)
    journal = world.journal
    try:
        async with asyncio.timeout(patience_s):
            world.gateway.limits.refused.flush(journal, world.clock.now_us())
            await journal.sync()
            await world.folder.drain()
            await world.folder.mark()
            if not (journal.open or journal.trouble or world.folder.is_damaged):
                now_us, folded_to = world.clock.now_us(), world.folder.folded_to
                await world.database.write(close_journal, journal.id, now_us, folded_to=folded_to)
    except (TimeoutError, StoreUnavailable):
        waiting = world.folder.waiting
        _log.warning("%d records stay in the journal and are stored after the next start", waiting)
    if journal.open:
        _log.error("%d calls were still running: they will be unsettled", len(journal.open))
    if journal.unwritten:
        _log.error("lost at the stop: the ends of %d calls, which no disk took", journal.unwritten)
