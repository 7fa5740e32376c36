"""One connection, bounded: heads in size and time, pipelines in length, unread answers in time.

Owns what a stranger can make a connection hold before a request is known; does not own bodies
(`body.py`, `hot.py`). It adds to uvicorn's protocol, which has none of these bounds.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_UNFINISHED_BYTES = 64 * 1024
"""Of a head, a trailer or a chunk's extension: whatever came and has completed nothing yet."""

MAX_PIPELINED = 32


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol; a connection that passes a bound is dropped."""

    idle_s: ClassVar[float]
    """For a head to be complete, and for a client to take what it is sent."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client is here: it has to ask something in time."""
        super().connection_made(transport)
        self._unfinished_bytes = 0
        self._unread: asyncio.TimerHandle | None = None
        self._late: asyncio.TimerHandle | None = self.loop.call_later(self.idle_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._in_time()
        self._is_read()

    def data_received(self, data: bytes) -> None:
        """Parse, and count what has completed nothing."""
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._unfinished_bytes > MAX_UNFINISHED_BYTES:
            self.transport.abort()
        elif not self._unfinished_bytes:
            self._in_time()
        elif self._late is None:
            self._late = self.loop.call_later(self.idle_s, self.transport.abort)

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._unfinished_bytes = 0
        if len(self.pipeline) < MAX_PIPELINED:
            super().on_headers_complete()
        else:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """A part of a body is here."""
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._unfinished_bytes = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        super().pause_writing()
        self._is_read()
        self._unread = self.loop.call_later(self.idle_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._is_read()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def bounded(idle_s: float) -> type[BoundedProtocol]:
    """The protocol with this bound on idleness, in seconds."""
    return type("Bounded", (BoundedProtocol,), {"idle_s": idle_s})
