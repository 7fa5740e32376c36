"""The demo vendor: what it answers, what it refuses, what it can be told to answer."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.demo.vendor import DemoVendor, Scripted, complete, stream_of

KEY = "key-of-the-demo"
TEXT = st.text(max_size=40)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.just("user")},
        optional={
            "content": TEXT
            | st.none()
            | st.integers()
            | st.lists(st.fixed_dictionaries({"text": TEXT}) | st.just({"text": None}) | TEXT, max_size=3)
        },
    ),
    max_size=4,
)


def payloads(parts: list[bytes]) -> list[dict[str, Any]]:
    assert parts[-1] == b"data: [DONE]\n\n"
    return [msgspec.json.decode(part.removeprefix(b"data: ")) for part in parts[:-1]]


@settings(deadline=None, max_examples=100)
@given(MESSAGES, st.integers(1, 5), st.none() | st.integers(1, 40), st.booleans())
def test_a_stream_says_the_same_as_the_whole_answer(
    messages: list[dict[str, Any]], n: int, cap: int | None, wants_usage: bool
) -> None:
    completion = complete({"model": "small", "messages": messages, "n": n, "max_tokens": cap})
    chunks = payloads(list(stream_of(completion, wants_usage=wants_usage)))
    for choice in completion["choices"]:
        own = [part for chunk in chunks for part in chunk["choices"] if part["index"] == choice["index"]]
        assert "".join(part["delta"].get("content", "") for part in own) == choice["message"]["content"]
        assert [part["finish_reason"] for part in own if part["finish_reason"]] == [choice["finish_reason"]]
    reported = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert reported == ([completion["usage"]] if wants_usage else [])
    assert all(("usage" in chunk) is wants_usage for chunk in chunks)
    usage = completion["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] <= n * (cap or usage["completion_tokens"])


def test_a_token_is_a_word_or_a_mark() -> None:
    usage = complete({"messages": [{"content": "Who pays for it?"}], "model": "small"})["usage"]
    assert usage["prompt_tokens"] == 5


def test_a_long_prompt_counts_as_cached_up_to_the_last_block() -> None:
    def cached(words: int) -> int:
        asked = {"messages": [{"content": "a " * words}], "model": "small"}
        count: int = complete(asked)["usage"]["prompt_tokens_details"]["cached_tokens"]
        return count

    assert [cached(1_023), cached(1_024), cached(1_151), cached(1_152)] == [0, 1_024, 1_024, 1_152]


def test_the_newer_name_of_the_cap_wins() -> None:
    asked = {"messages": [], "model": "small", "max_tokens": 9, "max_completion_tokens": 2}
    assert complete(asked)["usage"]["completion_tokens"] == 2


@pytest.fixture
async def vendor() -> AsyncIterator[DemoVendor]:
    async with DemoVendor(api_key=KEY) as running:
        yield running


@pytest.fixture
async def client(vendor: DemoVendor) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(f"{vendor.base_url}/", headers=headers) as opened:
        yield opened


async def test_it_is_open_to_its_key_and_at_its_one_endpoint_only(
    vendor: DemoVendor, client: aiohttp.ClientSession
) -> None:
    for key in ("", f"Bearer {KEY}x", KEY, "Bearer é"):
        refused = await client.post("chat/completions", json={}, headers={"Authorization": key})
        assert (refused.status, (await refused.json())["error"]["code"]) == (401, "invalid_api_key")
    for method, path in (("GET", "chat/completions"), ("POST", "embeddings")):
        assert (await client.request(method, path, json={})).status == 404
    assert vendor.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        b'{"model": "small"}',
        b'{"messages": []}',
        b'{"model": "small", "messages": "hello"}',
        b'{"model": "small", "messages": ["hello"]}',
        b'{"model": "small", "messages": [], "n": 129}',
        b'{"model": "small", "messages": [], "n": 0}',
        b'{"model": "small", "messages": [], "n": "many"}',
        b'{"model": "small", "messages": [], "max_tokens": -1}',
        b'{"model": "small", "messages": [], "stream_options": 7}',
        b'{"model": "small", "messages": [], "user": 7}',
    ],
)
async def test_what_is_no_chat_request_is_refused(client: aiohttp.ClientSession, body: bytes) -> None:
    refused = await client.post("chat/completions", data=body)
    assert refused.status == 400
    assert (await refused.json())["error"]["type"] == "invalid_request_error"


async def test_a_model_that_it_has_not_is_not_found(client: aiohttp.ClientSession) -> None:
    refused = await client.post("chat/completions", json={"model": "medium", "messages": []})
    assert (refused.status, (await refused.json())["error"]["code"]) == (404, "model_not_found")


async def test_it_streams_usage_to_whom_asks(client: aiohttp.ClientSession) -> None:
    body: dict[str, Any] = {"model": "large", "messages": [], "stream": True}
    for options, shown in ((None, False), ({"include_usage": False}, False), ({"include_usage": True}, True)):
        answer = await client.post("chat/completions", json={**body, "stream_options": options})
        assert answer.content_type == "text/event-stream"
        assert (b'"usage":{' in await answer.read()) is shown


async def test_scripts_are_played_in_turn_then_it_answers_again(
    vendor: DemoVendor, client: aiohttp.ClientSession
) -> None:
    vendor.scripted += [Scripted(status=418, parts=[b"a", b"b"]), Scripted(parts=[b"c"], breaks_off=True)]
    first = await client.post("chat/completions", json={"anything": 1})
    assert (first.status, await first.read()) == (418, b"ab")
    with pytest.raises(aiohttp.ClientError):
        await (await client.post("chat/completions", json={})).read()
    body = {"model": "small", "messages": []}
    assert (await client.post("chat/completions", json=body)).status == 200
    assert vendor.requests == [{"anything": 1}, {}, body]
