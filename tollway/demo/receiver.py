"""A push receiver's HTTP side, as both doubles have it.

Owns basic auth, routing, scripted faults and the list of what came in; does not own
what a push means, which is each double's `receive`.
Promise: a scripted answer is used up before anything else is looked at, every request whose body arrived is
listed whatever its answer, and bodies reach `receive` exactly as they were sent.
"""

import abc
import asyncio
import base64
import hmac
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import ClassVar

from aiohttp import web

from tollway.demo.server import LoopbackServer


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedAnswer:
    """One canned answer, sent after `delay_s` seconds instead of the normal one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """One request as it came in; `headers` ignores case, `body_bytes` counts the body as sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body_bytes: int


def content_type_of(headers: Mapping[str, str]) -> Message:
    """A message with only these headers' Content-Type, to ask for its type (lower case) and parameters."""
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "")
    return message


class Receiver(LoopbackServer):
    """An in-process receiver on the loopback; what it has stored outlives `stop`."""

    PUSH_PATHS: ClassVar[frozenset[str]]

    def __init__(self, *, user: str, token: str, now: Callable[[], float]) -> None:
        super().__init__()
        self.scripted: deque[ScriptedAnswer] = deque()
        self.requests: list[ReceivedRequest] = []
        self._now = now
        self._authorization = b"Basic " + base64.b64encode(f"{user}:{token}".encode())

    @abc.abstractmethod
    def receive(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """The status and text for one authorised push; header names are looked up as in `Content-Type`."""

    def answer(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, Mapping[str, str]]:
        """What `receive` says, and the answer's headers, of which there are none by default."""
        return *self.receive(body, headers), {}

    async def handle(self, request: web.Request) -> web.Response:
        """The scripted answer, else a refusal, else what `receive` says."""
        body = await request.read()
        self.requests.append(
            ReceivedRequest(
                method=request.method, path=request.path, headers=request.headers, body_bytes=len(body)
            )
        )
        if self.scripted:
            answer = self.scripted.popleft()
            await asyncio.sleep(answer.delay_s)
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body.encode())
        authorization = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(authorization, self._authorization):
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"}, text="Unauthorized\n")
        if request.path not in self.PUSH_PATHS:
            return web.Response(status=404, text="404 page not found\n")
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"}, text="Method Not Allowed\n")
        status, text, headers = self.answer(body, request.headers)
        return web.Response(status=status, text=text or None, headers=headers)
