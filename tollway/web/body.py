"""A bound on what the control plane reads: its bodies are small, whoever sends them.

Owns the cap and the deadline of a body; does not own what is in it.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from tollway.web.hot import Receive, Scope, Send

MAX_BODY_BYTES = 1024 * 1024


class Bounded:
    """An ASGI application whose requests' bodies are bounded in size and in silence."""

    def __init__(self, app: Any, idle_s: float) -> None:  # noqa: ANN401 - any ASGI application
        self._app = app
        self._idle_s = idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on once its body is here, or answer 413 or 408."""
        parts = []
        size = 0
        more = True
        while more:
            try:
                async with asyncio.timeout(self._idle_s):
                    message = await receive()
            except TimeoutError:
                await _refuse(408, "no more of the body came", scope, receive, send)
                return
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY_BYTES:
                await _refuse(413, f"the body is larger than {MAX_BODY_BYTES} bytes", scope, receive, send)
                return
            more = message.get("more_body", False)
        await self._app(scope, _replayed(b"".join(parts), receive), send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives the body once, whole, and then what comes after it."""
    pending = [body]

    async def again() -> MutableMapping[str, Any]:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return again


async def _refuse(status: int, detail: str, scope: Scope, receive: Receive, send: Send) -> None:
    answer = JSONResponse({"detail": detail}, status, {"Connection": "close"})
    await answer(scope, receive, send)
