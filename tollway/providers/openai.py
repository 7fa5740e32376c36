"""OpenAI's dialect: what a request must carry, and what usage an answer reports.

Pure functions over bytes. In this dialect `prompt_tokens` includes cached and audio tokens,
`completion_tokens` includes reasoning and audio ones; here they are taken apart. Unknown
fields are forwarded as they came. Owns the dialect; does not own the connection.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeGuard, TypeVar

import msgspec

from tollway.domain.usage import Unit, Usage

CHAT_PATH = "/chat/completions"

T = TypeVar("T")


_ABSENT = msgspec.Raw()
"""For fields that are noticed but not read; `Raw | None` would take nothing but null."""

_NOTHING = (b"", b"null")


_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None
"""A number that no call can have, or no ledger can sum up, is no report."""

_Part = Annotated[int, msgspec.Meta(le=10**9)] | None
"""The same of a detail, where some say -1 for what they do not know."""

_Tier = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")] | None


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Part = None
    cache_write_tokens: _Part = None
    audio_tokens: _Part = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Part = None
    audio_tokens: _Part = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Delta(msgspec.Struct):
    content: str | list[msgspec.Raw] | None = None
    """Some vendors answer in typed parts, as requests may be."""
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    delta: _Delta | None = None
    message: _Delta | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    service_tier: _Tier = None
    error: msgspec.Raw = _ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one answer, or one event of a stream, says about itself."""

    usage: Usage | None = None
    service_tier: str | None = None
    text_bytes: int = 0
    """Of generated text, for an estimate should no usage come."""
    is_finished: bool = False
    is_usage_only: bool = False
    """The chunk that only `include_usage` brings; hidden from clients who did not ask."""
    is_error: bool = False
    is_readable: bool = True


DONE = Reading(is_finished=True)
UNREADABLE = Reading(is_readable=False)

_UNREADABLE_AS_TYPED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode = msgspec.json.Decoder(_Answer).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_usage = msgspec.json.Decoder(_Usage | None, strict=False).decode
_decode_tier = msgspec.json.Decoder(_Tier).decode
_decode_choices = msgspec.json.Decoder(list[_Choice] | None).decode
_encode = msgspec.json.encode


def request_body(fields: Mapping[str, msgspec.Raw], upstream_model: str, *, stream: bool) -> bytes:
    """The body for the vendor: its name for the model, and usage asked for; all else untouched."""
    body = {**fields, "model": msgspec.Raw(_encode(upstream_model))}
    if stream:
        asked = fields.get("stream_options")
        options = msgspec.json.decode(asked) if asked else None
        body["stream_options"] = msgspec.Raw(_encode({**(options or {}), "include_usage": True}))
    return _encode(body)


def read(data: bytes) -> Reading:
    """What a chat answer or the payload of a stream's event says."""
    if data == b"[DONE]":
        return DONE
    try:
        answer = _decode(data)
    except _UNREADABLE_AS_TYPED:
        salvaged = _salvage(data)
        if salvaged is None:
            return UNREADABLE
        answer = salvaged
    choices = answer.choices or []
    usage = usage_of(answer.usage) if _is_reported(answer.usage) else None
    is_error = bytes(answer.error) not in _NOTHING
    return Reading(
        usage=usage,
        service_tier=answer.service_tier,
        text_bytes=sum(_text_bytes(choice.delta or choice.message) for choice in choices),
        is_finished=any(choice.finish_reason for choice in choices),
        is_usage_only=usage is not None and not choices and not is_error,
        is_error=is_error,
    )


def usage_of(usage: _Usage) -> Usage:
    """Disjoint units. Where parts exceed their whole, the parts are believed and the rest is 0.

    A vendor whose total is the prompt, the completion and the reasoning (x.ai) counts reasoning
    outside of `completion_tokens`.
    """
    prompt = usage.prompt_tokens_details or _PromptDetails()
    completion = usage.completion_tokens_details or _CompletionDetails()
    cached, written = _count(prompt.cached_tokens), _count(prompt.cache_write_tokens)
    audio_in, audio_out = _count(prompt.audio_tokens), _count(completion.audio_tokens)
    reasoning = _count(completion.reasoning_tokens)
    prompted, completed = _count(usage.prompt_tokens), _count(usage.completion_tokens)
    is_outside = _count(usage.total_tokens) == prompted + completed + reasoning
    inside = 0 if is_outside else reasoning
    units = {
        Unit.INPUT: _count(prompted - cached - written - audio_in),
        Unit.CACHE_READ: cached,
        Unit.CACHE_WRITE_5M: written,
        Unit.INPUT_AUDIO: audio_in,
        Unit.OUTPUT: _count(completed - inside - audio_out),
        Unit.REASONING: reasoning,
        Unit.OUTPUT_AUDIO: audio_out,
        Unit.REQUEST: 1,
    }
    return {unit: count for unit, count in units.items() if count}


def _salvage(data: bytes) -> _Answer | None:
    """An answer in which some field is not of its type, without that field; None if it is no object.

    One odd field must cost neither the usage nor the answer.
    """
    try:
        fields = _decode_fields(data)
    except _UNREADABLE_AS_TYPED:
        return None
    null = msgspec.Raw(b"null")
    return _Answer(
        choices=_or(_decode_choices, fields.get("choices", null), [_Choice()]),
        usage=_or(_decode_usage, fields.get("usage", null), None),
        service_tier=_or(_decode_tier, fields.get("service_tier", null), None),
        error=fields.get("error", _ABSENT),
    )


def _or(decode: Callable[[msgspec.Raw], T], raw: msgspec.Raw, otherwise: T) -> T:
    try:
        return decode(raw)
    except _UNREADABLE_AS_TYPED:
        return otherwise


def _is_reported(usage: _Usage | None) -> TypeGuard[_Usage]:
    """A usage without counts says nothing; above all not that the call was free."""
    return usage is not None and not (usage.prompt_tokens is None and usage.completion_tokens is None)


def _count(count: int | None) -> int:
    return max(0, count or 0)


def _text_bytes(delta: _Delta | None) -> int:
    if delta is None:
        return 0
    texts = (delta.content, delta.reasoning_content, delta.refusal)
    written = sum(len(text.encode()) for text in texts if isinstance(text, str))
    parts = delta.content if isinstance(delta.content, list) else ()
    raws = (bytes(raw) for raw in (*parts, delta.tool_calls))
    return written + sum(len(raw) for raw in raws if raw not in _NOTHING)
