"""How many tokens a request may consume at most, whatever it says of itself."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.gateway.ceiling import DEFAULT_COMPLETION_TOKENS, MAX_CHOICES, MAX_COMPLETION_TOKENS, ceiling
from tollway.gateway.wire import read_chat


def body(**fields: object) -> bytes:
    return msgspec.json.encode({"model": "demo/small", "messages": [], **fields})


def completion(window: int | None = None, **fields: object) -> int:
    return ceiling(read_chat(body(**fields)).fields, window).completion


def test_the_completion_is_bounded_by_what_the_caller_allows() -> None:
    assert completion(max_completion_tokens=7) == completion(max_tokens=7) == completion(8, max_tokens=7) == 7
    assert completion(max_completion_tokens=7, max_tokens=9) == 9
    assert completion(max_tokens=7, n=3) == 21


def test_without_a_limit_it_is_bounded_by_the_context_window_or_a_stated_number() -> None:
    assert completion(8_192) == completion(8_192, max_tokens=9_000) == 8_192
    assert completion(8_192, n=2) == 16_384
    assert completion() == completion(max_tokens=None) == DEFAULT_COMPLETION_TOKENS
    assert completion(max_tokens=500_000) == 500_000


def test_a_huge_limit_is_not_believed() -> None:
    assert completion(max_tokens=10**30) == completion(max_completion_tokens=2**63) == MAX_COMPLETION_TOKENS
    assert completion(max_tokens=1, n=10**30) == MAX_CHOICES


@pytest.mark.parametrize("odd", [0, -5, "7", 1.5, True, [], {}, None])
def test_a_limit_that_is_none_is_the_vendor_s_to_refuse(odd: object) -> None:
    assert completion(max_tokens=odd, max_completion_tokens=odd, n=odd) == DEFAULT_COMPLETION_TOKENS


@given(st.lists(st.text(max_size=50), max_size=5), st.text(max_size=50))
@settings(deadline=None, max_examples=100)
def test_the_prompt_has_no_more_tokens_than_all_that_is_sent_has_bytes(texts: list[str], tool: str) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    tools = [{"type": "function", "function": {"name": tool}}]
    sent = msgspec.json.encode({"model": "demo/small", "messages": messages, "tools": tools})
    most = ceiling(read_chat(sent).fields, None).prompt
    assert len("".join([*texts, tool]).encode()) < most <= len(sent)
