"""A fault-injecting vendor that runs, and a client that keeps each byte of what it got."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tollway.demo.bill import Bill, Line
from tollway.demo.faults import NO_FAULTS, Bounds, Mix, Rates
from tollway.demo.faulty_vendor import FaultyVendor

CHAT = "/v1/chat/completions"
QUESTION = "Who pays for it?"
PROMPT_TOKENS = 5
DONE = b"data: [DONE]\n\n"


def asked(**more: object) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": QUESTION}], **more}


def streamed(*, reports: bool = True, **more: object) -> dict[str, Any]:
    return {**asked(**more), "stream": True, "stream_options": {"include_usage": reports}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An answer as far as it came; without a status, nothing came."""

    status: int | None = None
    headers: dict[str, str]
    body: bytes = b""
    is_whole: bool = False

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        return msgspec.json.decode(self.body)

    @property
    def events(self) -> list[Any]:
        """The payloads of whole events before the end's."""
        payloads = [event.removeprefix(b"data: ") for event in self.body.split(b"\n\n")[:-1]]
        return [msgspec.json.decode(payload) for payload in payloads if payload != b"[DONE]"]

    @property
    def rest(self) -> bytes:
        """What there is of an event that never ended."""
        return self.body.rpartition(b"\n\n")[2]

    @property
    def streamed_usage(self) -> Any:  # noqa: ANN401 - any JSON value
        return next((event["usage"] for event in self.events if event.get("usage")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """The vendor and its bill."""

    vendor: FaultyVendor
    bill: Bill

    async def open(
        self,
        body: dict[str, Any] | bytes,
        *headers: str,
        method: str = "POST",
        path: str = CHAT,
        kept_bytes: int = 0,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own with the request sent; `kept_bytes` of the body are announced only."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        address = urlsplit(self.vendor.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        length = f"Content-Length: {len(data) + kept_bytes}"
        head = [f"{method} {path} HTTP/1.1", "Host: vendor", "Connection: close", *headers]
        writer.write("\r\n".join([*head, length, "", ""]).encode(errors="surrogateescape") + data)
        await writer.drain()
        return reader, writer

    async def ask(
        self, body: dict[str, Any] | bytes, *headers: str, method: str = "POST", path: str = CHAT
    ) -> Heard:
        reader, writer = await self.open(body, *headers, method=method, path=path)
        try:
            return heard(await reader.read())
        finally:
            writer.close()
            await writer.wait_closed()

    async def ask_as(self, request_id: str, body: dict[str, Any]) -> Heard:
        return await self.ask(body, f"X-Client-Request-Id: {request_id}")

    def line(self) -> Line:
        """The one line of the bill."""
        (line,) = self.bill.lines()
        return line


def heard(data: bytes) -> Heard:
    """All that came over a connection, taken apart."""
    if not data:
        return Heard(headers={})
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if "content-length" in headers:
        is_whole = len(body) == int(headers["content-length"])
    else:
        body, is_whole = _dechunked(body)
    return Heard(status=int(first.split()[1]), headers=headers, body=body, is_whole=is_whole)


def _dechunked(data: bytes) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    while data:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            return b"".join(parts), True
        parts.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return b"".join(parts), False


@asynccontextmanager
async def failing(
    rates: Rates = NO_FAULTS,
    *,
    path: Path | None = None,
    seed: int = 0,
    api_key: str | None = None,
    first_byte_s: Bounds = (0.0, 0.0),
    between_chunks_s: Bounds = (0.0, 0.0),
) -> AsyncIterator[Failing]:
    mix = Mix(rates=rates, first_byte_s=first_byte_s, between_chunks_s=between_chunks_s)
    with Bill(path) as bill:
        async with FaultyVendor(bill, seed=seed, mix=mix, api_key=api_key) as vendor:
            yield Failing(vendor=vendor, bill=bill)
