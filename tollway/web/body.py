"""A bound on what the control plane reads: its bodies are small, whoever sends them.

Owns the cap and the deadline of a body; does not own what is in it.
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from tollway.domain.errors import TooLarge
from tollway.web.hot import Receive, Scope, Send

MAX_BODY_BYTES = 1024 * 1024


class Bounded:
    """An ASGI application whose requests' bodies are bounded in size and in time, whoever sends them."""

    def __init__(self, app: Any, within_s: float) -> None:  # noqa: ANN401 - any ASGI application
        self._app = app
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on once its body is here, or answer 413 or 408."""
        try:
            async with asyncio.timeout(self._within_s):
                body = await _read(receive)
        except TooLarge as error:
            await _refuse(error.status, str(error), scope, receive, send)
        except TimeoutError:
            await _refuse(408, f"the body took longer than {self._within_s:g} s", scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if the client left before. TooLarge."""
    parts = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise TooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes")
        if not message.get("more_body", False):
            return b"".join(parts)


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
