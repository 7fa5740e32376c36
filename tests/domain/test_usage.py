"""Units are disjoint, and every one has its side and its label."""

from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.usage import (
    COMPLETION_TOKENS,
    KIND_OF,
    PROMPT_SIDE,
    PROMPT_TOKENS,
    Kind,
    Unit,
    completion_tokens,
    prompt_tokens,
)

FEES = {Unit.REQUEST, Unit.WEB_SEARCH, Unit.INPUT_AUDIO_SECONDS}


def test_no_token_is_on_both_sides_and_only_fees_are_on_none() -> None:
    assert not PROMPT_TOKENS & COMPLETION_TOKENS
    assert set(Unit) - PROMPT_TOKENS - COMPLETION_TOKENS == FEES
    assert {Unit.REQUEST, Unit.INPUT_AUDIO_SECONDS} == PROMPT_SIDE - PROMPT_TOKENS


def test_every_unit_has_a_kind_and_every_kind_a_unit() -> None:
    assert set(KIND_OF) == set(Unit)
    assert set(KIND_OF.values()) == set(get_args(Kind))


def test_a_kind_never_mixes_the_two_sides() -> None:
    prompt = {kind for unit, kind in KIND_OF.items() if unit in PROMPT_SIDE}
    completion = {kind for unit, kind in KIND_OF.items() if unit not in PROMPT_SIDE}
    assert not prompt & completion


@given(st.dictionaries(st.sampled_from(Unit), st.integers(0, 10**12)))
@settings(deadline=None)
def test_prompt_and_completion_tokens_are_all_tokens_each_counted_once(usage: dict[Unit, int]) -> None:
    fees = sum(usage.get(unit, 0) for unit in FEES)
    assert prompt_tokens(usage) + completion_tokens(usage) == sum(usage.values()) - fees


def test_cached_tokens_are_prompt_tokens_and_reasoning_is_completion() -> None:
    usage = {Unit.INPUT: 1, Unit.CACHE_READ: 2, Unit.CACHE_WRITE_5M: 4, Unit.CACHE_WRITE_1H: 8}
    usage |= {Unit.INPUT_AUDIO: 16, Unit.INPUT_IMAGE: 32, Unit.CACHE_READ_AUDIO: 64}
    assert prompt_tokens({**usage, Unit.REQUEST: 99, Unit.INPUT_AUDIO_SECONDS: 99}) == 127
    usage = {Unit.OUTPUT: 1, Unit.REASONING: 2, Unit.OUTPUT_AUDIO: 4, Unit.OUTPUT_IMAGE: 8, Unit.CITATION: 16}
    assert completion_tokens({**usage, Unit.WEB_SEARCH: 99}) == 31
