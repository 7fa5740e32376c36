"""The words in what is kept of prompts and answers."""

import msgspec
import pytest

from tollway.domain.transcript import as_object, prompt_text, response_text


def body(value: object) -> bytes:
    return msgspec.json.encode(value)


def test_a_body_keeps_its_numbers_as_they_were_written() -> None:
    written = b'{"temperature":0.70000000000000001,"seed":12345678901234567890123,"stop":[1e400]}'
    assert msgspec.json.encode(as_object(written)) == written


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a":', b"\xff", b'"x"', b"[" * 100_000, b'{"a":"\xff"}'])
def test_what_is_no_object_is_none(data: bytes) -> None:
    assert as_object(data) is None


def test_a_prompt_is_the_texts_of_its_messages() -> None:
    parts = [{"type": "text", "text": "two"}, {"type": "image_url"}, {"type": "text", "text": "three"}, 4]
    messages = [{"content": "one"}, {"content": parts}, {"content": None}, {"role": "tool"}, "odd"]
    assert prompt_text(body({"messages": messages})) == "one\ntwo\nthree"


@pytest.mark.parametrize("data", [b'{"messages": [{"content": "cut o', b'{"messages": 5}', b"{}"])
def test_a_prompt_of_another_shape_is_shown_as_it_is(data: bytes) -> None:
    assert prompt_text(data) == data.decode()


def test_an_answer_is_the_texts_of_its_choices() -> None:
    choices = [{"message": {"content": "one"}}, {"message": {"content": None}}, {"text": "?"}, 5]
    assert response_text(body({"choices": choices})) == "one"
    assert response_text(b'{"error": {}}') == '{"error": {}}'
    assert response_text(b"\xff") == "\ufffd"


def test_a_stream_is_put_together_by_choice() -> None:
    events = [
        {"choices": [{"index": 1, "delta": {"content": "B"}}, {"index": 0, "delta": {"content": "a"}}]},
        {"choices": [{"delta": {"content": "b"}}, {"index": "odd", "delta": {"content": "x"}}, 5]},
        {"choices": [{"index": 1, "delta": {}}]},
        {"choices": None},
        [],
    ]
    lines = [b"data: " + body(event) for event in events]
    data = b"\n\n".join([*lines, b": comment", b"data: [DONE]", b'data: {"cut o'])
    assert response_text(data) == "ab\nB"
