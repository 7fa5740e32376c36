"""OpenAI's dialect: what a request must carry, and what usage an answer reports.

Pure functions over bytes. In this dialect `prompt_tokens` includes cached and audio tokens,
`completion_tokens` includes reasoning and audio ones; here they are taken apart. Unknown
fields are forwarded as they came. Owns the dialect; does not own the connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tollway.domain.usage import Unit, Usage

CHAT_PATH = "/chat/completions"


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    audio_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    delta: _Delta | None = None
    message: _Delta | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    service_tier: str | None = None
    error: msgspec.Raw | None = None


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

_decode = msgspec.json.Decoder(_Answer).decode
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
    except msgspec.DecodeError:
        return UNREADABLE
    usage = None if answer.usage is None else usage_of(answer.usage)
    return Reading(
        usage=usage,
        service_tier=answer.service_tier,
        text_bytes=sum(_text_bytes(choice.delta or choice.message) for choice in answer.choices),
        is_finished=any(choice.finish_reason for choice in answer.choices),
        is_usage_only=usage is not None and not answer.choices,
        is_error=answer.error is not None and answer.error != b"null",
    )


def usage_of(usage: _Usage) -> Usage:
    """Disjoint units. Where parts exceed their whole, the parts are believed and the rest is 0."""
    prompt = usage.prompt_tokens_details or _PromptDetails()
    completion = usage.completion_tokens_details or _CompletionDetails()
    cached, audio_in = _count(prompt.cached_tokens), _count(prompt.audio_tokens)
    reasoning, audio_out = _count(completion.reasoning_tokens), _count(completion.audio_tokens)
    units = {
        Unit.INPUT: _count(_count(usage.prompt_tokens) - cached - audio_in),
        Unit.CACHE_READ: cached,
        Unit.INPUT_AUDIO: audio_in,
        Unit.OUTPUT: _count(_count(usage.completion_tokens) - reasoning - audio_out),
        Unit.REASONING: reasoning,
        Unit.OUTPUT_AUDIO: audio_out,
        Unit.REQUEST: 1,
    }
    return {unit: count for unit, count in units.items() if count}


def _count(count: int | None) -> int:
    return max(0, count or 0)


def _text_bytes(delta: _Delta | None) -> int:
    if delta is None:
        return 0
    texts = (delta.content, delta.reasoning_content, delta.refusal)
    return sum(len(text.encode()) for text in texts if text) + len(bytes(delta.tool_calls or b""))
