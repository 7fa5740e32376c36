"""Reading a chat request, and writing errors and models, in OpenAI's shape."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.errors import BadRequest, Forbidden, TollwayError
from tollway.gateway.wire import Chat, error_body, error_event, error_reply, models_body, read_chat
from tollway.providers.openai import request_body

DEEP = b"[" * 100_000 + b"]" * 100_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def body(**fields: object) -> bytes:
    return msgspec.json.encode({"model": "demo/small", "messages": [], **fields})


READ = frozenset({"stream_options", "user"})
"""Fields with a type of their own."""


def reading(data: bytes) -> tuple[Chat | None, BadRequest | None]:
    """The chat, or why it is none."""
    try:
        return read_chat(data), None
    except BadRequest as refused:
        return None, refused


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.text(min_size=1, max_size=10).filter(lambda name: name not in READ), JSON))
def test_unknown_fields_reach_the_vendor_untouched(fields: dict[str, Any]) -> None:
    asked = {**fields, "model": "demo/small", "messages": [1], "stream": False}
    chat = read_chat(msgspec.json.encode(asked))
    sent = msgspec.json.decode(request_body(chat.fields, "small", stream=chat.stream))
    assert sent == {**asked, "model": "small"}


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_whatever_comes_is_a_chat_or_a_bad_request(data: bytes) -> None:
    chat, refused = reading(data)
    assert chat or refused
    if refused:
        assert msgspec.json.decode(error_body(refused))["error"]["type"] == "invalid_request_error"


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["model", "messages", "stream", "stream_options"]), JSON)
def test_a_field_of_any_type_is_read_or_refused_by_its_name(name: str, value: object) -> None:
    chat, refused = reading(body(**{name: value}))
    if refused:
        assert refused.param == name
    if chat:
        assert [type(chat.model), type(chat.stream), type(chat.wants_usage)] == [str, bool, bool]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{} {}",
        b"\xff",
        DEEP,
        b'{"model": "demo/small", "messages": ' + DEEP + b"}",
        b'{"\\ud800": 1}',
    ],
)
def test_what_is_not_a_json_object_is_told_so(data: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        read_chat(data)
    assert (refused.value.code, refused.value.param) == ("invalid_json", None)


@pytest.mark.parametrize(
    ("data", "param", "code"),
    [
        (b'{"messages": []}', "model", "missing_required_parameter"),
        (body(model=""), "model", "missing_required_parameter"),
        (b'{"model": "demo/small"}', "messages", "missing_required_parameter"),
        (body(model=None), "model", "invalid_type"),
        (body(model=7), "model", "invalid_type"),
        (b'{"messages": [], "model": "\xff"}', "model", "invalid_type"),
        (body(stream="yes"), "stream", "invalid_type"),
        (body(stream=1), "stream", "invalid_type"),
        (body(stream_options=[]), "stream_options", "invalid_type"),
        (body(stream_options={"include_usage": "yes"}), "stream_options", "invalid_type"),
        (b'{"model": "a", "messages": [], "stream_options": {"x": 1e999}}', "stream_options", "invalid_type"),
    ],
)
def test_a_wrong_field_is_named(data: bytes, param: str, code: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_chat(data)
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize(
    ("options", "wants"),
    [(None, False), ({}, False), ({"include_usage": None}, False), ({"include_usage": True, "x": 1}, True)],
)
def test_usage_is_wanted_only_where_it_is_asked_for(options: object, wants: bool) -> None:
    assert read_chat(body(stream_options=options)).wants_usage is wants


def test_null_means_no_stream() -> None:
    assert read_chat(body(stream=None)).stream is False


def test_the_last_of_two_equal_fields_is_both_read_and_sent() -> None:
    chat = read_chat(b'{"model": "a", "messages": [], "model": "b", "stream": true, "stream": false}')
    assert (chat.model, chat.stream) == ("b", False)
    assert request_body(chat.fields, "b", stream=False).count(b"model") == 1


def test_the_prompt_is_measured_as_it_came() -> None:
    assert read_chat(b'{"model": "a", "messages": [ "\xc3\xa9" ]}').prompt_bytes == len(b'[ "\xc3\xa9" ]')


def test_an_error_has_all_four_fields() -> None:
    shape = {"message": "no", "type": "permission_error", "param": "model", "code": "forbidden"}
    error = Forbidden("no", param="model")
    assert msgspec.json.decode(error_body(error)) == {"error": shape}
    assert error_event(error) == b"data: " + error_body(error) + b"\n\n"
    reply = error_reply(error)
    assert (reply.status, reply.body) == (403, error_body(error))
    assert msgspec.json.decode(error_body(TollwayError("x")))["error"]["type"] == "server_error"


def test_models_are_a_list_of_what_openai_calls_models() -> None:
    model = {"id": "demo/small", "object": "model", "created": 0, "owned_by": "demo"}
    listed = msgspec.json.decode(models_body([("demo/small", "demo")]))
    assert listed == {"object": "list", "data": [model]}


def test_a_model_s_name_has_an_end() -> None:
    with pytest.raises(BadRequest, match="so long a name") as refused:
        read_chat(b'{"model": "%s", "messages": []}' % (b"m" * 257))
    assert refused.value.param == "model"
