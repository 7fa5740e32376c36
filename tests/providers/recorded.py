"""What a row of the table of recorded usages holds, and how it is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tollway.domain.usage import Unit

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One unit's part of the cost: count times rate; without a rate no price is known, and it is free."""

    count: int
    rate: str | None = None
    nano: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One answer. `said` is its JSON, or the payloads of its stream's events, without what says no number."""

    name: str
    model: str
    """Of the public price list, as `vendor/model`."""
    said: tuple[Json, ...]
    lines: Mapping[Unit, Line]
    total: int
    tokens: tuple[int, int]
    """Prompt and completion."""
    note: str = ""
    dialect: Literal["openai", "anthropic"] = "openai"
    streamed: bool = False
    configured: Mapping[str, str] | None = None
    """Instead of the list's price: dollars per million tokens, as in `[[models]]`."""
    at: str = "2026-11-20T12:00:00+00:00"


def chat(usage: Json, **fields: Any) -> tuple[Json, ...]:  # noqa: ANN401 - any JSON
    """A whole answer in OpenAI's dialect."""
    message = {"role": "assistant", "content": "Hello", **fields.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return ({"object": "chat.completion", "choices": [choice], "usage": usage, **fields},)


def chunk(text: str | None = None, **fields: Any) -> Json:  # noqa: ANN401 - any JSON
    """A chunk of a stream in OpenAI's dialect; without text, it has no choices."""
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    return {"object": "chat.completion.chunk", "choices": choices, **fields}


def message(usage: Json) -> tuple[Json, ...]:
    """A whole answer of Anthropic's."""
    return ({"type": "message", "content": [{"type": "text", "text": "Hello"}], "usage": usage},)


def began(usage: Json) -> Json:
    """The event that begins a stream of Anthropic's."""
    return {"type": "message_start", "message": {"type": "message", "content": [], "usage": usage}}


def ended(usage: Json) -> Json:
    """The event near its end."""
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


FEE = {Unit.REQUEST: Line(1)}
