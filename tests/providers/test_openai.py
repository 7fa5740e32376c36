"""OpenAI's dialect: usage is taken apart, and requests are passed on byte for byte."""

import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.usage import Unit, completion_tokens, prompt_tokens
from tollway.providers import openai
from tollway.providers.openai import DONE, UNREADABLE, read, request_body

Json = Mapping[str, object]

decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def answer(usage: object, **fields: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage}
    return msgspec.json.encode({**body, **fields})


def units(usage: object) -> dict[Unit, int] | None:
    found = read(answer(usage)).usage
    return None if found is None else dict(found)


OPENAI_USAGE: Json = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 192,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def test_cached_and_reasoning_tokens_are_taken_out_of_the_wholes_they_lie_in() -> None:
    assert units(OPENAI_USAGE) == {
        Unit.INPUT: 86,
        Unit.CACHE_READ: 1920,
        Unit.OUTPUT: 108,
        Unit.REASONING: 192,
        Unit.REQUEST: 1,
    }


def test_audio_tokens_are_units_of_their_own() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 60,
        "total_tokens": 160,
        "prompt_tokens_details": {"text_tokens": 30, "audio_tokens": 70, "cached_tokens": 10},
        "completion_tokens_details": {"text_tokens": 20, "audio_tokens": 40, "reasoning_tokens": 0},
    }
    assert units(usage) == {
        Unit.INPUT: 20,
        Unit.CACHE_READ: 10,
        Unit.INPUT_AUDIO: 70,
        Unit.OUTPUT: 20,
        Unit.OUTPUT_AUDIO: 40,
        Unit.REQUEST: 1,
    }


def test_tokens_written_to_the_cache_are_no_plain_input() -> None:
    details = {"cached_tokens": 100, "cache_write_tokens": 800}
    usage = {"prompt_tokens": 1000, "completion_tokens": 1, "prompt_tokens_details": details}
    assert units(usage) == {
        Unit.INPUT: 100,
        Unit.CACHE_READ: 100,
        Unit.CACHE_WRITE_5M: 800,
        Unit.OUTPUT: 1,
        Unit.REQUEST: 1,
    }


def test_reasoning_that_a_vendor_counts_outside_of_its_completion_is_not_taken_out_of_it() -> None:
    usage = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": 135,
        "prompt_tokens_details": {"text_tokens": 32, "cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 94},
        "num_sources_used": 0,
    }
    assert units(usage) == {
        Unit.INPUT: 26,
        Unit.CACHE_READ: 6,
        Unit.OUTPUT: 9,
        Unit.REASONING: 94,
        Unit.REQUEST: 1,
    }


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"prompt_tokens_details": None, "completion_tokens_details": None},
        {"prompt_tokens_details": {}, "completion_tokens_details": {}},
        {"prompt_tokens_details": {"cached_tokens": None}},
        {"completion_tokens_details": {"reasoning_tokens": None, "audio_tokens": None}},
        {"queue_time": 0.04, "cost": "0.1", "cost_details": {"upstream_inference_cost": 19}},
    ],
)
def test_without_details_all_is_input_and_output(details: Json) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, **details}
    assert units(usage) == {Unit.INPUT: 10, Unit.OUTPUT: 5, Unit.REQUEST: 1}


def test_parts_that_exceed_their_whole_are_believed() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 50},
        "completion_tokens_details": {"reasoning_tokens": 70},
    }
    assert units(usage) == {Unit.CACHE_READ: 50, Unit.REASONING: 70, Unit.REQUEST: 1}


def test_a_negative_count_is_no_report_and_so_never_lowers_a_bill() -> None:
    assert units({"prompt_tokens": 10, "completion_tokens": -5}) is None


def test_a_negative_detail_is_none() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": -1000},
        "completion_tokens_details": {"reasoning_tokens": -1},
    }
    assert units(usage) == {Unit.INPUT: 10, Unit.REQUEST: 1}


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"total_tokens": 9}, {"prompt_tokens": None, "completion_tokens": None}, [], "none", 7, True],
)
def test_a_usage_that_says_nothing_is_no_usage_and_above_all_not_a_free_one(usage: object) -> None:
    reading = read(answer(usage))
    assert (reading.usage, reading.is_usage_only, reading.is_readable) == (None, False, True)


def test_a_usage_of_nothing_is_a_usage() -> None:
    assert units({"prompt_tokens": 0, "completion_tokens": 0}) == {Unit.REQUEST: 1}
    assert units({"prompt_tokens": 0}) == {Unit.REQUEST: 1}


@pytest.mark.parametrize("count", ["12", 12.0])
def test_a_count_in_an_odd_type_is_still_the_count(count: object) -> None:
    assert units({"prompt_tokens": count}) == {Unit.INPUT: 12, Unit.REQUEST: 1}


@pytest.mark.parametrize("count", [12.5, "a dozen", [12], {"n": 12}, 1e300])
def test_a_count_that_is_none_makes_no_usage_but_leaves_the_answer_readable(count: object) -> None:
    reading = read(answer({"prompt_tokens": count, "completion_tokens": 5}))
    assert (reading.usage, reading.is_readable, reading.is_finished) == (None, True, True)


counts = st.none() | st.integers(-5, 1_000_000)
some_usages = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 1_000_000), "completion_tokens": st.integers(0, 1_000_000)},
    optional={
        "total_tokens": st.none() | st.integers(0, 2_000_000),
        "prompt_tokens_details": st.none()
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("cached_tokens", "audio_tokens", "cache_write_tokens"), counts)
        ),
        "completion_tokens_details": st.none()
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("reasoning_tokens", "audio_tokens"), counts)),
    },
)


@given(some_usages)
@settings(deadline=None, max_examples=200)
def test_units_are_counts_and_never_sum_to_less_than_the_vendor_s_own(usage: Json) -> None:
    found = units(usage)
    assert found is not None
    assert all(count > 0 for count in found.values())
    assert found[Unit.REQUEST] == 1
    assert prompt_tokens(found) >= int(str(usage["prompt_tokens"]))
    assert completion_tokens(found) >= int(str(usage["completion_tokens"]))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
@settings(deadline=None)
def test_parts_within_their_wholes_sum_to_the_vendor_s_total(
    uncached: int, cached: int, said: int, reasoned: int
) -> None:
    usage = {
        "prompt_tokens": uncached + cached,
        "completion_tokens": said + reasoned,
        "total_tokens": uncached + cached + said + reasoned,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoned},
    }
    found = units(usage)
    assert found is not None
    assert prompt_tokens(found) + completion_tokens(found) == usage["total_tokens"]
    assert found.get(Unit.CACHE_READ, 0) == cached
    assert found.get(Unit.REASONING, 0) == reasoned


def chunk(*choices: object, **fields: object) -> bytes:
    return msgspec.json.encode({"id": "c", "object": "chat.completion.chunk", "choices": choices, **fields})


def delta(finish_reason: str | None = None, **fields: object) -> Json:
    return {"index": 0, "delta": fields, "finish_reason": finish_reason}


def test_the_usage_chunk_is_the_one_with_a_usage_and_no_choices() -> None:
    reading = read(chunk(usage=OPENAI_USAGE))
    assert reading.is_usage_only
    assert reading.usage is not None
    assert not reading.is_finished


@pytest.mark.parametrize("usage", [None, {}])
def test_a_chunk_without_choices_or_a_usage_is_shown(usage: object) -> None:
    """Azure begins with one that holds the filter's results."""
    assert not read(chunk(usage=usage, prompt_filter_results=[])).is_usage_only


def test_a_usage_beside_a_choice_is_read_and_the_chunk_is_shown() -> None:
    """Several vendors send a running usage in every chunk."""
    counts = []
    for number in (1, 2, 3):
        reading = read(chunk(delta(content="a"), usage={"prompt_tokens": 7, "completion_tokens": number}))
        assert not reading.is_usage_only
        assert reading.usage is not None
        counts.append(reading.usage[Unit.OUTPUT])
    assert counts == [1, 2, 3]


@pytest.mark.parametrize("nothing", [b'"choices":null,', b'"choices":[],', b""])
def test_a_usage_chunk_may_have_no_choices_in_any_way(nothing: bytes) -> None:
    reading = read(b"{" + nothing + b'"usage":{"prompt_tokens":3,"completion_tokens":1}}')
    assert reading.is_usage_only
    assert reading.usage == {Unit.INPUT: 3, Unit.OUTPUT: 1, Unit.REQUEST: 1}


def test_a_stream_is_finished_by_a_reason_or_by_done() -> None:
    assert not read(chunk(delta(content="a"))).is_finished
    assert read(chunk(delta("stop"))).is_finished
    assert read(chunk(delta(content="a"), delta("length"))).is_finished
    assert read(b"[DONE]") is DONE
    assert DONE.is_finished


def test_generated_text_is_counted_in_bytes_of_every_kind_of_it() -> None:
    assert read(chunk(delta(role="assistant", content=""))).text_bytes == 0
    assert read(chunk(delta(content="héllo"))).text_bytes == 6
    assert read(chunk(delta(reasoning_content="hmm"))).text_bytes == 3
    assert read(chunk(delta(refusal="no"))).text_bytes == 2
    assert read(chunk(delta(tool_calls=[{"f": 1}]))).text_bytes == len(b'[{"f":1}]')
    assert read(chunk(delta(tool_calls=None, content=None))).text_bytes == 0
    assert read(chunk(delta(content="ab"), delta(content="c"))).text_bytes == 3
    assert read(chunk({"index": 0})).text_bytes == 0
    assert read(answer(None)).text_bytes == 5


def test_a_call_of_a_tool_is_an_answer_like_any_other() -> None:
    function = {"name": "weather", "arguments": '{"place":"Oslo"}'}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    reading = read(answer(OPENAI_USAGE, choices=[{"message": message, "finish_reason": "tool_calls"}]))
    assert reading.text_bytes == len(msgspec.json.encode(calls))
    assert (reading.usage is None, reading.is_finished, reading.is_readable) == (False, True, True)


def test_an_answer_in_typed_parts_is_read() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hello"}]
    choice = {"index": 0, "message": {"content": parts}, "finish_reason": "stop"}
    reading = read(answer({"prompt_tokens": 3, "completion_tokens": 9}, choices=[choice]))
    assert reading.usage == {Unit.INPUT: 3, Unit.OUTPUT: 9, Unit.REQUEST: 1}
    assert reading.text_bytes == sum(len(msgspec.json.encode(part)) for part in parts)
    assert (reading.is_finished, reading.is_readable) == (True, True)


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [None]},
        {"choices": "none"},
        {"choices": [{"delta": {"content": 5}}]},
        {"choices": [{"finish_reason": 5}]},
        {"service_tier": 5},
        {"service_tier": {}},
    ],
)
def test_one_odd_field_costs_neither_the_usage_nor_the_chunk(odd: Json) -> None:
    reading = read(answer({"prompt_tokens": 3, "completion_tokens": 9}, **odd))
    assert reading.usage == {Unit.INPUT: 3, Unit.OUTPUT: 9, Unit.REQUEST: 1}
    assert (reading.is_readable, reading.is_usage_only) == (True, False)


def test_broken_utf8_costs_its_own_field_only() -> None:
    data = b'{"choices":[{"delta":{"content":"\xff"}}],"usage":{"prompt_tokens":3},"service_tier":"flex"}'
    reading = read(data)
    assert (reading.usage, reading.service_tier) == ({Unit.INPUT: 3, Unit.REQUEST: 1}, "flex")
    assert read(b'{"service_tier":"\xff","usage":{"prompt_tokens":3}}').usage == reading.usage


@pytest.mark.parametrize("tier", [None, "default", "flex", "priority"])
def test_the_service_tier_is_read(tier: str | None) -> None:
    assert read(answer(OPENAI_USAGE, service_tier=tier)).service_tier == tier


@pytest.mark.parametrize("error", [{"message": "slow down"}, "slow down", False, 0, [], {}])
def test_an_error_is_an_error_whatever_its_shape(error: object) -> None:
    assert read(msgspec.json.encode({"error": error})).is_error
    assert read(msgspec.json.encode({"error": error, "service_tier": 5})).is_error


def test_an_error_is_shown_even_with_a_usage() -> None:
    reading = read(chunk(error={"message": "overloaded"}, usage={"prompt_tokens": 3}))
    assert (reading.is_error, reading.is_usage_only) == (True, False)
    assert reading.usage == {Unit.INPUT: 3, Unit.REQUEST: 1}


def test_no_error_is_none() -> None:
    assert not read(answer(OPENAI_USAGE, error=None)).is_error
    assert not read(answer(OPENAI_USAGE)).is_error


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b" ", b"[]", b'"text"', b"null", b"7", b"<html>Bad gateway</html>", b"{", b'{"usage":}'),
        *(b"\xff\xfe", b"[DONE", b"{'a':1}", b'{"a":1}{"b":2}', b"data: {}"),
        b'{"x":' + b"[" * 100_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_json_object_is_unreadable(data: bytes) -> None:
    assert read(data) is UNREADABLE
    assert not UNREADABLE.is_readable


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_read_without_an_exception(data: bytes) -> None:
    assert isinstance(read(data), openai.Reading)


ODD_FIELDS = (
    rb'"temperature":1.10,"seed":123456789012345678901234567890,"top_p":1E-2,'
    rb'"user":"\u00e9\ud83d\ude00\/","messages":[ {"role":"user","content":"a\u0000b"} ],'
    rb'"unknown":{"b":1,"a":{"b":2,"b":3}},"nothing":null,"exact":0.1000000000000000055511151231257827'
)


@pytest.mark.parametrize("stream", [False, True])
def test_every_field_but_the_model_is_passed_on_byte_for_byte(stream: bool) -> None:
    sent = decode_fields(b'{"model":"openai/gpt-4o",' + ODD_FIELDS + b"}")
    body = request_body(sent, "gpt-4o-2024-08-06", stream=stream)
    start, end = b'{"model":"gpt-4o-2024-08-06",', b',"stream_options":{"include_usage":true}}'
    passed = {name: bytes(raw) for name, raw in decode_fields(body).items()}
    for name, raw in sent.items():
        if name != "model":
            assert passed[name] == bytes(raw), name
    assert body.startswith(start)
    assert body.endswith(end) == stream
    assert body.count(rb'"a":{"b":2,"b":3}') == 1


def test_usage_is_asked_for_in_streams_and_other_options_stay() -> None:
    def options(stream_options: bytes | None, *, stream: bool = True) -> object:
        given_options = b"" if stream_options is None else b',"stream_options":' + stream_options
        fields = decode_fields(b'{"model":"m"' + given_options + b"}")
        return json.loads(request_body(fields, "m", stream=stream)).get("stream_options")

    asked = {"include_usage": True}
    assert options(None) == options(b"null") == options(b"{}") == asked
    assert options(b'{"include_usage":false}') == options(b'{"include_usage":null}') == asked
    assert options(b'{"include_obfuscation":false}') == {"include_obfuscation": False, **asked}
    assert options(None, stream=False) is None
    assert options(b'{"include_usage":false}', stream=False) == {"include_usage": False}


@given(st.text(max_size=30))
@settings(deadline=None)
def test_any_name_of_a_model_is_written_as_json(name: str) -> None:
    body = request_body(decode_fields(b'{"model":"m","n":1}'), name, stream=False)
    assert json.loads(body) == {"model": name, "n": 1}
