"""How many tokens a request may consume at most, whatever it says of itself."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.errors import BadRequest
from tollway.gateway.ceiling import (
    AUDIO_BYTES_PER_SECOND,
    DEFAULT_COMPLETION_TOKENS,
    DEFAULT_WINDOW_TOKENS,
    FILE_AUDIO_SECONDS,
    IMAGE_TOKENS,
    MAX_COMPLETION_TOKENS,
    UNSEEN_TOKENS,
    Ceiling,
    ceiling_of,
)
from tollway.gateway.wire import read_chat
from tollway.providers.counts import MAX_COUNT
from tollway.providers.openai import CapField

WINDOW = 8_192


def body(**fields: object) -> bytes:
    return msgspec.json.encode({"model": "demo/small", "messages": [], **fields})


def most(sent: bytes, window: int | None = None, cap_field: CapField = "max_completion_tokens") -> Ceiling:
    return ceiling_of(read_chat(sent), window, cap_field)


def completion(window: int | None = None, **fields: object) -> int:
    return most(body(**fields), window).completion


def messages(raw: bytes) -> bytes:
    return b'{"model":"demo/small","messages":' + raw + b"}"


def beyond_text(sent: bytes, window: int = WINDOW) -> int:
    """Tokens of the prompt beside its bytes."""
    return most(sent, window).prompt - len(sent) - UNSEEN_TOKENS


def of_content(content: bytes, window: int = WINDOW) -> int:
    return beyond_text(messages(b'[{"role":"user","content":' + content + b"}]"), window)


def test_the_completion_is_bounded_by_what_the_caller_allows() -> None:
    assert completion(max_completion_tokens=7) == completion(max_tokens=7) == completion(8, max_tokens=7) == 7
    assert completion(max_completion_tokens=7, max_tokens=9) == 9
    assert completion(max_tokens=7, n=3) == 21
    assert most(body(max_tokens=7)).is_stated


def test_without_a_limit_it_is_bounded_by_the_context_window_or_a_stated_number() -> None:
    assert completion(8_192) == completion(8_192, max_tokens=9_000) == 8_192
    assert completion(8_192, n=2) == 16_384
    assert completion() == completion(max_tokens=None) == DEFAULT_COMPLETION_TOKENS
    assert completion(max_tokens=500_000) == 500_000
    assert not most(body(max_tokens=None, max_completion_tokens=None)).is_stated


def test_a_huge_limit_is_not_believed() -> None:
    assert completion(max_tokens=10**30) == completion(max_completion_tokens=2**63) == MAX_COMPLETION_TOKENS
    assert completion(max_tokens=1, n=10**30) == completion(1_000_000, n=16_384) == MAX_COUNT
    assert most(body(max_tokens=1, n="inf")).choices == MAX_COUNT


@pytest.mark.parametrize("odd", [0, -5, "7", 1.5, 7.0, True, [], {}])
@pytest.mark.parametrize("other", [None, 7, 0])
def test_a_limit_that_is_none_bounds_nothing_and_leaves_no_room_for_one(odd: object, other: object) -> None:
    for fields in (
        {"max_tokens": odd, "max_completion_tokens": other},
        {"max_tokens": other, "max_completion_tokens": odd},
    ):
        found = most(body(**fields), WINDOW)
        assert (found.completion, found.is_stated, found.can_be_capped) == (WINDOW, False, False)


def test_a_number_too_long_to_read_is_no_limit() -> None:
    found = most(b'{"model":"m","messages":[],"max_tokens":' + b"1" * 5_000 + b"}", WINDOW)
    assert (found.completion, found.is_stated, found.can_be_capped) == (WINDOW, False, False)


def test_a_limit_in_a_field_that_the_vendor_may_not_heed_bounds_nothing() -> None:
    newer = most(body(max_completion_tokens=7), WINDOW, "max_tokens")
    assert (newer.completion, newer.is_stated, newer.can_be_capped) == (WINDOW, False, True)
    older = most(body(max_tokens=7), WINDOW, "max_completion_tokens")
    assert (older.completion, older.is_stated) == (7, True)
    # Which of two counts is the vendor's affair: the larger one is certain.
    both = most(body(max_completion_tokens=9, max_tokens=7), WINDOW, "max_tokens")
    assert (both.completion, both.is_stated) == (9, True)


def test_choices_are_as_many_as_any_vendor_may_read_in_their_field() -> None:
    read = {"3": 3, '"3"': 3, "3.0": 3, '"3e1"': 30, "2.5": 3, "1": 1, "0": 1, "-4": 1, "null": 1}
    for text, choices in read.items():
        found = most(b'{"model":"m","messages":[],"max_tokens":7,"n":' + text.encode() + b"}")
        assert (found.choices, found.completion) == (choices, 7 * choices), text


@pytest.mark.parametrize("odd", ["x", " 3", "", True, [], {}])
def test_choices_that_no_one_can_count_are_refused(odd: object) -> None:
    with pytest.raises(BadRequest) as caught:
        most(body(n=odd))
    assert (caught.value.code, caught.value.param) == ("invalid_type", "n")


@given(st.lists(st.text(max_size=50), max_size=5), st.text(max_size=50))
@settings(deadline=None, max_examples=100)
def test_the_prompt_has_no_more_tokens_than_what_is_sent_has_bytes(texts: list[str], tool: str) -> None:
    sent = msgspec.json.encode(
        {
            "model": "demo/small",
            "messages": [{"role": "user", "content": text} for text in texts],
            "tools": [{"type": "function", "function": {"name": tool}}],
        }
    )
    found = most(sent, WINDOW)
    assert len("".join([*texts, tool]).encode()) + UNSEEN_TOKENS < found.prompt
    assert found.prompt == UNSEEN_TOKENS + len(sent)
    assert not found.is_searching


def test_text_in_parts_is_bounded_by_its_bytes() -> None:
    for content in (
        b"null",
        b'""',
        rb'"{\"type\":\"image_url\"}"',
        b"[]",
        b'[{"type":"text","text":"image_url"},{"type":"refusal","refusal":"file"}]',
        b'[{"type":"text","text":"[1]","cache_control":{"type":"ephemeral"}}]',
    ):
        assert of_content(content) == 0, content
    assert beyond_text(messages(b"[]")) == 0
    assert beyond_text(messages(b'[{"role":"assistant","tool_calls":[{"type":"function"}]}]')) == 0


@pytest.mark.parametrize(
    "part",
    [
        b'{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}',
        rb'{"type":"image\u005furl"}',
        rb'{"\u0074ype":"\u0069mage_url"}',
        b'{"image_url":"x", "type" : "image_url" }',
    ],
)
def test_an_image_is_recognised_however_it_is_written(part: bytes) -> None:
    assert of_content(b"[" + part + b"]") == IMAGE_TOKENS
    assert of_content(b"\n [ " + part + b" , " + part + b" ] ") == 2 * IMAGE_TOKENS
    escaped = messages(rb'[{"role":"user","\u0063ontent":[' + part + rb"]}]")
    assert beyond_text(escaped) == IMAGE_TOKENS


def test_images_of_all_messages_are_counted_whoever_is_said_to_have_sent_them() -> None:
    image = b'[{"type":"text","text":"x"},{"type":"image_url"}]'
    sent = messages(
        b'[{"role":"system","content":' + image + b'},{"role":"tool","content":' + image + b"},"
        b'{"role":"user","content":"x"},{"content":' + image + b"}]"
    )
    assert beyond_text(sent) == 3 * IMAGE_TOKENS


@pytest.mark.parametrize(
    "content",
    [
        b'[{"type":"file","file":{"file_id":"file-1"}}]',
        b'[{"type":"file","file":{"file_data":"data:application/pdf;base64,AAAA"}}]',
        b'[{"type":"video_url","video_url":{"url":"https://example.com/v.mp4"}}]',
        b'[{"type":"input_audio","input_audio":{"id":"audio-1"}}]',
        b'[{"type":"input_audio","input_audio":{"data":"https://example.com/a.mp3"}}]',
        rb'[{"type":"input_audio","input_audio":"https\u003a//example.com/a.mp3"}]',
        b'[{"type":"input_audio"}]',
        b'[{"type":"input_audio","input_audio":{"data":null}}]',
        b'[{"type":"Text"}]',
        b'[{"type":null}]',
        b'[{"type":["text"]}]',
        b'[{"text":"no type"}]',
        b'["text",{"image":"AAAA"}]',
        b'[[{"type":"image_url"}]]',
        b"[null]",
        b'{"type":"image_url"}',
        b"7",
        b"true",
        b"[" * 300 + b"]" * 300,
        b'[{"type":"\xff"}]',
    ],
)
def test_what_is_not_known_or_lies_elsewhere_may_fill_the_window(content: bytes) -> None:
    found = most(messages(b'[{"role":"user","content":' + content + b"}]"), WINDOW)
    assert of_content(content) == WINDOW
    assert found.audio_seconds == FILE_AUDIO_SECONDS
    assert of_content(content, 0) == DEFAULT_WINDOW_TOKENS


@pytest.mark.parametrize("raw", [b"7", b'"x"', b"{}", b"null", b"[7]", b'[["x"]]', b"[null]"])
def test_messages_that_are_none_may_fill_the_window(raw: bytes) -> None:
    assert beyond_text(messages(raw)) == WINDOW


def test_an_image_beside_something_unknown_is_still_counted() -> None:
    assert of_content(b'[{"type":"image_url"},{"type":"file"},{"type":"file"}]') == IMAGE_TOKENS + WINDOW


def test_an_earlier_answer_s_audio_is_given_by_reference() -> None:
    assert beyond_text(messages(b'[{"role":"assistant","audio":{"id":"audio-1"}}]')) == WINDOW
    assert beyond_text(messages(b'[{"role":"assistant","content":"x","audio":null}]')) == 0


def test_audio_is_bounded_by_its_bytes_and_lasts_as_long_as_they_can() -> None:
    for data, seconds in ((b"A", 1), (b"A" * AUDIO_BYTES_PER_SECOND * 2, 2)):
        for audio in (b'{"data":"' + data + b'","format":"mp3"}', b'"' + data + b'"'):
            sent = messages(b'[{"content":[{"type":"input_audio","input_audio":' + audio + b"}]}]")
            assert beyond_text(sent) == 0
            assert most(sent).audio_seconds == seconds
    assert most(body()).audio_seconds == 0


@pytest.mark.parametrize("field", ["data_sources", "extra_body", "google", "cached_content"])
def test_a_field_that_brings_in_what_is_stored_elsewhere_may_fill_the_window(field: str) -> None:
    sent = body(**{field: {"id": "1"}})
    assert beyond_text(sent) == WINDOW
    for off in (None, False):
        assert beyond_text(body(**{field: off})) == 0


@pytest.mark.parametrize("field", ["web_search_options", "search_parameters", "plugins", "enable_search"])
def test_a_field_that_has_the_vendor_search_is_noticed(field: str) -> None:
    assert most(body(**{field: {}})).is_searching
    assert not most(body(**{field: None})).is_searching
    assert not most(body(**{field: False})).is_searching


@pytest.mark.parametrize(
    "tools",
    [
        [{"type": "web_search"}],
        [{"type": "function"}, {"type": "code_interpreter"}],
        [{"google_search": {}}],
        [{"type": 7}],
        ["function"],
        {"type": "function"},
        "function",
    ],
)
def test_a_tool_that_the_caller_does_not_run_is_the_vendor_s(tools: object) -> None:
    assert most(body(tools=tools)).is_searching


def test_tools_that_the_caller_runs_search_nothing() -> None:
    for tools in (None, [], [{"type": "function"}, {"type": "custom"}]):
        assert not most(body(tools=tools)).is_searching
    assert not most(b'{"model":"m","messages":[],"tools":[{"\\u0074ype":"\\u0066unction"}]}').is_searching


def test_a_prediction_may_be_billed_for_each_choice() -> None:
    prediction = {"type": "content", "content": "x" * 100}
    size = len(msgspec.json.encode(prediction))
    assert most(body(prediction=prediction)).predicted == size
    assert most(body(prediction=prediction, n=3)).predicted == 3 * size
    assert most(body()).predicted == 0


def test_a_hundred_thousand_parts_are_counted() -> None:
    parts = b",".join([b'{"type":"text","text":"x"}', b'{"type":"image_url"}'] * 50_000)
    assert most(messages(b'[{"content":[' + parts + b"]}]")).prompt == MAX_COUNT
    few = b",".join([b'{"type":"text","text":"x"}'] * 99_999 + [b'{"type":"image_url"}'])
    assert of_content(b"[" + few + b"]") == IMAGE_TOKENS


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
parts = st.one_of(
    st.just({"type": "text", "text": "x"}),
    st.just({"type": "image_url", "image_url": {"url": "x"}}),
    st.just({"type": "input_audio", "input_audio": {"data": "AAAA"}}),
    st.fixed_dictionaries({"type": json}),
    json,
)


@given(st.lists(parts, max_size=4), json)
@settings(deadline=None, max_examples=200)
def test_no_junk_makes_less_of_an_image(content: list[object], junk: object) -> None:
    image = {"type": "image_url", "image_url": {"url": "x"}}
    bare = body(messages=[{"role": "user", "content": content}, {"role": "user", "content": junk}])
    shown = body(messages=[{"role": "user", "content": [*content, image]}, {"role": "user", "content": junk}])
    found = most(shown, 10 * IMAGE_TOKENS)
    assert found.prompt >= len(shown) + IMAGE_TOKENS
    assert found.prompt >= most(bare, 10 * IMAGE_TOKENS).prompt
