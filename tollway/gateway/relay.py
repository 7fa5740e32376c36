"""From the vendor's answer to ours: whole or streamed, metered before its last byte is sent.

Owns what of an answer is passed on, hidden or replaced; does not own the dialect
(`providers/openai.py`) or the entry (`metered.py`).
"""

from collections.abc import Mapping
from typing import Self

from tollway.domain.errors import VendorCutOff, VendorError
from tollway.domain.ledger import Entry
from tollway.domain.money import usd
from tollway.gateway.call import Header, Reply
from tollway.gateway.metered import Tally
from tollway.gateway.wire import EVENTS_TYPE, JSON_TYPE, error_event
from tollway.providers import openai
from tollway.providers.connection import VendorAnswer
from tollway.providers.sse import EventSplitter, data_of

_OK = 200
_OUR_CREDENTIALS_REFUSED = frozenset({401, 403, 407})
_EVENT_END = b"\n\n"
_PASSED_HEADERS = ("retry-after", "retry-after-ms")


async def relay(answer: VendorAnswer, tally: Tally, *, wants_usage: bool) -> Reply:
    """Our reply to the client. VendorError if the vendor's cannot be passed on."""
    if answer.status != _OK:
        return await _refused(answer, tally)
    if _is_stream(answer.headers):
        body = StreamedAnswer(answer, tally, wants_usage=wants_usage)
        return Reply(status=answer.status, headers=(EVENTS_TYPE, (b"cache-control", b"no-cache")), body=body)
    try:
        data = await answer.read()
    finally:
        answer.close()
    reading = openai.read(data)
    if not reading.is_readable:
        raise VendorError("the vendor's answer is not JSON", code="vendor_answer_unreadable")
    if reading.is_error:
        return _failed(answer.without_key(data), reading, tally)
    tally.count(reading.usage, reading.service_tier, reading.text_bytes)
    tally.passed(data)
    entry = tally.answered(answer.status)
    return Reply(status=answer.status, headers=(JSON_TYPE, *_money_headers(entry)), body=data)


async def _refused(answer: VendorAnswer, tally: Tally) -> Reply:
    """The vendor's error, where it is one for the client; our own words where it is about us."""
    try:
        data = await answer.read()
    finally:
        answer.close()
    if answer.status in _OUR_CREDENTIALS_REFUSED:
        raise VendorError(
            "the vendor refused this gateway's credentials; its operator must renew them",
            code="vendor_credentials_refused",
        )
    reading = openai.read(data)
    if not 400 <= answer.status < 600 or not (reading.is_readable and reading.is_error):
        raise VendorError(f"the vendor answered {answer.status} without an explanation")
    passed = [
        (name.encode(), value.encode())
        for name in _PASSED_HEADERS
        if (value := answer.headers.get(name, "")).isascii() and value.isprintable() and value
    ]
    told = answer.without_key(data)
    tally.count(reading.usage, reading.service_tier, 0)
    tally.passed(told)
    tally.failed(answer.status, "vendor_refused")
    return Reply(status=answer.status, headers=(JSON_TYPE, *passed), body=told)


def _failed(data: bytes, reading: openai.Reading, tally: Tally) -> Reply:
    """An error under a status of success, as some vendors send: told as one, and not charged as an answer."""
    tally.count(reading.usage, reading.service_tier, 0)
    tally.passed(data)
    tally.failed(VendorError.status, "vendor_answer_error")
    return Reply(status=VendorError.status, headers=(JSON_TYPE,), body=data)


class StreamedAnswer:
    """A stream being passed on. The usage chunk is hidden from a client who did not ask for it.

    It is a class with `aclose()`, not a generator: a generator that was never started ignores
    being closed, and a client may leave before the first part.
    """

    def __init__(self, answer: VendorAnswer, tally: Tally, *, wants_usage: bool) -> None:
        self._answer = answer
        self._tally = tally
        self._wants_usage = wants_usage
        self._splitter = EventSplitter()
        self._is_finished = False
        self._is_error = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Whole events, as soon as some are there."""
        while self._tally.is_open:
            try:
                part = await self._next_part()
            except VendorCutOff as error:
                self._tally.given_up(error.status, error.code)
                part = error_event(error)
            except VendorError as error:
                self._tally.failed(error.status, error.code)
                part = error_event(error)
            await self._tally.recorded()
            if part:
                return part
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the call, if it is still open, with what was delivered."""
        if self._tally.is_open:
            self._tally.given_up()
        self._answer.close()

    async def _next_part(self) -> bytes:
        chunk = await self._answer.chunk()
        if not chunk:
            return self._end()
        return self._shown(chunk)

    def _shown(self, chunk: bytes) -> bytes:
        shown = []
        for event in self._splitter.feed(chunk):
            reading = openai.read(data_of(event))
            self._tally.count(reading.usage, reading.service_tier, reading.text_bytes)
            if reading.is_cited:
                self._tally.searched()
            self._is_finished |= reading.is_finished
            self._is_error |= reading.is_error
            if self._wants_usage or not reading.is_usage_only:
                passed = self._answer.without_key(event) if reading.is_error else event
                self._tally.passed(passed)
                shown.append(passed)
            if reading is openai.DONE:
                self._settle()
                break
        return b"".join(shown)

    def _end(self) -> bytes:
        """The vendor closed the stream without saying that it was done, perhaps in the midst of an event."""
        last = self._shown(_EVENT_END) if self._splitter.rest() else b""
        if not self._tally.is_open:
            return last
        if not self._is_finished and not self._is_error:
            raise VendorError("the vendor broke off its answer", code="vendor_stream_truncated")
        self._settle()
        return last

    def _settle(self) -> None:
        if self._is_error:
            self._tally.failed(VendorError.status, "vendor_stream_error")
        else:
            self._tally.answered(self._answer.status)


def _is_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").lower().startswith("text/event-stream")


def _money_headers(entry: Entry) -> tuple[Header, Header]:
    return (
        (b"tollway-cost-usd", usd(entry.cost.total).encode()),
        (b"tollway-savings-usd", usd(entry.savings).encode()),
    )
