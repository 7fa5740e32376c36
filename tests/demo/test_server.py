"""The shell of every double: started and stopped at will."""

import aiohttp
import pytest
from aiohttp import web

from tollway.demo.server import LoopbackServer


class Echo(LoopbackServer):
    """Answers with the body it was sent."""

    async def handle(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read())


async def test_it_has_an_address_while_it_runs_only() -> None:
    server = Echo()
    with pytest.raises(RuntimeError):
        _ = server.url
    async with server:
        assert server.url.startswith("http://127.0.0.1:")
        with pytest.raises(RuntimeError):
            await server.start()
    with pytest.raises(RuntimeError):
        _ = server.url
    await server.stop()


async def test_it_starts_again_on_the_same_port() -> None:
    server = Echo()
    for _ in range(2):
        async with aiohttp.ClientSession() as client:
            port = int((await server.start()).rpartition(":")[2])
            assert await (await client.put(f"{server.url}/any/path", data=b"abc")).read() == b"abc"
            await server.stop()
            assert await server.start(port) == f"http://127.0.0.1:{port}"
            await server.stop()


async def test_a_port_that_is_taken_is_told_and_leaves_nothing_behind() -> None:
    async with Echo() as first:
        second = Echo()
        with pytest.raises(OSError, match="address already in use"):
            await second.start(int(first.url.rpartition(":")[2]))
        await second.start()
        await second.stop()
