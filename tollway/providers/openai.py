"""OpenAI's dialect: what a request must carry, and what usage an answer reports.

Pure functions over bytes. In this dialect `prompt_tokens` includes cached, audio and image tokens,
`completion_tokens` includes reasoning, audio and image ones; here they are taken apart. Unknown
fields are forwarded as they came. Owns the dialect; does not own the connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

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
    extra,
)

CHAT_PATH = "/chat/completions"

CapField = Literal["max_completion_tokens", "max_tokens"]
"""Where a request says how many tokens an answer may have; the second is the older name."""
CAP_FIELDS: tuple[CapField, ...] = get_args(CapField)

_CITES = b'"url_citation"'


class _PromptDetails(msgspec.Struct):
    cached_tokens: Part = None
    cache_write_tokens: Part = None
    audio_tokens: Part = None
    image_tokens: Part = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: Part = None
    audio_tokens: Part = None
    image_tokens: Part = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    # Fields of one vendor's own: an odd one must not cost the counts above.
    prompt_cache_hit_tokens: msgspec.Raw = ABSENT
    """DeepSeek."""
    cached_tokens: msgspec.Raw = ABSENT
    """Moonshot."""
    reasoning_tokens: msgspec.Raw = ABSENT
    """Perplexity, with the next two; outside of `completion_tokens`."""
    citation_tokens: msgspec.Raw = ABSENT
    num_search_queries: msgspec.Raw = ABSENT
    prompt_audio_seconds: msgspec.Raw = ABSENT
    """Mistral, who bills audio by time."""
    server_tool_use: msgspec.Raw = ABSENT
    """Gateways that pass Anthropic's count of searches on."""


class _Delta(msgspec.Struct):
    content: str | list[msgspec.Raw] | None = None
    """Some vendors answer in typed parts, as requests may be."""
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = ABSENT
    annotations: msgspec.Raw = ABSENT


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    delta: _Delta | None = None
    message: _Delta | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    service_tier: Tier = None
    error: msgspec.Raw = ABSENT
    x_groq: msgspec.Raw = ABSENT
    """Where Groq puts the usage of a stream."""


class _Groq(msgspec.Struct):
    usage: _Usage | None = None


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
    is_cited: bool = False
    """It cites the web, so it was searched at least once: of a stream, the usage comes later."""
    is_readable: bool = True


DONE = Reading(is_finished=True)
UNREADABLE = Reading(is_readable=False)

_decode = msgspec.json.Decoder(_Answer).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_usage = msgspec.json.Decoder(_Usage | None, strict=False).decode
_decode_tier = msgspec.json.Decoder(Tier).decode
_decode_choices = msgspec.json.Decoder(list[_Choice] | None).decode
_decode_groq = msgspec.json.Decoder(_Groq).decode
_decode_cap = msgspec.json.Decoder(int).decode
_decode_tools = msgspec.json.Decoder(Tools).decode
_encode = msgspec.json.encode


def caps(fields: Mapping[str, msgspec.Raw]) -> dict[CapField, int]:
    """The caps that a request states, tokens of a choice; 0 for what is none, and the vendor's to refuse."""
    stated: dict[CapField, int] = {}
    for name in CAP_FIELDS:
        if name in fields and bytes(fields[name]) != b"null":
            stated[name] = at_least_0(decoded(_decode_cap, fields[name], 0))
    return stated


def request_body(
    fields: Mapping[str, msgspec.Raw],
    upstream_model: str,
    *,
    stream: bool,
    cap: int | None = None,
    cap_field: CapField = "max_tokens",
) -> bytes:
    """The body for the vendor: its name for the model, and usage asked for; all else untouched.

    With a `cap`, no choice is longer: what the request states itself is lowered, else it is written
    into `cap_field`. What states no number of tokens stays as it is, for the vendor to refuse.
    """
    body = {**fields, "model": msgspec.Raw(_encode(upstream_model))}
    if stream:
        asked = fields.get("stream_options")
        options = msgspec.json.decode(asked) if asked else None
        body["stream_options"] = msgspec.Raw(_encode({**(options or {}), "include_usage": True}))
    if cap is not None:
        stated = caps(fields) or {cap_field: cap}
        newer = stated.get("max_completion_tokens")
        if newer and cap_field == "max_tokens" and cap_field not in stated:
            # The vendor may not heed the newer field, and may not take both.
            del body["max_completion_tokens"]
            stated = {cap_field: newer}
        body |= {name: msgspec.Raw(_encode(min(most, cap))) for name, most in stated.items() if most}
    return _encode(body)


def read(data: bytes) -> Reading:
    """What a chat answer or the payload of a stream's event says."""
    if data == b"[DONE]":
        return DONE
    try:
        answer = _decode(data)
    except UNREADABLE_AS_TYPED:
        salvaged = _salvage(data)
        if salvaged is None:
            return UNREADABLE
        answer = salvaged
    choices = answer.choices or []
    said = answer.usage or decoded(_decode_groq, answer.x_groq, _Groq()).usage
    is_cited = _is_cited(choices)
    usage = usage_of(said, is_cited=is_cited) if _is_reported(said) else None
    is_error = bytes(answer.error) not in NOTHING
    return Reading(
        usage=usage,
        service_tier=answer.service_tier,
        text_bytes=sum(_text_bytes(choice.delta or choice.message) for choice in choices),
        is_finished=any(choice.finish_reason for choice in choices),
        is_usage_only=usage is not None and not choices and not is_error,
        is_error=is_error,
        is_cited=is_cited,
    )


def usage_of(usage: _Usage, *, is_cited: bool = False) -> Usage:
    """Disjoint units. Where parts exceed their whole, the parts are believed and the rest is 0.

    What only `total_tokens` holds is the prompt's, if the prompt's parts do not fit into it; else it
    is thought (x.ai, Gemini). `is_cited`: the answer cites the web, so it was searched at least once.
    """
    prompt = usage.prompt_tokens_details or _PromptDetails()
    completion = usage.completion_tokens_details or _CompletionDetails()
    prompted, completed = at_least_0(usage.prompt_tokens), at_least_0(usage.completion_tokens)
    seconds = extra(usage.prompt_audio_seconds)
    cached, written = _cached(usage, prompt), at_least_0(prompt.cache_write_tokens)
    audio_in = 0 if seconds else at_least_0(prompt.audio_tokens)
    image_in = at_least_0(prompt.image_tokens)
    beyond = 0 if seconds else _beyond(usage)
    if max(cached + written, audio_in + image_in) > prompted:
        prompted, beyond = prompted + beyond, 0
    # A cached token may be audio or an image too; where they cannot all be others, they are the same.
    shared = at_least_0(cached + written + audio_in + image_in - prompted)
    cached_audio = min(shared, cached, audio_in)
    cached_image = min(shared - cached_audio, cached - cached_audio, image_in)

    audio_out, image_out = at_least_0(completion.audio_tokens), at_least_0(completion.image_tokens)
    inside, outside = _reasoning(usage, completion, beyond)
    searches = extra(usage.num_search_queries) or at_least_0(
        decoded(_decode_tools, usage.server_tool_use, Tools()).web_search_requests
    )
    units = (
        (Unit.INPUT, prompted - cached - written - audio_in - image_in + cached_audio + cached_image),
        (Unit.CACHE_READ, cached - cached_audio),
        (Unit.CACHE_WRITE_5M, written),
        (Unit.INPUT_AUDIO, audio_in - cached_audio),
        (Unit.INPUT_IMAGE, image_in - cached_image),
        (Unit.CACHE_READ_AUDIO, cached_audio),
        (Unit.OUTPUT, completed - inside - audio_out - image_out),
        (Unit.REASONING, inside + outside),
        (Unit.CITATION, extra(usage.citation_tokens)),
        (Unit.OUTPUT_AUDIO, audio_out),
        (Unit.OUTPUT_IMAGE, image_out),
        (Unit.REQUEST, 1),
        (Unit.WEB_SEARCH, searches or int(is_cited)),
        (Unit.INPUT_AUDIO_SECONDS, seconds),
    )
    return {unit: count for unit, count in units if count > 0}


def _cached(usage: _Usage, prompt: _PromptDetails) -> int:
    if prompt.cached_tokens is not None:
        return at_least_0(prompt.cached_tokens)
    return extra(usage.prompt_cache_hit_tokens) or extra(usage.cached_tokens)


def _beyond(usage: _Usage) -> int:
    """Tokens that the total holds and neither of its two parts."""
    if usage.total_tokens is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return 0
    return at_least_0(usage.total_tokens - usage.prompt_tokens - usage.completion_tokens)


def _reasoning(usage: _Usage, completion: _CompletionDetails, beyond: int) -> tuple[int, int]:
    """Tokens thought inside of `completion_tokens`, and outside of them."""
    if bytes(usage.citation_tokens) not in NOTHING:
        return 0, extra(usage.reasoning_tokens)
    reasoning = at_least_0(completion.reasoning_tokens)
    if beyond and reasoning in (0, beyond):
        return 0, beyond
    return reasoning, 0


def _salvage(data: bytes) -> _Answer | None:
    """An answer in which some field is not of its type, without that field; None if it is no object.

    One odd field must cost neither the usage nor the answer.
    """
    try:
        fields = _decode_fields(data)
    except UNREADABLE_AS_TYPED:
        return None
    null = msgspec.Raw(b"null")
    return _Answer(
        choices=decoded(_decode_choices, fields.get("choices", null), [_Choice()]),
        usage=decoded(_decode_usage, fields.get("usage", ABSENT), None),
        service_tier=decoded(_decode_tier, fields.get("service_tier", ABSENT), None),
        error=fields.get("error", ABSENT),
        x_groq=fields.get("x_groq", ABSENT),
    )


def _is_reported(usage: _Usage | None) -> TypeGuard[_Usage]:
    """A usage without counts says nothing; above all not that the call was free."""
    return usage is not None and not (usage.prompt_tokens is None and usage.completion_tokens is None)


def _is_cited(choices: list[_Choice]) -> bool:
    return any(
        _CITES in bytes(said.annotations) for choice in choices if (said := choice.delta or choice.message)
    )


def _text_bytes(delta: _Delta | None) -> int:
    if delta is None:
        return 0
    texts = (delta.content, delta.reasoning_content, delta.refusal)
    written = sum(len(text.encode()) for text in texts if isinstance(text, str))
    parts = delta.content if isinstance(delta.content, list) else ()
    raws = (bytes(raw) for raw in (*parts, delta.tool_calls))
    return written + sum(len(raw) for raw in raws if raw not in NOTHING)
