"""Look-ups of names that nobody answers for: whom they hold up, and whom they do not."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from contextlib import AsyncExitStack
from functools import partial

import msgspec
import pytest

from tests.push.entries import ORG
from tests.push.test_worker import KINDS, put
from tests.world.entries import ON_SQLITE
from tests.world.names import Names
from tests.world.stage import RECEIVER_TOKEN, RECEIVER_USER, Stage
from tests.world.waiting import PATIENCE_S, until
from tollway.domain.ids import OrgId
from tollway.push.addresses import MOST_LOOK_UPS, MOST_PER_ORG, OrgResolver, Resolver
from tollway.settings import Settings
from tollway.world import open_world

OTHER = OrgId("another")
EVERY = [OrgId(f"org-{number}") for number in range(MOST_LOOK_UPS // MOST_PER_ORG)]
"""As many as can have all the threads there are."""


def looked_up(resolver: Resolver, org: OrgId, *hosts: str) -> list[asyncio.Task[object]]:
    return [asyncio.create_task(resolver.addresses(host, org)) for host in hosts]


def silent_names(names: Names, org: OrgId) -> list[str]:
    """As many as an organisation may have looked up at once; nobody answers for them."""
    hosts = [f"{number}.{org}.example.com" for number in range(MOST_PER_ORG)]
    for host in hosts:
        names.silent(host)
    return hosts


async def test_an_organisation_waits_for_its_own_look_ups_only(names: Names) -> None:
    names.always("acme.example.com", ["8.8.8.8"])
    names.always("beta.example.com", ["9.9.9.9"])
    resolver = Resolver(PATIENCE_S, names)
    silent = looked_up(resolver, ORG, *silent_names(names, ORG))
    await until(lambda: len(names.asked) == MOST_PER_ORG)
    (waiting,) = looked_up(resolver, ORG, "acme.example.com")
    assert await resolver.addresses("beta.example.com", OTHER) == ["9.9.9.9"]
    assert "acme.example.com" not in names.asked
    names.end()
    assert await waiting == ["8.8.8.8"]
    assert all(isinstance(said, OSError) for said in await asyncio.gather(*silent, return_exceptions=True))


async def test_no_more_threads_than_the_bound_wait_for_names(names: Names) -> None:
    names.always("beta.example.com", ["9.9.9.9"])
    resolver = Resolver(PATIENCE_S, names)
    silent = [task for org in EVERY for task in looked_up(resolver, org, *silent_names(names, org))]
    await until(lambda: len(names.asked) == MOST_LOOK_UPS)
    (waiting,) = looked_up(resolver, OTHER, "beta.example.com")
    assert await resolver.addresses("8.8.8.8", OTHER) == ["8.8.8.8"]  # which is no question
    assert len(names.asked) == MOST_LOOK_UPS
    names.end()
    assert await waiting == ["9.9.9.9"]
    await asyncio.gather(*silent, return_exceptions=True)


async def test_what_is_given_up_has_its_thread_until_it_ends_and_then_gives_it_back(names: Names) -> None:
    names.always("acme.example.com", ["8.8.8.8"])
    resolver = Resolver(0.05, names)
    for host in silent_names(names, ORG):
        with pytest.raises(TimeoutError):
            await resolver.addresses(host, ORG)
    with pytest.raises(TimeoutError):
        await resolver.addresses("acme.example.com", ORG)
    assert "acme.example.com" not in names.asked
    names.end()

    async def is_answered() -> bool:
        try:
            return await resolver.addresses("acme.example.com", ORG) == ["8.8.8.8"]
        except TimeoutError:
            return False

    await until(is_answered)


async def test_who_stops_waiting_leaves_no_gap(names: Names) -> None:
    names.always("acme.example.com", ["8.8.8.8"])
    resolver = Resolver(PATIENCE_S, names)
    silent = looked_up(resolver, ORG, *silent_names(names, ORG))
    await until(lambda: len(names.asked) == MOST_PER_ORG)
    waiting = looked_up(resolver, ORG, *["acme.example.com"] * 3)
    await asyncio.sleep(0)
    for task in (*silent, *waiting[:2]):
        task.cancel()
    await asyncio.gather(*silent, *waiting[:2], return_exceptions=True)
    assert "acme.example.com" not in names.asked
    names.end()
    assert await waiting[2] == ["8.8.8.8"]
    again = looked_up(resolver, ORG, *["acme.example.com"] * MOST_PER_ORG)
    assert await asyncio.gather(*again) == [["8.8.8.8"]] * MOST_PER_ORG


async def test_a_host_that_is_no_name_at_all_is_the_asker_s_fault() -> None:
    with pytest.raises(UnicodeError):
        await Resolver(PATIENCE_S).addresses("a..b", ORG)


async def test_connections_are_told_addresses_of_both_kinds(names: Names) -> None:
    names.always("acme.example.com", ["8.8.8.8", "2606:4700::1111"])
    resolver = OrgResolver(Resolver(PATIENCE_S, names), ORG)
    found = await resolver.resolve("acme.example.com", 443)
    await resolver.close()
    assert [(one["host"], one["port"], one["hostname"]) for one in found] == [
        ("8.8.8.8", 443, "acme.example.com"),
        ("2606:4700::1111", 443, "acme.example.com"),
    ]
    assert len({one["family"] for one in found}) == 2


def test_a_process_ends_while_a_name_is_still_looked_up() -> None:
    program = """
        import asyncio, threading
        from tollway.push.addresses import Resolver

        async def main():
            asked = threading.Event()
            def ask(host):
                asked.set()
                threading.Event().wait()
            looking = asyncio.create_task(Resolver(60.0, ask).addresses("acme.example.com", "acme"))
            await asyncio.to_thread(asked.wait)

        asyncio.run(main())
        print("ended")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (told.stdout, told.stderr) == ("ended\n", "")


def test_an_answer_after_the_loop_has_closed_troubles_nobody(names: Names) -> None:
    names.silent("acme.example.com")

    async def look_up() -> None:
        with pytest.raises(TimeoutError):
            await Resolver(0.05, names).addresses("acme.example.com", ORG)

    asyncio.run(look_up())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "look-up"]
    names.end()
    thread.join(PATIENCE_S)  # had it failed, that would be a warning, and so an error
    assert not thread.is_alive()


def has_calls(stage: Stage, calls: int) -> bool:
    return stage.prometheus.total("tollway_requests_total") == calls == len(stage.loki.lines())


@ON_SQLITE
async def test_names_of_many_tenants_that_nobody_answers_for_delay_neither_the_journal_nor_another_tenant(
    stage: Stage, settings: Settings, names: Names
) -> None:
    hosts = [f"{number}.example.com" for number in range(20)]
    for number, host in enumerate(hosts):
        names.always(host, ["8.8.8.8"])
        tenant = await stage.tenant(f"silent-{number}")
        basic = {"id": RECEIVER_USER, "token": RECEIVER_TOKEN}
        await put(stage, tenant, {kind: {**basic, "endpoint": f"https://{host}/"} for kind in KINDS})
        await stage.chat(tenant)
        names.silent(host)
    acme = await stage.tenant("acme")
    await stage.integrate(acme)
    await stage.world.folder.fold_all()
    names.asked.clear()
    quick = msgspec.structs.replace(settings, push_interval_s=0.02, push_deadline_s=300)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_world(quick, clock=stage.clock, ask=names))
        stack.callback(names.end)
        await until(lambda: sorted(names.asked) == sorted(hosts * len(KINDS)))
        for calls in (1, 2, 3):
            await stage.chat(acme)
            async with asyncio.timeout(PATIENCE_S):
                await stage.world.journal.sync()
                await stage.world.folder.fold_all()
                await world.journal.sync()
            await until(partial(has_calls, stage, calls))
        assert len(names.asked) == len(hosts) * len(KINDS)
