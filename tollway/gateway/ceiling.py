"""How many tokens a chat request may consume at most, known before the vendor is asked.

A token is at least a byte of what is sent, so the request's bytes bound the prompt. The
completion is bounded by the caller's own limit, else by the model's context window, else by a
stated number. Images, audio and files given by reference hold more tokens than bytes: they are
not bounded yet (limits to come). Owns these two numbers; does not own what they may cost.
"""

from typing import NamedTuple

import msgspec

from tollway.gateway.wire import Fields

DEFAULT_COMPLETION_TOKENS = 128_000
"""Where neither the caller nor the public list names a bound."""
MAX_COMPLETION_TOKENS = 1_000_000
"""No model answers with more, whatever a caller allows it."""
MAX_CHOICES = 128
"""Of OpenAI's `n`; a vendor refuses more."""

_decode_count = msgspec.json.Decoder(int).decode


class Ceiling(NamedTuple):
    """Tokens at most."""

    prompt: int
    completion: int


def ceiling(fields: Fields, context_window: int | None) -> Ceiling:
    """The most that a request of these fields may consume; limits that are none are not heeded."""
    asked = max(_count(fields, "max_completion_tokens"), _count(fields, "max_tokens"))
    most = context_window or (MAX_COMPLETION_TOKENS if asked else DEFAULT_COMPLETION_TOKENS)
    choices = min(max(_count(fields, "n"), 1), MAX_CHOICES)
    return Ceiling(
        prompt=sum(len(name) + len(bytes(raw)) for name, raw in fields.items()),
        completion=choices * (min(asked, most) if asked else most),
    )


def _count(fields: Fields, name: str) -> int:
    """A positive number; 0 for what the vendor will refuse, or has a default for."""
    raw = fields.get(name)
    if raw is None:
        return 0
    try:
        return max(_decode_count(raw), 0)
    except (msgspec.DecodeError, RecursionError):
        return 0
