"""The door of the hot path: ASGI to `Call`, `Reply` to ASGI, and nothing in between.

Owns reading bodies within bounds, sending within bounds, and what happens when a client
leaves: the vendor's answer is still read to its end, so that its usage is known. Does not own
what is answered (`gateway/`).
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tollway.domain import labels
from tollway.domain.errors import BadRequest, TollwayError, TooLarge
from tollway.domain.ids import RequestId, new_id
from tollway.gateway.call import Call, Header, Reply, Stream
from tollway.gateway.wire import error_reply
from tollway.world import World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[Call], Awaitable[Reply]]

_BEARER = b"bearer "
_LABELS = labels.HEADER.lower().encode()


async def serve(handler: Handler, world: World, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request by `handler`."""
    now_us = world.clock.now_us()
    request_id = RequestId(new_id(now_us))
    limits = world.settings

    async def read_body() -> bytes:
        return await _read(scope, receive, limits.request_max_bytes, limits.client_idle_s)

    headers: list[Header] = scope["headers"]
    call = Call(
        request_id=request_id,
        received_us=now_us,
        token=_bearer(headers),
        labels=_header(headers, _LABELS),
        read_body=read_body,
    )
    try:
        reply = await handler(call)
    except TollwayError as error:
        reply = error_reply(error)
    await _Client(send, limits.client_idle_s).answer(reply, request_id)


class _Client:
    """The other end of one connection, as long as it takes what it is sent."""

    def __init__(self, send: Send, idle_s: float) -> None:
        self._send_message = send
        self._idle_s = idle_s
        self._is_gone = False

    async def answer(self, reply: Reply, request_id: RequestId) -> None:
        """Send the reply; a stream is read to its end even if nobody takes it any more."""
        headers = [*reply.headers, (b"x-request-id", request_id.encode())]
        if isinstance(reply.body, bytes):
            headers.append((b"content-length", str(len(reply.body)).encode()))
            await self._start(reply.status, headers)
            await self._part(reply.body, more=False)
            return
        try:
            await self._start(reply.status, headers)
            await self._stream(reply.body)
        finally:
            await reply.body.aclose()

    async def _stream(self, body: Stream) -> None:
        async for part in body:
            await self._part(part, more=True)
        await self._part(b"", more=False)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _part(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if self._is_gone:
            return
        try:
            async with asyncio.timeout(self._idle_s):
                await self._send_message(message)
        except (OSError, TimeoutError):
            self._is_gone = True


async def _read(scope: Scope, receive: Receive, max_bytes: int, idle_s: float) -> bytes:
    """The whole body. TooLarge as soon as that is known; BadRequest if it does not come."""
    length = _header(scope["headers"], b"content-length")
    if length is not None and length.isdigit() and int(length) > max_bytes:
        raise TooLarge(f"the body is larger than {max_bytes} bytes")
    parts = []
    size = 0
    while True:
        try:
            async with asyncio.timeout(idle_s):
                message = await receive()
        except TimeoutError:
            raise BadRequest(f"no more of the body came for {idle_s:g} s", code="request_timeout") from None
        if message["type"] == "http.disconnect":
            raise BadRequest("the client left before its request was complete", code="client_gone")
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise TooLarge(f"the body is larger than {max_bytes} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _bearer(headers: list[Header]) -> str | None:
    value = _header(headers, b"authorization")
    if value is None or value[: len(_BEARER)].lower() != _BEARER:
        return None
    return value[len(_BEARER) :].strip().decode("latin-1")


def _header(headers: list[Header], wanted: bytes) -> bytes | None:
    """The first header of this lower-case name."""
    for name, value in headers:
        if name == wanted:
            return value
    return None
