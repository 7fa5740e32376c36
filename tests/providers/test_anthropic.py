"""Anthropic's dialect: cached tokens lie outside of the input, and a stream's totals run."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.usage import Unit, completion_tokens, prompt_tokens
from tollway.providers.anthropic import UsageReader

Json = Mapping[str, object]


def whole(usage: object) -> bytes:
    content = [{"type": "text", "text": "Hello"}]
    return msgspec.json.encode({"type": "message", "content": content, "usage": usage})


def began(usage: object) -> bytes:
    return msgspec.json.encode({"type": "message_start", "message": {"type": "message", "usage": usage}})


def ended(usage: object) -> bytes:
    return msgspec.json.encode(
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    )


TEXT = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}'


def after(*events: bytes) -> UsageReader:
    reader = UsageReader()
    for event in events:
        reader.read(event)
    return reader


def units(usage: object) -> dict[Unit, int] | None:
    found = after(whole(usage)).usage
    return None if found is None else dict(found)


def test_cached_tokens_are_added_to_the_input_and_not_taken_out_of_it() -> None:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 500, "output_tokens": 3}
    found = units(usage)
    assert found == {Unit.INPUT: 10, Unit.CACHE_READ: 500, Unit.OUTPUT: 3, Unit.REQUEST: 1}
    assert prompt_tokens(found) == 510


@pytest.mark.parametrize(
    ("created", "split", "for_5m", "for_1h"),
    [
        (700, None, 700, 0),
        (700, {}, 700, 0),
        (700, {"ephemeral_5m_input_tokens": 700, "ephemeral_1h_input_tokens": 0}, 700, 0),
        (700, {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 300}, 400, 300),
        (700, {"ephemeral_1h_input_tokens": 300}, 400, 300),
        (None, {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3}, 4, 3),
        (5, {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 300}, 400, 300),
        (700, {"ephemeral_5m_input_tokens": -1, "ephemeral_1h_input_tokens": "x"}, 700, 0),
        (700, "none", 700, 0),
    ],
)
def test_what_was_written_to_the_cache_is_split_by_how_long_it_is_kept(
    created: int | None, split: object, for_5m: int, for_1h: int
) -> None:
    usage = {"input_tokens": 1, "cache_creation_input_tokens": created, "cache_creation": split}
    found = units(usage) or {}
    assert (found.get(Unit.CACHE_WRITE_5M, 0), found.get(Unit.CACHE_WRITE_1H, 0)) == (for_5m, for_1h)


def test_thinking_is_taken_out_of_the_output_that_it_lies_in() -> None:
    thought = {"input_tokens": 1, "output_tokens": 350, "output_tokens_details": {"thinking_tokens": 128}}
    assert units(thought) == {Unit.INPUT: 1, Unit.OUTPUT: 222, Unit.REASONING: 128, Unit.REQUEST: 1}
    assert units({**thought, "output_tokens": 100}) == {Unit.INPUT: 1, Unit.REASONING: 128, Unit.REQUEST: 1}
    assert units({**thought, "output_tokens_details": None}) == {
        Unit.INPUT: 1,
        Unit.OUTPUT: 350,
        Unit.REQUEST: 1,
    }


def test_a_compacting_pass_is_billed_on_top_of_the_totals_and_no_other_is() -> None:
    passes = [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 30, "cache_read_input_tokens": 7},
        {"type": "compaction", "cache_creation_input_tokens": 5},
        {"type": "message", "input_tokens": 23, "output_tokens": 10},
        {"type": "advisor_message", "input_tokens": 999, "output_tokens": 999},
        {"input_tokens": 999},
    ]
    assert units({"input_tokens": 23, "output_tokens": 10, "iterations": passes}) == {
        Unit.INPUT: 123,
        Unit.CACHE_READ: 7,
        Unit.CACHE_WRITE_5M: 5,
        Unit.OUTPUT: 40,
        Unit.REQUEST: 1,
    }


def test_searches_are_counted_and_fetches_are_not() -> None:
    tools = {"web_search_requests": 2, "web_fetch_requests": 9}
    assert (units({"input_tokens": 1, "server_tool_use": tools}) or {}).get(Unit.WEB_SEARCH) == 2


def test_a_stream_s_beginning_is_no_final_report() -> None:
    """Its output is a placeholder: who leaves then was served more than that."""
    reader = after(began({"input_tokens": 25, "output_tokens": 1}), TEXT)
    assert reader.usage == {Unit.INPUT: 25, Unit.OUTPUT: 1, Unit.REQUEST: 1}
    assert not reader.is_final
    reader.read(ended({"output_tokens": 15}))
    assert reader.usage == {Unit.INPUT: 25, Unit.OUTPUT: 15, Unit.REQUEST: 1}
    assert reader.is_final


def test_running_totals_replace_each_other_and_are_not_added_up() -> None:
    reader = after(
        began({"input_tokens": 25, "cache_read_input_tokens": 5, "output_tokens": 1}),
        ended({"output_tokens": 15, "server_tool_use": {"web_search_requests": 1}}),
        ended({"input_tokens": 60, "output_tokens": 40, "server_tool_use": {"web_search_requests": 2}}),
    )
    assert reader.usage == {
        Unit.INPUT: 60,
        Unit.CACHE_READ: 5,
        Unit.OUTPUT: 40,
        Unit.REQUEST: 1,
        Unit.WEB_SEARCH: 2,
    }


def test_what_an_event_does_not_say_again_or_says_is_null_stays() -> None:
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 300}
    reader = after(
        began({"input_tokens": 25, "cache_creation_input_tokens": 300, "cache_creation": split}),
        ended({"input_tokens": None, "output_tokens": 15, "cache_creation": None, "service_tier": None}),
    )
    assert reader.usage == {Unit.INPUT: 25, Unit.CACHE_WRITE_1H: 300, Unit.OUTPUT: 15, Unit.REQUEST: 1}


@pytest.mark.parametrize("tier", ["standard", "priority", "batch"])
def test_the_tier_is_read_and_kept(tier: str) -> None:
    assert after(whole({"input_tokens": 1, "service_tier": tier})).service_tier == tier
    stream = after(began({"input_tokens": 1, "service_tier": tier}), ended({"output_tokens": 1}))
    assert stream.service_tier == tier


@pytest.mark.parametrize("tier", [None, 5, {}, "a b", "x" * 65, ""])
def test_a_tier_that_is_no_word_is_left_out(tier: object) -> None:
    reader = after(whole({"input_tokens": 1, "service_tier": tier}))
    assert (reader.service_tier, reader.usage) == (None, {Unit.INPUT: 1, Unit.REQUEST: 1})


@pytest.mark.parametrize("count", ["12", 12.0])
def test_a_count_in_an_odd_type_is_still_the_count(count: object) -> None:
    assert units({"input_tokens": count}) == {Unit.INPUT: 12, Unit.REQUEST: 1}


@pytest.mark.parametrize("count", [-1, 12.5, "a dozen", [], {}, 1e300, 10**9 + 1, 2**63])
def test_a_count_that_is_none_is_no_report(count: object) -> None:
    reader = after(whole({"input_tokens": count, "output_tokens": 5}))
    assert (reader.usage, reader.is_final) == (None, False)


@pytest.mark.parametrize(
    "odd", [[], "x", 5, {"thinking_tokens": "x"}, [{"type": 5}], {"web_search_requests": {}}]
)
@pytest.mark.parametrize(
    "field", ["output_tokens_details", "server_tool_use", "iterations", "cache_creation"]
)
def test_an_odd_detail_costs_nothing_else(field: str, odd: object) -> None:
    assert units({"input_tokens": 3, "output_tokens": 2, field: odd}) == {
        Unit.INPUT: 3,
        Unit.OUTPUT: 2,
        Unit.REQUEST: 1,
    }


@pytest.mark.parametrize(
    "data",
    [
        *(TEXT, b'{"type":"ping"}', b'{"type":"message_stop"}', b'{"type":"error","error":{"type":"x"}}'),
        *(b"", b"null", b"[]", b"<html>", b"{", b"[DONE]", b'"\xff"', b'{"usage":5}', b'{"message":"x"}'),
        *(b'{"usage":null}', b'{"usage":{}}', b'{"message":null}', b'{"message":{}}'),
        *(b'{"usage":{"service_tier":"standard"}}', b'{"x":' + b"[" * 100_000 + b"}"),
    ],
    ids=lambda data: repr(data[:24]),
)
def test_what_reports_no_usage_is_skipped(data: bytes) -> None:
    assert after(data).usage is None
    counted = after(began({"input_tokens": 9, "output_tokens": 1}), data, ended({"output_tokens": 4}))
    assert counted.usage == {Unit.INPUT: 9, Unit.OUTPUT: 4, Unit.REQUEST: 1}


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_read_without_an_exception(data: bytes) -> None:
    assert after(data).usage is None


sizes = st.integers(0, 10**6)


@given(sizes, sizes, sizes, sizes, sizes, sizes)
@settings(deadline=None)
def test_units_sum_to_all_that_was_billed_in_one_piece_or_two(
    plain: int, read: int, for_5m: int, for_1h: int, said: int, thought: int
) -> None:
    prompt = {
        "input_tokens": plain,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": for_5m + for_1h,
        "cache_creation": {"ephemeral_5m_input_tokens": for_5m, "ephemeral_1h_input_tokens": for_1h},
    }
    output = {"output_tokens": said + thought, "output_tokens_details": {"thinking_tokens": thought}}
    found = after(whole({**prompt, **output})).usage
    assert found is not None
    assert prompt_tokens(found) == plain + read + for_5m + for_1h
    assert completion_tokens(found) == said + thought
    assert after(began({**prompt, "output_tokens": 1}), TEXT, ended(output)).usage == found
