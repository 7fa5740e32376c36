"""Receivers that misbehave below HTTP, where the doubles cannot."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server on the loopback that holds `talk` on each connection; its `host:port`."""
    talks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            talks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        host, port = listening.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"
    finally:
        listening.close()
        waiting = list(talks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await listening.wait_closed()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """A request's head; its body is left where it is."""
    return await reader.readuntil(b"\r\n\r\n")


def answering(data: bytes) -> Talk:
    """Read a request's head, answer these bytes, close."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(data)
        await writer.drain()

    return talk
