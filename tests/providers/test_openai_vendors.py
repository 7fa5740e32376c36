"""OpenAI's dialect as others speak it: what their numbers include, and fields of their own."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.usage import Unit, completion_tokens, prompt_tokens
from tollway.providers.openai import read

Json = Mapping[str, object]


def answer(usage: object, annotations: object = None, **fields: object) -> bytes:
    message = {"role": "assistant", "content": "Hello", "annotations": annotations}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return msgspec.json.encode({"choices": [choice], "usage": usage, **fields})


def units(usage: object, **fields: object) -> dict[Unit, int] | None:
    found = read(answer(usage, **fields)).usage
    return None if found is None else dict(found)


def counted(prompted: int, completed: int, total: int | None, **details: object) -> dict[Unit, int]:
    usage = {"prompt_tokens": prompted, "completion_tokens": completed, "total_tokens": total, **details}
    found = units(usage)
    assert found is not None
    return found


def inside(**prompt: int) -> Json:
    return {"prompt_tokens_details": prompt}


def test_what_only_the_total_holds_is_thought() -> None:
    assert counted(9, 3, 105) == {Unit.INPUT: 9, Unit.OUTPUT: 3, Unit.REASONING: 93, Unit.REQUEST: 1}
    assert counted(9, 0, 69) == {Unit.INPUT: 9, Unit.REASONING: 60, Unit.REQUEST: 1}


def test_a_total_that_is_smaller_than_its_parts_changes_nothing() -> None:
    assert counted(9, 3, 5) == counted(9, 3, None) == {Unit.INPUT: 9, Unit.OUTPUT: 3, Unit.REQUEST: 1}


def test_a_total_without_both_of_its_parts_proves_no_thought() -> None:
    assert units({"prompt_tokens": 8, "total_tokens": 20}) == {Unit.INPUT: 8, Unit.REQUEST: 1}
    assert units({"completion_tokens": 8, "total_tokens": 20}) == {Unit.OUTPUT: 8, Unit.REQUEST: 1}


def test_reasoning_that_does_not_explain_the_total_lies_inside_as_openai_has_it() -> None:
    reasoned = {"completion_tokens_details": {"reasoning_tokens": 4}}
    assert counted(10, 6, 30, **reasoned) == {
        Unit.INPUT: 10,
        Unit.OUTPUT: 2,
        Unit.REASONING: 4,
        Unit.REQUEST: 1,
    }


def test_cached_tokens_that_do_not_fit_into_the_prompt_lie_outside_of_it_if_the_total_holds_them() -> None:
    """As of a gateway that passes Anthropic's numbers on. They are not taken for thought."""
    assert counted(100, 5, 1105, **inside(cached_tokens=700, cache_write_tokens=300)) == {
        Unit.INPUT: 100,
        Unit.CACHE_READ: 700,
        Unit.CACHE_WRITE_5M: 300,
        Unit.OUTPUT: 5,
        Unit.REQUEST: 1,
    }


def test_a_token_that_must_be_both_cached_and_audio_is_counted_once() -> None:
    assert counted(1000, 1, 1001, **inside(cached_tokens=800, audio_tokens=900)) == {
        Unit.CACHE_READ: 100,
        Unit.CACHE_READ_AUDIO: 700,
        Unit.INPUT_AUDIO: 200,
        Unit.OUTPUT: 1,
        Unit.REQUEST: 1,
    }


def test_a_token_that_must_be_both_cached_and_of_an_image_is_a_cached_one() -> None:
    assert counted(1000, 1, 1001, **inside(cached_tokens=800, image_tokens=900)) == {
        Unit.CACHE_READ: 800,
        Unit.INPUT_IMAGE: 200,
        Unit.OUTPUT: 1,
        Unit.REQUEST: 1,
    }


sizes = st.integers(0, 100_000)


@given(sizes, sizes, sizes, sizes, sizes, sizes)
@settings(deadline=None, max_examples=200)
def test_parts_that_overlap_inside_the_prompt_still_sum_to_it(
    plain: int, cached: int, audio: int, image: int, cached_audio: int, cached_image: int
) -> None:
    prompted = plain + cached + audio + image + cached_audio + cached_image
    found = counted(
        prompted,
        7,
        prompted + 7,
        **inside(
            cached_tokens=cached + cached_audio + cached_image,
            audio_tokens=audio + cached_audio,
            image_tokens=image + cached_image,
        ),
    )
    assert prompt_tokens(found) == prompted
    assert completion_tokens(found) == 7
    assert found.get(Unit.CACHE_READ, 0) + found.get(Unit.CACHE_READ_AUDIO, 0) == (
        cached + cached_audio + cached_image
    )
    assert found.get(Unit.INPUT_AUDIO, 0) + found.get(Unit.CACHE_READ_AUDIO, 0) == audio + cached_audio


def test_images_are_units_of_their_own() -> None:
    details = {"completion_tokens_details": {"image_tokens": 1290}}
    assert counted(300, 1300, 1600, **inside(image_tokens=258), **details) == {
        Unit.INPUT: 42,
        Unit.INPUT_IMAGE: 258,
        Unit.OUTPUT: 10,
        Unit.OUTPUT_IMAGE: 1290,
        Unit.REQUEST: 1,
    }


@pytest.mark.parametrize("field", ["prompt_cache_hit_tokens", "cached_tokens"])
def test_cache_hits_beside_the_prompt_are_read_where_no_detail_tells_them(field: str) -> None:
    hit = {Unit.INPUT: 6, Unit.CACHE_READ: 4, Unit.OUTPUT: 1, Unit.REQUEST: 1}
    assert counted(10, 1, 11, **{field: 4}) == hit
    assert counted(10, 1, 11, **{field: 9}, **inside(cached_tokens=4)) == hit
    assert Unit.CACHE_READ not in counted(10, 1, 11, **{field: 9}, **inside(cached_tokens=0))


def test_perplexity_s_reasoning_and_citations_lie_outside_of_its_completion() -> None:
    own = {"citation_tokens": 20, "reasoning_tokens": 3, "num_search_queries": 2}
    assert counted(10, 5, 15, **own) == {
        Unit.INPUT: 10,
        Unit.OUTPUT: 5,
        Unit.REASONING: 3,
        Unit.CITATION: 20,
        Unit.REQUEST: 1,
        Unit.WEB_SEARCH: 2,
    }


@pytest.mark.parametrize("own", [{"reasoning_tokens": 3}, {"reasoning_tokens": 3, "citation_tokens": None}])
def test_reasoning_beside_the_completion_is_inside_of_it_for_all_others(own: Json) -> None:
    assert counted(10, 5, 15, **own) == {Unit.INPUT: 10, Unit.OUTPUT: 5, Unit.REQUEST: 1}


def test_audio_that_is_sold_by_the_second_is_not_counted_in_tokens_too() -> None:
    seconds = {Unit.INPUT: 3, Unit.OUTPUT: 41, Unit.REQUEST: 1, Unit.INPUT_AUDIO_SECONDS: 12}
    assert counted(3, 41, 419, prompt_audio_seconds=12) == seconds
    assert counted(3, 41, 419, prompt_audio_seconds=12, **inside(audio_tokens=375)) == seconds


def test_searches_are_counted_where_a_number_is_reported_or_the_web_is_cited() -> None:
    cited = [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    several = {**usage, "server_tool_use": {"web_search_requests": 3}}
    assert (units(usage) or {}).get(Unit.WEB_SEARCH) is None
    assert (units(usage, annotations=[]) or {}).get(Unit.WEB_SEARCH) is None
    assert (units(usage, annotations=[{"type": "file_citation"}]) or {}).get(Unit.WEB_SEARCH) is None
    assert (units(usage, annotations=cited) or {}).get(Unit.WEB_SEARCH) == 1
    assert (units(several, annotations=cited) or {}).get(Unit.WEB_SEARCH) == 3
    assert (units({**several, "num_search_queries": 2}) or {}).get(Unit.WEB_SEARCH) == 2


def test_groq_s_usage_is_read_from_its_own_field_and_the_usual_one_wins() -> None:
    theirs = {"id": "req_1", "usage": {"prompt_tokens": 4, "completion_tokens": 2}}
    found = {Unit.INPUT: 4, Unit.OUTPUT: 2, Unit.REQUEST: 1}
    assert units(None, x_groq=theirs) == found
    assert units(None, x_groq=theirs, service_tier=5) == found
    assert units({"prompt_tokens": 9}, x_groq=theirs) == {Unit.INPUT: 9, Unit.REQUEST: 1}
    assert units(None, x_groq={"id": "req_1"}) is None
    assert units(None, x_groq="req_1") is None


ODD: tuple[object, ...] = (None, {}, [], "many", True, -1, 12.5, 1e300)


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    "field",
    [
        "prompt_cache_hit_tokens",
        "cached_tokens",
        "num_search_queries",
        "prompt_audio_seconds",
        "server_tool_use",
        "reasoning_tokens",
        "cost",
    ],
)
def test_an_odd_field_of_a_vendor_s_own_costs_nothing_else(field: str, odd: object) -> None:
    assert counted(10, 5, 15, **{field: odd}) == {Unit.INPUT: 10, Unit.OUTPUT: 5, Unit.REQUEST: 1}


def test_a_running_usage_in_every_chunk_rises_and_the_last_counts() -> None:
    seen = []
    for completed in (0, 1, 17):
        choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
        usage = {"prompt_tokens": 33, "total_tokens": 33 + completed, "completion_tokens": completed}
        reading = read(msgspec.json.encode({"choices": [choice], "usage": usage}))
        assert reading.usage is not None
        assert not reading.is_usage_only
        seen.append(reading.usage.get(Unit.OUTPUT, 0))
    assert seen == [0, 1, 17]
