"""Events are cut out of a byte stream the same way however it arrives."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tollway.domain.errors import VendorError
from tollway.providers.sse import MAX_EVENT_BYTES, EventSplitter, data_of

STREAM = (
    b'data: {"a":1}\n\n'
    b": a comment\n\n"
    b'event: delta\r\ndata: {"b":2}\r\n\r\n'
    b"data: one\ndata: two\n\n"
    b"data:[DONE]\r\n\r\n"
)
EVENTS = [
    b'data: {"a":1}\n\n',
    b": a comment\n\n",
    b'event: delta\r\ndata: {"b":2}\r\n\r\n',
    b"data: one\ndata: two\n\n",
    b"data:[DONE]\r\n\r\n",
]

pieces = st.lists(
    st.sampled_from([b"data: x", b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b": c", b"a"]), max_size=20
)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]


def split(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events, splitter.rest()


def test_whole_events_come_out_with_the_blank_line_that_ends_them() -> None:
    assert split([STREAM]) == (EVENTS, b"")


def test_byte_by_byte_the_events_are_the_same() -> None:
    assert split([bytes([byte]) for byte in STREAM]) == (EVENTS, b"")


@given(pieces.map(b"".join) | st.just(STREAM), st.lists(st.integers(0, 10_000), max_size=8))
@example(b"data: x\r\n\r\ndata: y\r\n\r\n", [8, 9, 10, 11])
@example(b"a\n\r\n\n\n", [2, 3, 4])
@settings(deadline=None, max_examples=200)
def test_any_splitting_of_any_stream_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    events, rest = split([stream])
    assert split(cut(stream, places)) == (events, rest)
    # Nothing is lost, added or turned around.
    assert b"".join(events) + rest == stream
    assert all(event.endswith((b"\n\n", b"\n\r\n")) for event in events)
    assert not any(end in rest for end in (b"\n\n", b"\n\r\n"))


def test_an_event_that_never_ended_is_the_rest() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n\ndata: 2\n") == [b"data: 1\n\n"]
    assert splitter.rest() == b"data: 2\n"
    assert splitter.feed(b"\n") == [b"data: 2\n\n"]
    assert splitter.rest() == b""


def test_an_event_as_large_as_is_accepted_comes_through_and_one_more_byte_does_not() -> None:
    half = b"x" * (MAX_EVENT_BYTES // 2)
    splitter = EventSplitter()
    assert splitter.feed(half) == []
    assert splitter.feed(half) == []
    (event,) = splitter.feed(b"\n\n")
    assert len(event) == MAX_EVENT_BYTES + 2

    splitter = EventSplitter()
    splitter.feed(half)
    with pytest.raises(VendorError, match="larger than is accepted"):
        splitter.feed(half + b"x")


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b'data: {"a":1}\n\n', b'{"a":1}'),
        (b'data:{"a":1}\n\n', b'{"a":1}'),
        (b'data: {"a":1}\r\n\r\n', b'{"a":1}'),
        (b'data:  {"a":1} \n\n', b' {"a":1}'),
        (b"data: [DONE]\n\n", b"[DONE]"),
        (b"data: [DONE]\r\n\r\n", b"[DONE]"),
        (b"\ndata: [DONE]\n\n", b"[DONE]"),
        (b"event: x\nid: 7\ndata: y\nretry: 5\n\n", b"y"),
        (b"event: x\r\nid: 7\r\ndata: y\r\n\r\n", b"y"),
        (b"data: one\ndata: two\n\n", b"one\ntwo"),
        (b"data: one\r\ndata: two\r\n\r\n", b"one\ntwo"),
        (b"data: one\ndata:\ndata: three\n\n", b"one\n\nthree"),
        (b": a comment\n\n", b""),
        (b": a comment\ndata: x\n\n", b"x"),
        (b":data: x\n\n", b""),
        (b"event: ping\n\n", b""),
        (b"mydata: x\n\n", b""),
        (b"\n\n", b""),
        (b"data: \n\n", b""),
    ],
)
def test_the_payload_is_the_data_lines_joined(event: bytes, data: bytes) -> None:
    assert data_of(event) == data


json_lines = st.lists(st.sampled_from([b'{"a":', b'"data: x"', b"}", b"[1,", b"2]"]), min_size=1, max_size=5)


@given(json_lines, st.sampled_from([b"\n", b"\r\n"]), st.booleans())
@settings(deadline=None)
def test_whatever_its_line_ends_and_comments_a_payload_is_the_same(
    lines: list[bytes], end: bytes, has_comment: bool
) -> None:
    event = b"".join(b"data: " + line + end for line in lines) + end
    assert data_of((b": hi" + end if has_comment else b"") + event) == b"\n".join(lines)
