"""Anthropic's dialect, the Messages API: what usage an answer reports.

Here cached tokens lie *outside* of `input_tokens`, and thinking inside of `output_tokens`. A
stream reports its prompt as it begins and running totals as it ends. Owns reading that; does
not own requests and what they become in another dialect (not yet).
"""

import msgspec

from tollway.domain.usage import Unit, Usage
from tollway.providers.counts import (
    ABSENT,
    NOTHING,
    UNREADABLE_AS_TYPED,
    Count,
    Part,
    Tier,
    Tools,
    at_least_0,
    decoded,
)

_COMPACTION = "compaction"


class _Written(msgspec.Struct):
    """Within `cache_creation_input_tokens`, by how long the cache keeps them."""

    ephemeral_5m_input_tokens: Part = None
    ephemeral_1h_input_tokens: Part = None


class _Thought(msgspec.Struct):
    thinking_tokens: Part = None


class _Iteration(msgspec.Struct):
    type: str = ""
    input_tokens: Part = None
    output_tokens: Part = None
    cache_creation_input_tokens: Part = None
    cache_read_input_tokens: Part = None


class _Usage(msgspec.Struct):
    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: msgspec.Raw = ABSENT
    output_tokens_details: msgspec.Raw = ABSENT
    server_tool_use: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    iterations: msgspec.Raw = ABSENT
    """Passes of the model; the counts above are those of all but the compacting ones."""


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    """A whole answer, or an event of a stream."""

    message: _Message | None = None
    """In the event that begins a stream."""
    usage: _Usage | None = None
    """In a whole answer, and in the events near a stream's end."""


_decode = msgspec.json.Decoder(_Event).decode
_decode_oddly = msgspec.json.Decoder(_Event, strict=False).decode
_decode_written = msgspec.json.Decoder(_Written).decode
_decode_thought = msgspec.json.Decoder(_Thought).decode
_decode_tools = msgspec.json.Decoder(Tools).decode
_decode_tier = msgspec.json.Decoder(Tier).decode
_decode_iterations = msgspec.json.Decoder(list[_Iteration] | None).decode


class UsageReader:
    """The usage of one answer: give it the whole answer, or each event of the stream as it comes."""

    def __init__(self) -> None:
        self._said = _Usage()
        self.is_final = False
        """Whether the answer's end was counted. Before, a stream's output is a placeholder."""

    def read(self, data: bytes) -> None:
        """Take note of what a whole answer, or the payload of an event, reports. Anything else is skipped."""
        event = _event(data)
        if event.message is not None and event.message.usage is not None:
            self._note(event.message.usage)
        if event.usage is not None:
            self._note(event.usage)
            self.is_final |= event.usage.output_tokens is not None

    @property
    def usage(self) -> Usage | None:
        """Disjoint units of what was reported so far; None if nothing was."""
        if self._said.input_tokens is None and self._said.output_tokens is None:
            return None
        return usage_of(self._said)

    @property
    def service_tier(self) -> str | None:
        """The tier that the call was served at."""
        tier: str | None = decoded(_decode_tier, self._said.service_tier, None)
        return tier

    def _note(self, usage: _Usage) -> None:
        """Counts are cumulative: the last one counts, and what is not said again stays."""
        for name in _Usage.__struct_fields__:
            value = getattr(usage, name)
            is_said = bytes(value) not in NOTHING if isinstance(value, msgspec.Raw) else value is not None
            if is_said:
                setattr(self._said, name, value)


def usage_of(usage: _Usage) -> Usage:
    """Disjoint units. Where parts exceed their whole, the parts are believed and the rest is 0."""
    written = decoded(_decode_written, usage.cache_creation, _Written())
    thought = decoded(_decode_thought, usage.output_tokens_details, _Thought())
    tools = decoded(_decode_tools, usage.server_tool_use, Tools())
    iterations = decoded(_decode_iterations, usage.iterations, None) or []
    passes = [usage, *(each for each in iterations if each.type == _COMPACTION)]

    for_5m = at_least_0(written.ephemeral_5m_input_tokens)
    for_1h = at_least_0(written.ephemeral_1h_input_tokens)
    reasoning = at_least_0(thought.thinking_tokens)
    created = sum(at_least_0(each.cache_creation_input_tokens) for each in passes)
    output = sum(at_least_0(each.output_tokens) for each in passes)
    units = {
        Unit.INPUT: sum(at_least_0(each.input_tokens) for each in passes),
        Unit.CACHE_READ: sum(at_least_0(each.cache_read_input_tokens) for each in passes),
        # A stream's last event gives the sum alone; five minutes are what is written unless asked otherwise.
        Unit.CACHE_WRITE_5M: max(for_5m, created - for_1h),
        Unit.CACHE_WRITE_1H: for_1h,
        Unit.OUTPUT: at_least_0(output - reasoning),
        Unit.REASONING: reasoning,
        Unit.REQUEST: 1,
        Unit.WEB_SEARCH: at_least_0(tools.web_search_requests),
    }
    return {unit: count for unit, count in units.items() if count}


def _event(data: bytes) -> _Event:
    for decode in (_decode, _decode_oddly):
        try:
            return decode(data)
        except UNREADABLE_AS_TYPED:
            continue
    return _Event()
