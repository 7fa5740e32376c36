"""An HTTP server on the loopback, in process: the shell of every double.

Owns the life cycle; does not own a single answer.
"""

import abc
from types import TracebackType
from typing import Self

from aiohttp import web

BODY_LIMIT_BYTES = 100 * 1024 * 1024
STOP_GRACE_S = 0.1
_BACKLOG = 1_024


class LoopbackServer(abc.ABC):
    """Started and stopped at will, also again on the same port; what it holds outlives `stop`."""

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The base URL, `http://127.0.0.1:PORT`; RuntimeError while stopped."""
        if self._runner is None:
            raise RuntimeError("the server is not running")
        return self._url

    @abc.abstractmethod
    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The answer to any request."""

    async def start(self, port: int = 0) -> str:
        """Serve on 127.0.0.1 (0: any free port) and return the base URL; RuntimeError if running already."""
        if self._runner is not None:
            raise RuntimeError("the server is running already")
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_route("*", "/{path:.*}", self.handle)
        # aiohttp would undo gzip by itself, and hide from the double what was sent.
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=STOP_GRACE_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port, backlog=_BACKLOG).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self._url

    async def stop(self) -> None:
        """Close the port and every connection; nothing to do if not running."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
