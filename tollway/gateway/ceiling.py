"""How much a chat request may consume at most, known before the vendor is asked.

A token is at least a byte of what is sent, so the request's bytes bound its text. What holds more
than it has bytes (an image, a file) has a stated bound of its own, or may fill the model's context
window. The completion is bounded by the caller's own cap, else by the window. Owns these counts;
does not own what they may cost, or what a model does unasked (`need.py`). Its promise: where it is
wrong, it is too high; that costs room near a limit, and never money.
"""

from math import ceil
from typing import NamedTuple

import msgspec

from tollway.domain.errors import BadRequest
from tollway.gateway.wire import Chat, Fields
from tollway.providers.counts import ABSENT, MAX_COUNT, NOTHING, UNREADABLE_AS_TYPED, decoded
from tollway.providers.openai import CapField, caps

DEFAULT_COMPLETION_TOKENS = 128_000
"""Of one choice, where neither the caller nor the public list names a bound."""
MAX_COMPLETION_TOKENS = 1_000_000
"""Of one choice: no model answers with more, whatever a caller allows it."""
DEFAULT_WINDOW_TOKENS = 1_000_000
"""What a file may hold, where the public list does not know the model's context window."""
UNSEEN_TOKENS = 1_024
"""What a vendor writes around a request: its chat template, rules for tools, a prompt of its own.

Anthropic documents up to 530 for tools; x.ai was seen to bill some 700 for a greeting.
"""
IMAGE_TOKENS = 48_169
"""Of one image, beside its bytes: gpt-4o-mini's 2,833 and 5,667 for each of at most 8 tiles.

By far the most that is documented. OpenAI's other models: 10,000 patches times 2.46. Anthropic:
4,784. Gemini: 2,240, or 258 for each of some 24 tiles of at most 3,072 by 3,072 pixels.
"""
AUDIO_BYTES_PER_SECOND = 500
"""Of audio in base64, at least: 3 kbit/s, half of what the sparsest codecs of speech need.

A second is at most 32 tokens (Gemini; OpenAI 10), so that the bytes bound the tokens as well.
"""
FILE_AUDIO_SECONDS = 10_800
"""Of audio that is given by reference, where a vendor bills by time: no vendor takes more."""

_SEARCHING = frozenset({"web_search_options", "search_parameters", "plugins", "enable_search"})
"""Fields that have a vendor search: OpenAI's, x.ai's, OpenRouter's, Alibaba's."""
_REFERRING = frozenset({"data_sources", "extra_body", "google", "cached_content"})
"""Fields that bring in what is stored elsewhere: Azure's, and Gemini's."""
_OWN_TOOLS = frozenset({"function", "custom"})
"""Types of tools that the caller runs; any other one is the vendor's."""
_OFF = (b"null", b"false")


class Ceiling(NamedTuple):
    """At most, of one call."""

    prompt: int
    """Tokens of what is sent, and of what it refers to."""
    predicted: int
    """Tokens of predictions that turn out wrong: billed as completion, and no cap bounds them."""
    completion: int
    """Tokens of all choices together."""
    choices: int
    is_stated: bool
    """Whether the completion's cap is the caller's own."""
    can_be_capped: bool
    """Not where a field for the cap holds what is none: who knows what the vendor makes of it?"""
    is_searching: bool
    """Whether it asks the vendor to search, or for any other tool that the vendor runs."""
    audio_seconds: int
    """For vendors that bill audio by time."""


class _Audio(msgspec.Struct, gc=False):
    data: str = ""


class _Part(msgspec.Struct, gc=False):
    type: str
    input_audio: _Audio | str | None = None
    """Mistral's is the data itself, or its address."""


class _Message(msgspec.Struct, gc=False):
    content: msgspec.Raw = ABSENT
    audio: msgspec.Raw = ABSENT
    """An earlier answer's, by its id."""


class _Tool(msgspec.Struct, gc=False):
    type: str | None = None


class _Media(NamedTuple):
    """What messages hold beside text."""

    images: int
    audio_bytes: int
    is_open: bool
    """Whether something is given by reference, or is of no kind that we know."""


_decode_number = msgspec.json.Decoder(float, strict=False).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode
_decode_tools = msgspec.json.Decoder(list[_Tool]).decode

_UNREADABLE_TOOLS = [_Tool()]


def ceiling_of(asked: Chat, context_window: int | None, cap_field: CapField) -> Ceiling:
    """The most that this request may consume at a vendor that heeds `cap_field`.

    No count is above MAX_COUNT, beyond which no vendor's report is believed. BadRequest for a number
    of choices that is none.
    """
    fields = asked.fields
    media = _media(fields["messages"])
    is_open = media.is_open or _has_any(fields, _REFERRING)
    stated = caps(fields)
    can_be_capped = all(stated.values())
    is_stated = can_be_capped and ("max_tokens" in stated or cap_field in stated)
    most = context_window or (MAX_COMPLETION_TOKENS if is_stated else DEFAULT_COMPLETION_TOKENS)
    if is_stated:
        most = min(most, max(stated.values()))
    choices = _choices(fields)
    prompt = UNSEEN_TOKENS + len(asked.body) + IMAGE_TOKENS * media.images
    if is_open:
        prompt += context_window or DEFAULT_WINDOW_TOKENS
    return Ceiling(
        prompt=min(prompt, MAX_COUNT),
        predicted=min(len(bytes(fields.get("prediction", ABSENT))) * choices, MAX_COUNT),
        completion=min(most * choices, MAX_COUNT),
        choices=choices,
        is_stated=is_stated,
        can_be_capped=can_be_capped,
        is_searching=_has_any(fields, _SEARCHING) or _has_vendor_tool(fields),
        audio_seconds=-(-media.audio_bytes // AUDIO_BYTES_PER_SECOND) + FILE_AUDIO_SECONDS * is_open,
    )


def _media(messages: msgspec.Raw) -> _Media:
    """What the messages hold; of messages that are none, nothing is known."""
    images = audio_bytes = 0
    is_open = False
    try:
        for message in _decode_messages(messages):
            if message.audio and bytes(message.audio) != b"null":
                is_open = True
            content = bytes(message.content)
            if content.startswith(b'"') or content in NOTHING:
                continue
            for part in _decode_parts(content):
                match part.type:
                    case "text" | "refusal":
                        pass
                    case "image_url":
                        images += 1
                    case "input_audio" if data := _inline(part.input_audio):
                        audio_bytes += len(data)
                    case _:
                        is_open = True
    except UNREADABLE_AS_TYPED:
        is_open = True
    return _Media(images, audio_bytes, is_open)


def _inline(audio: _Audio | str | None) -> str:
    """The audio's data; nothing if it is somewhere else."""
    data = audio.data if isinstance(audio, _Audio) else audio or ""
    return "" if ":" in data else data  # an address has a colon, base64 has none


def _choices(fields: Fields) -> int:
    """How many answers are asked for; "3" and 3.0 are 3 to many a vendor. BadRequest for no number."""
    raw = fields.get("n")
    if raw is None or bytes(raw) == b"null":
        return 1
    try:
        number = _decode_number(raw)
    except UNREADABLE_AS_TYPED:
        raise BadRequest("n: a number of answers", code="invalid_type", param="n") from None
    return ceil(min(number, MAX_COUNT)) if number > 1 else 1


def _has_any(fields: Fields, names: frozenset[str]) -> bool:
    return not names.isdisjoint(fields) and any(
        bytes(fields[name]) not in _OFF for name in names & fields.keys()
    )


def _has_vendor_tool(fields: Fields) -> bool:
    tools = fields.get("tools", ABSENT)
    if not tools or bytes(tools) == b"null":
        return False
    return any(tool.type not in _OWN_TOOLS for tool in decoded(_decode_tools, tools, _UNREADABLE_TOOLS))
