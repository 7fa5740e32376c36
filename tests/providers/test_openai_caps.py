"""The cap on an answer's length: what a request states, and what the vendor is sent."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.providers.openai import CAP_FIELDS, CapField, caps, request_body

NEW: CapField = "max_completion_tokens"
OLD: CapField = "max_tokens"

decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def fields(**given: object) -> dict[str, msgspec.Raw]:
    return decode_fields(msgspec.json.encode({"model": "m", **given}))


def sent(cap: int | None, cap_field: CapField, **given: object) -> dict[str, object]:
    body = request_body(fields(**given), "m", stream=False, cap=cap, cap_field=cap_field)
    found: dict[str, object] = json.loads(body)
    assert found.pop("model") == "m"
    return found


def test_the_caps_that_a_request_states() -> None:
    assert caps(fields()) == caps(fields(max_tokens=None, max_completion_tokens=None)) == {}
    assert caps(fields(max_tokens=7, max_completion_tokens=9)) == {OLD: 7, NEW: 9}
    assert caps(fields(max_tokens=7, max_completion_tokens=None)) == {OLD: 7}


@pytest.mark.parametrize("odd", [0, -1, "7", 7.0, True, [7], {}])
def test_what_is_no_cap_is_told_from_one_that_is_not_there(odd: object) -> None:
    assert caps(fields(max_tokens=odd)) == {OLD: 0}


@pytest.mark.parametrize("cap_field", CAP_FIELDS)
def test_a_cap_is_written_into_the_vendor_s_field(cap_field: CapField) -> None:
    assert sent(100, cap_field) == {cap_field: 100}
    nulls = sent(100, cap_field, max_tokens=None, max_completion_tokens=None)
    assert nulls == {NEW: None, OLD: None, cap_field: 100}


@pytest.mark.parametrize("cap_field", CAP_FIELDS)
def test_a_cap_of_the_request_s_own_is_lowered_and_never_raised(cap_field: CapField) -> None:
    assert sent(100, cap_field, max_tokens=500) == {OLD: 100}
    assert sent(100, cap_field, max_tokens=50) == {OLD: 50}
    assert sent(100, cap_field, max_tokens=500, max_completion_tokens=70) == {OLD: 100, NEW: 70}
    assert sent(100, NEW, max_completion_tokens=500) == {NEW: 100}


def test_a_cap_in_a_field_that_the_vendor_may_not_heed_moves_to_the_one_it_does() -> None:
    assert sent(100, OLD, max_completion_tokens=500) == {OLD: 100}
    assert sent(100, OLD, max_completion_tokens=50) == {OLD: 50}
    assert sent(100, OLD, max_completion_tokens=500, max_tokens=None) == {OLD: 100}


@pytest.mark.parametrize("odd", [0, -1, "7", 7.0, True, [7]])
@pytest.mark.parametrize("cap_field", CAP_FIELDS)
def test_what_is_no_cap_is_left_for_the_vendor_to_refuse(odd: object, cap_field: CapField) -> None:
    assert sent(100, cap_field, max_tokens=odd) == {OLD: odd}
    assert sent(100, cap_field, max_completion_tokens=odd) == {NEW: odd}
    assert sent(100, cap_field, max_completion_tokens=500, max_tokens=odd) == {NEW: 100, OLD: odd}


@given(st.dictionaries(st.sampled_from([NEW, OLD, "n", "temperature"]), st.integers() | st.none()))
@settings(deadline=None, max_examples=100)
def test_without_a_cap_nothing_changes(given_fields: dict[str, int | None]) -> None:
    asked = fields(**given_fields)
    for cap_field in CAP_FIELDS:
        assert request_body(asked, "m", stream=False, cap=None, cap_field=cap_field) == msgspec.json.encode(
            asked
        )


def test_a_cap_changes_no_other_field() -> None:
    given_fields = (
        b'{"model":"m","seed":123456789012345678901234567890,"top_p":1E-2,"max_tokens": 9 ,"n":1.0}'
    )
    body = request_body(decode_fields(given_fields), "m", stream=False, cap=3, cap_field=OLD)
    assert body == b'{"model":"m","seed":123456789012345678901234567890,"top_p":1E-2,"max_tokens":3,"n":1.0}'
