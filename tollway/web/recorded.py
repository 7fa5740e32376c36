"""Around the control plane: each request is an act, and what it changes is in the audit trail.

Owns what the trail is told of a request: its operation, its id, and from where it came. Does not own
who it is from (`bearer.py`) or what it changed (`store/watch.py`).
"""

from typing import Any

from starlette.datastructures import MutableHeaders

from tollway.domain.clock import Clock
from tollway.domain.ids import RequestId, new_id
from tollway.store.trail import Act, acting
from tollway.web.hot import Receive, Scope, Send
from tollway.web.paths import operation_at


class Recorded:
    """An ASGI application whose changes are recorded, and whose answers have an id."""

    def __init__(self, app: Any, clock: Clock) -> None:  # noqa: ANN401 - any ASGI application
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as one act."""
        found = operation_at(scope["method"], scope["path"])
        now_us = self._clock.now_us()
        request_id = RequestId(new_id(now_us))

        async def send_with_id(message: Any) -> None:  # noqa: ANN401 - ASGI's messages
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        if found is None:
            await self._app(scope, receive, send_with_id)
            return
        operation, target = found
        client = scope.get("client")
        act = Act(
            operation=operation,
            at_us=now_us,
            request_id=request_id,
            address=client[0] if client else None,
            target=target,
        )
        with acting(act):
            await self._app(scope, receive, send_with_id)
