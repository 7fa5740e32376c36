"""Labels and end users: what callers say, bounded before it is kept."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.errors import BadRequest
from tollway.domain.labels import MAX_LABELS, end_user, parse_labels


def test_names_and_values_are_strings_in_lower_case() -> None:
    header = b'{"Team": "Search", "beta": true, "tries": 3, "where": {"A": [1]}, "none": null}'
    assert parse_labels(header) == {
        "team": "search",
        "beta": "true",
        "tries": "3",
        "where": "{'a': [1]}",
        "none": "none",
    }


def test_no_header_and_an_empty_object_are_no_labels() -> None:
    assert parse_labels(None) == parse_labels(b"{}") == {}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"team=search",
        b"[]",
        b'{"a": }',
        b"\xff",
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
        b'{"a": ' + b"1" * 5_000 + b"}",
        b'{"a": 1e999}',
        b'{"": "x"}',
        b'{"%s": "x"}' % (b"n" * 65),
        b'{"a": "%s"}' % (b"v" * 257),
        b'{"a": "\\u0000"}',
        b'{"a\\n": "x"}',
        b'{"a": "\\ud800"}',
        msgspec.json.encode({str(number): "" for number in range(MAX_LABELS + 1)}),
    ],
)
def test_what_cannot_be_kept_is_refused_by_the_header_s_name(header: bytes) -> None:
    with pytest.raises(BadRequest, match="Tollway-Labels") as refused:
        parse_labels(header)
    assert refused.value.param == "Tollway-Labels"


@given(st.binary(max_size=200) | st.text().map(lambda text: msgspec.json.encode({"a": text})))
@settings(deadline=None, max_examples=200)
def test_whatever_comes_is_refused_or_fit_for_every_database(header: bytes) -> None:
    try:
        found = parse_labels(header)
    except BadRequest:
        return
    assert all(name.isprintable() and value.isprintable() for name, value in found.items())


def test_an_end_user_is_never_refused_but_made_fit() -> None:
    assert end_user(None) is None
    assert end_user("") is None
    assert end_user("User-1") == "User-1"
    assert end_user("a\x00b") == "a\ufffdb"
    assert end_user("x" * 1_000) == "x" * 256
