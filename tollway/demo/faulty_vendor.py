"""A model vendor that fails as vendors do, and keeps its own bill of what it answered.

Owns playing each fault and deciding what is billed; does not own which fault a request meets
(`demo/faults.py`), the answers themselves (`demo/vendor.py`) or the bill's file (`demo/bill.py`).
Promise: a request is on the bill before the last byte of its answer is sent, also if its client
leaves. What was generated is billed in full, however much of it arrived: generation runs ahead of
the connection, and it is the hardest case for whoever has to account for it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from aiohttp import web

from tollway.demo.bill import Bill, Line, asked_price
from tollway.demo.faults import UNBILLED, Fate, Fates, Fault, Mix
from tollway.demo.vendor import (
    ChatServer,
    RefusedError,
    cap_of,
    check,
    complete,
    decoded,
    stream_of,
    wants_usage,
)
from tollway.domain.clock import Clock, SystemClock
from tollway.domain.money import usd

MAX_COMPLETION_TOKENS = 1_024
"""Of each choice, without a lower cap; it bounds what an answer takes in memory."""

_MAX_CLIENT_REQUEST_ID_CHARS = 512
_JSON = "application/json"
_REFUSALS: Mapping[Fault, tuple[RefusedError, Mapping[str, str]]] = {
    Fault.RATE_LIMITED: (
        RefusedError(429, "Rate limit reached.", "rate_limit_exceeded", type_="requests"),
        {"Retry-After": "1"},
    ),
    Fault.SERVER_ERROR: (
        RefusedError(500, "The server had an error.", "server_error", type_="server_error"),
        {},
    ),
    Fault.UNAVAILABLE: (
        RefusedError(503, "The engine is overloaded.", "overloaded", type_="server_error"),
        {},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is sent, in parts. Without a status: nothing. `usage_at`: the part that reports the usage."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[bytes] = ()
    usage_at: int | None = None
    hangs_up: bool = False


class FaultyVendor(ChatServer):
    """The vendor. `GET /bill` shows its bill while it runs, `GET /bill/summary` what it adds up to."""

    def __init__(
        self,
        bill: Bill,
        *,
        seed: int = 0,
        mix: Mix | None = None,
        api_key: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(api_key=api_key)
        self._bill = bill
        self._mix = mix or Mix()
        self._fates = Fates(seed, self._mix)
        self._clock = clock or SystemClock()
        self._number = 0
        self._calls: set[asyncio.Task[Any]] = set()

    async def stop(self) -> None:
        """Close the port and every connection; what was under way is on the bill then."""
        await super().stop()
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The bill, a refusal, or a chat completion with what befalls it."""
        call = cast("asyncio.Task[Any]", asyncio.current_task())  # a handler always runs in one
        self._calls.add(call)
        try:
            match request.method, request.path:
                case "GET", "/bill":
                    return await self._show(request)
                case "GET", "/bill/summary":
                    return web.json_response(self._bill.summary())
                case _:
                    return await self._serve(request)
        except ConnectionError:
            return web.Response()  # for nobody: the client has left
        finally:
            self._calls.discard(call)

    async def _show(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(self._bill.size_bytes)}
        response = web.StreamResponse(headers=headers)
        parts = self._bill.parts()
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        return response

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            self.admit(request)
        except RefusedError as refused:
            return web.Response(status=refused.status, body=refused.body, content_type=_JSON)
        self._number += 1
        line = Line(number=self._number)
        try:
            line.client_request_id = _client_request_id(request)
            asked = decoded(body)
            check(asked)
        except RefusedError as refused:
            return await self._send(request, _refusal(refused, {}), line, 0.0, 0.0)
        line.user = asked.get("user")
        line.model = asked["model"]
        line.streamed = bool(asked.get("stream"))
        identity = (line.client_request_id or "").encode() or body
        fate = self._fates.deal(identity, streamed=line.streamed)
        completion = _completion(asked, fate, self._number)
        _bill_it(line, fate, completion)
        answer = _answer(asked, fate, completion)
        return await self._send(request, answer, line, fate.first_byte_s, fate.between_chunks_s)

    async def _send(
        self, request: web.Request, answer: _Answer, line: Line, first_byte_s: float, between_s: float
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status or 200, headers=answer.headers)
        before, last = answer.parts[:-1], answer.parts[-1:]
        try:
            await asyncio.sleep(first_byte_s)
            if answer.status is not None:
                await response.prepare(request)
                line.status = answer.status
            for index, part in enumerate(before):
                await response.write(part)
                line.reported |= index == answer.usage_at
                await asyncio.sleep(between_s)
            line.reported |= answer.usage_at == len(before) and _is_open(request)
        finally:
            line.time_us = self._clock.now_us()
            self._bill.write(line)
        for part in last:
            await response.write(part)
        if answer.hangs_up and request.transport is not None:
            request.transport.close()  # what was written is still sent, the rest of the answer is not
        return response


def _completion(asked: Mapping[str, Any], fate: Fate, number: int) -> dict[str, Any]:
    """The demo vendor's completion with this request's number, cached and reasoning tokens and tier."""
    cap = min(cap_of(asked) or MAX_COMPLETION_TOKENS, MAX_COMPLETION_TOKENS)
    reasoning = min(fate.reasoning_tokens, cap)
    completion = complete({**asked, "max_completion_tokens": cap - reasoning})
    completion["id"] = f"chatcmpl-demo-{number}"
    completion["service_tier"] = fate.service_tier
    usage = completion["usage"]
    thought = reasoning * len(completion["choices"])
    usage["completion_tokens"] += thought
    usage["total_tokens"] += thought
    usage["completion_tokens_details"]["reasoning_tokens"] = thought
    if fate.cached_share is not None:
        cached = min(1 + int(fate.cached_share * usage["prompt_tokens"]), usage["prompt_tokens"])
        usage["prompt_tokens_details"]["cached_tokens"] = cached
    return completion


def _bill_it(line: Line, fate: Fate, completion: Mapping[str, Any]) -> None:
    line.fault = fate.fault
    if fate.fault in UNBILLED:
        return
    usage = completion["usage"]
    line.billed = True
    line.service_tier = completion["service_tier"]
    line.prompt_tokens = usage["prompt_tokens"]
    line.cached_tokens = usage["prompt_tokens_details"]["cached_tokens"]
    line.completion_tokens = usage["completion_tokens"]
    line.reasoning_tokens = usage["completion_tokens_details"]["reasoning_tokens"]
    cost = asked_price(
        completion["model"],
        prompt_tokens=line.prompt_tokens,
        cached_tokens=line.cached_tokens,
        completion_tokens=line.completion_tokens,
    )
    line.cost_usd = usd(cost)


def _answer(asked: Mapping[str, Any], fate: Fate, completion: dict[str, Any]) -> _Answer:
    match fate.fault:
        case Fault.RATE_LIMITED | Fault.SERVER_ERROR | Fault.UNAVAILABLE:
            return _refusal(*_REFUSALS[fate.fault])
        case Fault.DROPPED_BILLED | Fault.DROPPED_UNBILLED:
            return _Answer(hangs_up=True)
        case _ if asked.get("stream"):
            return _stream(fate, completion, reports=wants_usage(asked))
        case _:
            return _whole(fate, completion)


def _refusal(refused: RefusedError, headers: Mapping[str, str]) -> _Answer:
    return _Answer(
        status=refused.status,
        headers={"Content-Type": _JSON, "Content-Length": str(len(refused.body)), **headers},
        parts=[refused.body],
    )


def _whole(fate: Fate, completion: dict[str, Any]) -> _Answer:
    reports = fate.fault is not Fault.USAGE_MISSING
    if not reports:
        del completion["usage"]
    body = msgspec.json.encode(completion)
    is_cut = fate.fault is Fault.CUT_BODY
    return _Answer(
        status=200,
        headers={"Content-Type": _JSON, "Content-Length": str(len(body))},
        parts=[body[: 1 + int(fate.cut * (len(body) - 1))]] if is_cut else [body],
        usage_at=0 if reports and not is_cut else None,
        hangs_up=is_cut,
    )


def _stream(fate: Fate, completion: dict[str, Any], *, reports: bool) -> _Answer:
    """The stream as far as it is sent; a broken event is its last, and lacks the end of its JSON."""
    reports = reports and fate.fault is not Fault.USAGE_MISSING
    events = list(stream_of(completion, wants_usage=reports))
    whole = len(events)
    parts = events
    match fate.fault:
        case Fault.TRUNCATED_STREAM:
            whole = 1 + int(fate.cut * (len(events) - 1))
            parts = events[:whole]
        case Fault.BROKEN_EVENT:
            whole = int(fate.cut * len(events))
            broken = events[whole]
            share = fate.cut * len(events) - whole
            parts = [*events[:whole], broken[: 1 + int(share * (len(broken) - len(b"}\n\n")))]]
    usage_at = len(events) - 2
    return _Answer(
        status=200,
        headers={"Content-Type": "text/event-stream"},
        parts=parts,
        usage_at=usage_at if reports and usage_at < whole else None,
        hangs_up=fate.fault is Fault.BROKEN_EVENT,
    )


def _client_request_id(request: web.Request) -> str | None:
    """OpenAI's header, within OpenAI's bounds; RefusedError beyond them."""
    given = request.headers.get("X-Client-Request-Id", "")
    if not given.isascii() or len(given) > _MAX_CLIENT_REQUEST_ID_CHARS:
        raise RefusedError(
            400, "X-Client-Request-Id: at most 512 ASCII characters.", "invalid_client_request_id"
        )
    return given or None


def _is_open(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
