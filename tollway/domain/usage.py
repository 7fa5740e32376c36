"""What a call consumed: disjoint units, each counted once.

A vendor's numbers overlap (cached tokens lie inside OpenAI's `prompt_tokens`, outside
Anthropic's); a dialect takes them apart into these units, so that every sum here is plain:

    prompt_tokens     = input + cache_read + cache_write_5m + cache_write_1h
                      + input_audio + input_image + cache_read_audio
    completion_tokens = output + reasoning + citation + output_audio + output_image
    total_tokens      = prompt_tokens + completion_tokens

Owns the units; does not own what they cost.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal


class Unit(StrEnum):
    """What is counted. No unit includes another."""

    INPUT = "input"
    CACHE_READ = "cache_read"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    INPUT_AUDIO = "input_audio"
    INPUT_IMAGE = "input_image"
    CACHE_READ_AUDIO = "cache_read_audio"
    OUTPUT = "output"
    REASONING = "reasoning"
    CITATION = "citation"
    """Tokens of what a search model read and cites, for the vendor that bills them apart."""
    OUTPUT_AUDIO = "output_audio"
    OUTPUT_IMAGE = "output_image"
    REQUEST = "request"
    """The call itself, for vendors that ask a fee for each."""
    WEB_SEARCH = "web_search"
    INPUT_AUDIO_SECONDS = "input_audio_seconds"
    """Audio that a vendor bills by time; its tokens are then counted nowhere."""


Kind = Literal["input", "cache_read", "cache_write", "output", "reasoning"]
"""The label that metrics group units under."""

Usage = Mapping[Unit, int]
"""Counts by unit; a unit that is absent counts 0."""

PROMPT_TOKENS = frozenset(
    {
        Unit.INPUT,
        Unit.CACHE_READ,
        Unit.CACHE_WRITE_5M,
        Unit.CACHE_WRITE_1H,
        Unit.INPUT_AUDIO,
        Unit.INPUT_IMAGE,
        Unit.CACHE_READ_AUDIO,
    }
)
COMPLETION_TOKENS = frozenset(
    {Unit.OUTPUT, Unit.REASONING, Unit.CITATION, Unit.OUTPUT_AUDIO, Unit.OUTPUT_IMAGE}
)
PROMPT_SIDE = PROMPT_TOKENS | {Unit.REQUEST, Unit.INPUT_AUDIO_SECONDS}
"""Whose cost is the prompt's: what went in, and the fee for the call. The rest is the completion's."""

KIND_OF: Mapping[Unit, Kind] = {
    Unit.INPUT: "input",
    Unit.INPUT_AUDIO: "input",
    Unit.INPUT_IMAGE: "input",
    Unit.INPUT_AUDIO_SECONDS: "input",
    Unit.REQUEST: "input",
    Unit.CACHE_READ: "cache_read",
    Unit.CACHE_READ_AUDIO: "cache_read",
    Unit.CACHE_WRITE_5M: "cache_write",
    Unit.CACHE_WRITE_1H: "cache_write",
    Unit.OUTPUT: "output",
    Unit.OUTPUT_AUDIO: "output",
    Unit.OUTPUT_IMAGE: "output",
    Unit.CITATION: "output",
    Unit.WEB_SEARCH: "output",
    Unit.REASONING: "reasoning",
}


def prompt_tokens(usage: Usage) -> int:
    """Tokens that went in, cached ones included."""
    return sum(count for unit, count in usage.items() if unit in PROMPT_TOKENS)


def total_tokens(usage: Usage) -> int:
    """Both."""
    return prompt_tokens(usage) + completion_tokens(usage)


def completion_tokens(usage: Usage) -> int:
    """Tokens that came out, reasoning included."""
    return sum(count for unit, count in usage.items() if unit in COMPLETION_TOKENS)
