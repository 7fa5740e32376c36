"""What a stranger may make one connection hold: heads, trailers, pipelines and unread answers end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from tests.world.stage import Stage
from tests.world.waiting import until
from tollway.settings import Settings
from tollway.web.protocol import MAX_PIPELINED, MAX_UNFINISHED_BYTES

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

GET = b"GET /healthz HTTP/1.1\r\nhost: here\r\n"
IDLE_S = 0.5
PATIENCE_S = 20


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, client_idle_s=IDLE_S)


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[Connection]:
    port = int(stage.base.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield reader, writer
    writer.transport.abort()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the server closes."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def flooded(writer: asyncio.StreamWriter, part: bytes, most_bytes: int) -> int:
    """Send until the server hangs up; how many bytes went out."""
    sent = 0
    try:
        async with asyncio.timeout(PATIENCE_S):
            while sent < most_bytes and not writer.transport.is_closing():
                writer.write(part)
                await writer.drain()
                sent += len(part)
                await asyncio.sleep(0)
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (GET, b"x-n: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 100),
        (GET + b"x-n: ", b"y" * 8_192),
        (b"GET /", b"y" * 8_192),
        (GET + b"transfer-encoding: chunked\r\n\r\n0\r\nx-n: ", b"y" * 8_192),
    ],
    ids=["headers", "a header", "a path", "a trailer"],
)
async def test_a_head_without_an_end_is_cut_off(stage: Stage, begin: bytes, part: bytes) -> None:
    async with connected(stage) as (_reader, writer):
        writer.write(begin)
        most_bytes = 500 * MAX_UNFINISHED_BYTES
        assert await flooded(writer, part, most_bytes) < most_bytes


@pytest.mark.parametrize("begin", [b"", b"GET /healthz HT", GET], ids=["nothing", "a word", "half a head"])
async def test_a_head_that_does_not_come_is_not_waited_for(stage: Stage, begin: bytes) -> None:
    async with connected(stage) as (reader, writer):
        writer.write(begin)
        assert await rest_of(reader) == b""


async def test_a_half_head_after_a_whole_request_is_not_waited_for_either(stage: Stage) -> None:
    async with connected(stage) as (reader, writer):
        writer.write(GET + b"\r\n")
        assert b"200 OK" in await reader.readline()
        writer.write(GET)
        assert b"200 OK" not in await rest_of(reader)


async def test_a_head_in_pieces_within_the_time_is_answered(stage: Stage) -> None:
    async with connected(stage) as (reader, writer):
        for piece in (GET[:10], GET[10:], b"connection: close\r\n\r\n"):
            writer.write(piece)
            await asyncio.sleep(IDLE_S / 10)
        assert b"200 OK" in await rest_of(reader)


async def test_a_pipeline_has_an_end(stage: Stage) -> None:
    async with connected(stage) as (reader, writer):
        writer.write((GET + b"\r\n") * (20 * MAX_PIPELINED))
        assert (await rest_of(reader)).count(b"200 OK") <= 2 * MAX_PIPELINED


async def test_an_answer_that_nobody_reads_is_given_up_and_metered(stage: Stage) -> None:
    acme = await stage.tenant()
    body = b'{"model": "demo/small", "n": 64, "messages": [{"role": "user", "content": "%s"}]}' % (
        b"x " * 100_000
    )
    async with connected(stage) as (reader, writer):
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\n"
        head += b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n" % (acme.app_key.encode(), len(body))
        writer.write(head + body)
        async with asyncio.timeout(PATIENCE_S):
            assert b"200 OK" in await reader.readline()
            reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - as a client that stalls
            await until(lambda: not stage.world.journal.open and bool(stage.world.folder.waiting))
        await asyncio.sleep(3 * IDLE_S)
        reader._transport.resume_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - as above
        assert len(await rest_of(reader)) < 64 * 200_000
    await stage.settled()
    assert (await stage.record(acme))["num_requests"] == 1
