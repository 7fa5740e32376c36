"""The pushers as tasks: destinations come and go, and one that hangs delays nobody else."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import msgspec
import pytest

from tests.push.rows import integration_of
from tests.push.test_worker import Pair, pair, put
from tests.world.stage import Stage, Tenant
from tests.world.waiting import until
from tollway.demo.receiver import ScriptedAnswer
from tollway.push.worker import Pusher
from tollway.settings import Settings
from tollway.store.database import Database
from tollway.world import World, open_world


async def until_noted(stage: Stage, tenant: Tenant, seq: int) -> None:
    """Lines arrive before the cursor moves; whoever comes between may see them twice."""

    async def is_noted() -> bool:
        noted: int = (await integration_of(stage.world.database, tenant, "loki")).cursor_seq
        return noted == seq

    await until(is_noted)


def opened(stage: Stage, settings: Settings, deadline_s: float = 10) -> AbstractAsyncContextManager[World]:
    """A second process on the stage's database, with its tasks."""
    quick = msgspec.structs.replace(settings, push_interval_s=0.02, push_deadline_s=deadline_s)
    return open_world(quick, clock=stage.clock, runs_tasks=True)


async def test_a_receiver_that_is_added_later_is_served_and_one_that_is_removed_no_longer(
    stage: Stage, settings: Settings
) -> None:
    acme = await stage.tenant()
    await stage.chat(acme)
    await stage.world.folder.fold_all()
    async with opened(stage, settings) as world:
        await stage.integrate(acme)
        await until(lambda: stage.prometheus.total("tollway_requests_total") == 1)
        await stage.chat(acme)
        await stage.world.folder.fold_all()
        await until(lambda: stage.prometheus.total("tollway_requests_total") == 2)
        await until(lambda: len(stage.loki.lines()) == 1)

        tasks = pushing()
        assert len(tasks) == 2
        await put(stage, acme, {"prom": None, "loki": None})
        await until(lambda: not pushing())
        seen = len(stage.prometheus.requests), len(stage.loki.requests)
        await stage.chat(acme)
        await stage.world.folder.fold_all()
        await world.settled()
        await asyncio.sleep(0.1)
        assert (len(stage.prometheus.requests), len(stage.loki.requests)) == seen


def pushing() -> list[str]:
    return [
        name
        for task in asyncio.all_tasks()
        if (name := task.get_name()).startswith(("push prom", "push loki"))
    ]


async def test_a_receiver_that_is_changed_is_served_at_its_new_place(
    stage: Stage, settings: Settings
) -> None:
    async with pair(stage, "9", "another-token-there") as moved, opened(stage, settings):
        acme = await stage.tenant()
        await stage.integrate(acme)
        await stage.chat(acme)
        await stage.world.folder.fold_all()
        await until_noted(stage, acme, 1)
        stage.clock.advance(1)
        await put(stage, acme, moved.body())
        await stage.chat(acme)
        await stage.world.folder.fold_all()
        await until(lambda: len(moved.loki.lines()) == 1 and len(pushing()) == 2)
        await until(lambda: moved.prom.total("tollway_requests_total") == 2)
        assert len(stage.loki.lines()) == 1


def has_calls(receivers: Pair, calls: int) -> bool:
    pushed = receivers.prom.total("tollway_requests_total")
    return pushed == calls == len(receivers.loki.lines())


async def test_one_receiver_that_hangs_does_not_delay_another_organisation(
    stage: Stage, settings: Settings
) -> None:
    async with pair(stage, "1", "token-of-acme-1") as hanging, pair(stage, "2", "token-of-beta-2") as fine:
        acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
        for double in (hanging.prom, hanging.loki):
            double.scripted.extend(ScriptedAnswer(status=204, delay_s=600) for _ in range(100))
        await put(stage, acme, hanging.body())
        await put(stage, beta, fine.body())
        async with opened(stage, settings, deadline_s=300):
            for calls in (1, 2, 3):
                await stage.chat(acme)
                await stage.chat(beta)
                await stage.world.folder.fold_all()
                await until(partial(has_calls, fine, calls))
            await until(lambda: bool(hanging.prom.requests and hanging.loki.requests))
        assert len(hanging.prom.requests) == len(hanging.loki.requests) == 1
        assert hanging.prom.series() == {}


async def test_of_two_processes_with_tasks_one_pushes_each_line(stage: Stage, settings: Settings) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    async with opened(stage, settings), opened(stage, settings):
        for _ in range(5):
            await stage.chat(acme)
            await stage.world.folder.fold_all()
            await asyncio.sleep(0.02)
        await until_noted(stage, acme, 5)
        assert len(stage.loki.lines()) == 5
        await until(lambda: stage.prometheus.total("tollway_requests_total") == 5)
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.dropped) == (5, 0)
    assert (await integration_of(stage.world.database, acme, "prom")).dropped == 0


async def test_a_run_that_ends_takes_the_tasks_of_its_destinations_along(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    started: list[asyncio.Task[None]] = []

    def start(run: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        async def running() -> None:
            await run()

        started.append(asyncio.create_task(running(), name=name))
        return started[-1]

    run = asyncio.create_task(stage.world.pusher.run(start))
    await until(lambda: len(started) == 2)
    run.cancel()
    await asyncio.gather(run, *started, return_exceptions=True)
    assert all(task.cancelled() for task in started)


async def test_while_the_database_is_away_tasks_go_on(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    away = Database("sqlite:////nobody/is/here.db")
    world = stage.world
    pusher = Pusher(
        id="one",
        database=away,
        vault=world.vault,
        clock=world.clock,
        outbound=world.pusher.outbound,
        interval_s=1,
    )

    def start(_run: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        raise AssertionError(f"nothing is known to start, but {name} was")

    run = asyncio.create_task(pusher.run(start))
    await until(lambda: "destinations cannot be read" in caplog.text)
    assert not run.done()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    away.close()
