"""Limits from end to end: what callers are told, and what the ledger says afterwards."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.refusals import in_force, limit, patch
from tests.world.stage import Stage, Tenant

LEAST_CALL_USD = 0.0005
"""More than a small prompt and 16 tokens may cost at the demo vendor's prices."""


async def test_each_answer_says_what_is_left_of_the_minute(stage: Stage) -> None:
    acme = await stage.tenant()
    first = await stage.chat(acme)
    assert first.status == 200
    assert first.headers["x-ratelimit-limit-requests"] == "200"
    assert first.headers["x-ratelimit-remaining-requests"] == "199"
    assert first.headers["x-ratelimit-reset-requests"] == "60s"


async def test_the_request_beyond_the_rate_limit_is_refused_until_the_next_minute(stage: Stage) -> None:
    acme = await stage.tenant()
    await patch(stage, acme, rate_limit=5)
    answers = [await stage.chat(acme) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    refused = answers[-1]
    assert refused.json["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    stage.clock.advance(60)
    assert (await stage.chat(acme)).status == 200
    await stage.settled()
    assert (await stage.record(acme))["num_requests"] == 6


async def test_a_hard_limit_is_never_passed_and_hardly_wasted(stage: Stage) -> None:
    acme = await stage.tenant()
    await patch(stage, acme, rate_limit=1_000_000)
    await limit(stage, acme, spending_limit_hard=0.01)
    for _ in range(400):
        answer = await stage.chat(acme)
        if answer.status != 200:
            break
        assert int(answer.headers["tollway-max-tokens"]) >= 16
    assert (answer.status, answer.json["error"]["code"]) == (402, "spending_limit_reached")
    await stage.settled()
    record = await stage.record(acme)
    assert 0.01 - LEAST_CALL_USD < record["total_tokens_cost"] <= 0.01


@asynccontextmanager
async def dawdling(stage: Stage, tenant: Tenant) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """A client that has sent half of a call; what it is answered when it sends the rest."""
    body = b'{"model": "demo/small", "messages": [{"role": "user", "content": "Hi"}]}'
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.base.rpartition(":")[2]))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.app_key}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:9])

    async def rest() -> bytes:
        writer.write(body[9:])
        return await reader.readuntil(b"\r\n\r\n")

    try:
        await stage.chat(tenant)  # so that the head of the other call has been read, too
        yield rest
    finally:
        writer.transport.abort()


async def test_what_changed_while_a_body_was_on_its_way_holds_for_its_call(stage: Stage) -> None:
    acme = await stage.tenant()
    async with dawdling(stage, acme) as rest:
        await limit(stage, acme, spending_limit_hard=0.000001)
        assert (await rest()).startswith(b"HTTP/1.1 402 ")
    await limit(stage, acme, spending_limit_hard=None)
    async with dawdling(stage, acme) as rest:
        await patch(stage, acme, subscription_tier="_NONE_")
        assert (await rest()).startswith(b"HTTP/1.1 402 ")
    await patch(stage, acme, subscription_tier="_INTERNAL_")
    async with dawdling(stage, acme) as rest:
        path = f"/v1/apps/{acme.app_id}"
        assert (await stage.request("DELETE", path, token=acme.user_token)).status == 200
        await in_force(stage)
        assert (await rest()).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("fields", "status"), [({"model": "demo/none"}, 404), ({"n": "many"}, 400), ({"stream": 7}, 400)]
)
async def test_errors_of_known_callers_say_what_is_left_too(
    stage: Stage, fields: dict[str, Any], status: int
) -> None:
    acme = await stage.tenant()
    await stage.chat(acme)
    answer = await stage.chat(acme, **fields)
    assert answer.status == status
    assert answer.headers["x-ratelimit-remaining-requests"] == "199"
