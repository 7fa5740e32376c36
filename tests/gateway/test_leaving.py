"""Clients that leave, vendors that fall silent, servers that stop: what was used is recorded all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from msgspec.structs import replace

from tests.gateway.scripts import DONE, delta, events, gated, only_entry, usage
from tests.world.stage import Stage, Tenant
from tollway.cli.serve import listen, serving
from tollway.demo.offer import CHEAP_MODEL
from tollway.domain.ledger import Outcome
from tollway.domain.usage import Unit
from tollway.settings import Settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

REST = delta(" there", "stop") + usage() + DONE
COUNTED = {Unit.INPUT: 100, Unit.OUTPUT: 50, Unit.REQUEST: 1}


@asynccontextmanager
async def asking(stage: Stage, tenant: Tenant) -> AsyncIterator[asyncio.StreamReader]:
    """A client in the midst of a streamed call; on leaving the block it hangs up."""
    port = int(stage.base.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = f'{{"model": "{CHEAP_MODEL}", "messages": [], "stream": true}}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.app_key}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_a_client_that_leaves_before_the_first_byte_is_charged_what_the_vendor_reports(
    stage: Stage,
) -> None:
    acme = await stage.tenant()
    async with gated(stage, b"", delta("Hi") + REST) as vendor:
        async with asking(stage, acme):
            await vendor.asked.wait()
        vendor.gate.set()
        await stage.world.journal.ended()
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.units) == (Outcome.SETTLED, 200, COUNTED)


async def test_a_client_that_leaves_in_midstream_is_charged_what_the_vendor_reports(stage: Stage) -> None:
    acme = await stage.tenant()
    async with gated(stage, delta("Hi"), REST) as vendor:
        async with asking(stage, acme) as reader:
            assert await reader.readuntil(delta("Hi"))
        vendor.gate.set()
        await stage.world.journal.ended()
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.units) == (Outcome.SETTLED, 200, COUNTED)


async def test_a_client_that_leaves_before_its_body_is_complete_costs_nothing(stage: Stage) -> None:
    acme = await stage.tenant()
    port = int(stage.base.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {acme.app_key}\r\n"
    writer.write(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await stage.chat(acme)
    assert (await only_entry(stage, acme)).status == 200
    assert len(stage.vendor.requests) == 1


class TestStops:
    @pytest.fixture
    def settings(self, settings: Settings, request: pytest.FixtureRequest) -> Settings:
        return replace(settings, drain_s=request.param)

    @pytest.mark.parametrize("settings", [0.0], indirect=True)
    async def test_a_call_that_the_stop_cuts_off_in_midstream_is_recorded(self, stage: Stage) -> None:
        acme = await stage.tenant()
        async with gated(stage, delta("12345678"), REST), aiohttp.ClientSession() as client:
            async with second_door(stage) as base:
                reply = await ask(client, base, acme)
                assert await reply.content.readuntil(b"\n\n") == delta("12345678")
            assert not stage.world.journal.open
            with pytest.raises(aiohttp.ClientPayloadError):
                await reply.read()
        entry = await only_entry(stage, acme)
        assert (entry.outcome, entry.status, entry.error_code) == (Outcome.ESTIMATED, 499, "client_gone")
        assert entry.units == {Unit.INPUT: 1, Unit.OUTPUT: 2, Unit.REQUEST: 1}

    @pytest.mark.parametrize("settings", [0.0], indirect=True)
    async def test_a_call_that_the_stop_cuts_off_before_its_answer_is_recorded(self, stage: Stage) -> None:
        acme = await stage.tenant()
        async with gated(stage, b"", REST) as vendor, aiohttp.ClientSession() as client:
            async with second_door(stage) as base:
                asking = asyncio.create_task(ask(client, base, acme))
                await vendor.asked.wait()
            assert not stage.world.journal.open
            refused = await asking
            assert refused.status == 503
            assert (await refused.json())["error"]["code"] == "stopping"
        entry = await only_entry(stage, acme)
        assert (entry.outcome, entry.status) == (Outcome.ESTIMATED, 499)

    @pytest.mark.parametrize("settings", [5.0], indirect=True)
    async def test_a_call_in_flight_is_finished_before_the_stop(self, stage: Stage) -> None:
        acme = await stage.tenant()
        async with gated(stage, delta("Hi"), REST) as vendor, aiohttp.ClientSession() as client:
            async with second_door(stage) as base:
                reply = await ask(client, base, acme)
                await reply.content.readuntil(b"\n\n")
                asyncio.get_running_loop().call_later(0.05, vendor.gate.set)
            assert not stage.world.journal.open
            assert (await reply.read()).endswith(DONE)
        assert (await only_entry(stage, acme)).units == COUNTED


class TestSilence:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, vendor_idle_s=0.05)

    async def test_a_stream_that_falls_silent_ends_with_an_error_event(self, stage: Stage) -> None:
        acme = await stage.tenant()
        async with gated(stage, delta("Hi"), REST):
            reply = await stage.chat(acme, stream=True)
        assert reply.status == 200
        first, last = events(reply.body)
        assert first["choices"][0]["delta"]["content"] == "Hi"
        assert last["error"]["code"] == "vendor_timeout"
        entry = await only_entry(stage, acme)
        assert (entry.outcome, entry.status, entry.error_code) == (Outcome.FAILED, 504, "vendor_timeout")


@asynccontextmanager
async def second_door(stage: Stage) -> AsyncIterator[str]:
    """One more server of the stage's world, which stops at the block's end."""
    listener = listen("127.0.0.1", 0)
    accepting = asyncio.Event()
    try:
        async with serving(stage.world, listener, accepting.set):
            await accepting.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


async def ask(client: aiohttp.ClientSession, base: str, tenant: Tenant) -> aiohttp.ClientResponse:
    """A streamed call whose answer has begun."""
    body = {"model": CHEAP_MODEL, "messages": [], "stream": True}
    headers = {"Authorization": f"Bearer {tenant.app_key}"}
    return await client.post(f"{base}/v1/chat/completions", json=body, headers=headers)
