"""What a vendor may answer, in OpenAI's shape, and the ledger's rows that follow."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from aiohttp import web

from tests.world.stage import Stage, Tenant
from tollway.demo.server import LoopbackServer
from tollway.demo.vendor import Scripted, sse
from tollway.domain.ids import OrgId
from tollway.domain.ledger import Entry
from tollway.store.usage import read_entries

EVENTS = {"Content-Type": "text/event-stream"}
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
NOT_JSON = b"<html>teapot</html>"


def delta(content: str = "", finish_reason: str | None = None, **more: object) -> bytes:
    """One event with one choice."""
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish_reason}
    return sse({"id": "c-1", "object": "chat.completion.chunk", "choices": [choice], **more})


def usage(counts: Mapping[str, object] = USAGE) -> bytes:
    """The event that only says what was used."""
    return sse({"id": "c-1", "object": "chat.completion.chunk", "choices": [], "usage": counts})


def stream(*parts: bytes, breaks_off: bool = False, pause_s: float = 0.0) -> Scripted:
    """A stream of these parts."""
    return Scripted(headers=EVENTS, parts=parts, breaks_off=breaks_off, pause_s=pause_s)


def answer(
    counts: Mapping[str, object] | None = USAGE, status: int = 200, content: str = "Hi.", **more: object
) -> Scripted:
    """A whole answer."""
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = {"id": "c-1", "object": "chat.completion", "choices": choices, "usage": counts, **more}
    return Scripted(status=status, parts=[msgspec.json.encode(body)])


def error(status: int, message: str = "No.", headers: Mapping[str, str] | None = None) -> Scripted:
    """The vendor's refusal."""
    body = {"error": {"message": message, "type": "some_error", "param": None, "code": "some_code"}}
    return Scripted(
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        parts=[msgspec.json.encode(body)],
    )


async def entries(stage: Stage, tenant: Tenant) -> list[Entry]:
    """The rows of an organisation, once all is folded."""
    await stage.settled()
    assert not stage.world.journal.open
    rows = await stage.world.database.read(read_entries, OrgId(tenant.org_id), limit=100)
    return [row.entry for row in rows]


async def only_entry(stage: Stage, tenant: Tenant) -> Entry:
    """The one row there is."""
    (entry,) = await entries(stage, tenant)
    return entry


def events(body: bytes) -> list[Any]:
    """The payloads of a stream; the text itself where it is not JSON."""
    payloads: list[Any] = []
    for event in body.split(b"\n\n"):
        text = event.removeprefix(b"data: ")
        try:
            payloads.append(msgspec.json.decode(text))
        except msgspec.DecodeError:
            payloads += [text] if text else []
    return payloads


class GatedVendor(LoopbackServer):
    """A vendor that streams `before`, waits for its gate, then streams `after`.

    With no `before`, not even the head of the answer is there until the gate opens.
    """

    def __init__(self, before: bytes, after: bytes) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self._before = before
        self._after = after

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The stream, to whomever asks."""
        await request.read()
        self.asked.set()
        response = web.StreamResponse(headers=EVENTS)
        if self._before:
            await response.prepare(request)
            await response.write(self._before)
        await self.gate.wait()
        with suppress(ConnectionError):  # whoever asked may have hung up
            await response.prepare(request)
            await response.write(self._after)
        return response


@asynccontextmanager
async def gated(stage: Stage, before: bytes, after: bytes) -> AsyncIterator[GatedVendor]:
    """The stage with a gated vendor in the place of its own."""
    port = int(stage.vendor.url.rpartition(":")[2])
    await stage.vendor.stop()
    vendor = GatedVendor(before, after)
    await vendor.start(port)
    try:
        yield vendor
    finally:
        vendor.gate.set()
        await vendor.stop()
