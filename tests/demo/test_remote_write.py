"""How the double reads messages of both protocols, and which it does not take for one."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.demo.wire import (
    COUNTER,
    GAUGE,
    HISTOGRAM,
    NOW_MS,
    STALE,
    UP,
    a_receiver,
    a_sample,
    a_series,
    chunk,
    number,
    push,
    symbols,
    v1_metadata,
    v2_metadata,
    v2_request,
    v2_series,
)
from tollway.demo.remote_write import MalformedMessageError, Metadata, TimeSeries, read_v1, read_v2

SYMBOLS = symbols("", "__name__", "up", "What it is.", "seconds")
GOOD = v2_series([1, 2], (NOW_MS, 1.0))


def test_series_and_what_is_said_of_their_families_are_read_from_1_0() -> None:
    message = (
        a_series(UP, (-5, 1.0), (NOW_MS, 2.0))
        + v1_metadata(GAUGE, "up", "Whether it is.", "")
        + v1_metadata(HISTOGRAM, "took", "How long.", "seconds")
    )
    request = read_v1(message)
    assert request.series == [TimeSeries(labels=UP, samples=((-5, 1.0), (NOW_MS, 2.0)))]
    assert request.metadata == {
        "up": Metadata("gauge", "Whether it is.", ""),
        "took": Metadata("histogram", "How long.", "seconds"),
    }


def test_exemplars_and_unknown_fields_of_1_0_are_skipped() -> None:
    exemplar = chunk(3, b"?")
    unknown = b"\x3d1234" + b"\x38\x01" + b"\x3912345678"
    name = chunk(1, chunk(1, b"__name__") + chunk(2, b"up") + chunk(9, b"?"))
    series = chunk(1, name + chunk(2, a_sample(NOW_MS, 1.0) + b"\x18\x01") + exemplar + unknown)
    request = read_v1(series + unknown)
    assert request.series == [TimeSeries(labels=(("__name__", "up"),), samples=((NOW_MS, 1.0),))]


def test_a_2_0_message_is_an_empty_one_of_1_0() -> None:
    request = read_v1(v2_request((UP, (NOW_MS, 1.0))))
    assert (request.series, request.metadata) == ([], {})


@pytest.mark.parametrize(
    "message",
    [
        b"\x08\x01",  # a series that is a varint
        b"\x0a\x05abc",  # ends inside a series
        b"\x0a",  # ends before a length
        b"\x0b",  # a group
        b"\x0a" + b"\xff" * 10,  # a varint of more than ten bytes
        chunk(1, chunk(1, chunk(1, b"\xff"))),  # a label that is not UTF-8
        chunk(1, chunk(1, b"\x08\x01")),  # a label name that is a varint
        chunk(1, chunk(2, b"\x08\x01")),  # a value that is a varint
        chunk(1, chunk(2, b"\x0d1234")),  # a value that is a float
        chunk(1, chunk(2, chunk(2, b"1234"))),  # a timestamp that is bytes
        chunk(3, b"metadata"),  # metadata that is text
        v1_metadata(8, "up", "", ""),  # a type there is not
        v1_metadata(COUNTER, "", "Of what?", ""),  # metadata of no family
        v1_metadata(COUNTER, "up", "", "") + v1_metadata(GAUGE, "up", "", ""),  # two of one family
    ],
)
def test_a_malformed_1_0_message_is_answered_400_and_nothing_of_it_is_stored(message: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        read_v1(message)
    receiver = a_receiver()
    assert push(receiver, a_series(UP, (NOW_MS, 1.0)), message)[0] == 400
    assert (receiver.series(), receiver.metadata) == ({}, {})


def test_labels_of_2_0_are_looked_up_among_the_symbols() -> None:
    request = read_v2(v2_request((UP, (NOW_MS, 1.0)), ((("__name__", "job"),), (-5, math.inf))))
    assert request.series == [
        TimeSeries(labels=UP, samples=((NOW_MS, 1.0),)),
        TimeSeries(labels=(("__name__", "job"),), samples=((-5, math.inf),)),
    ]
    assert request.metadata == {}


def test_several_samples_of_a_2_0_series_are_read_and_start_times_and_exemplars_are_skipped() -> None:
    started = chunk(2, a_sample(NOW_MS, 2.0) + number(3, NOW_MS - 1))
    series = v2_series([1, 2], (NOW_MS - 1, 1.0), more=started + chunk(4, b"?") + number(6, 7))
    (read,) = read_v2(SYMBOLS + series).series
    assert read.samples == ((NOW_MS - 1, 1.0), (NOW_MS, 2.0))


@pytest.mark.parametrize("value", [0.0, -0.0, -math.inf, 5e-324, STALE])
def test_a_value_is_read_with_all_its_bits(value: float) -> None:
    ((read,), (other,)) = (
        read_v1(a_series(UP, (NOW_MS, value))).series,
        read_v2(v2_request((UP, (NOW_MS, value)))).series,
    )
    for series in (read, other):
        assert struct.pack("<d", series.samples[0][1]) == struct.pack("<d", value)


@pytest.mark.parametrize("part", ["_bucket", "_sum", "_count"])
def test_what_a_2_0_series_says_is_said_of_its_family(part: str) -> None:
    texts = symbols("", "__name__", f"took{part}", "How long.", "seconds")
    of_histogram = texts + v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(HISTOGRAM, 3, 4))
    assert read_v2(of_histogram).metadata == {"took": Metadata("histogram", "How long.", "seconds")}
    of_counter = texts + v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(COUNTER, 0, 0))
    assert read_v2(of_counter).metadata == {f"took{part}": Metadata("counter", "", "")}


def test_metadata_of_2_0_without_references_has_empty_texts() -> None:
    series = v2_series([1, 2], (NOW_MS, 1.0), more=chunk(5, number(1, GAUGE)))
    assert read_v2(SYMBOLS + series).metadata == {"up": Metadata("gauge", "", "")}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "first symbol"),
        (GOOD, "first symbol"),
        (symbols("__name__", "", "up") + GOOD, "first symbol"),
        (symbols("", "__name__", "up", "up") + GOOD, "repeated symbol"),
        (symbols("", "__name__", "up", "") + GOOD, "repeated symbol"),
        (chunk(4, b"") + chunk(4, b"\xff"), "not UTF-8"),
        (SYMBOLS + v2_series([1, 5], (NOW_MS, 1.0)), "reference 5 is beyond 5 symbols"),
        (SYMBOLS + v2_series([1], (NOW_MS, 1.0)), "no pairs"),
        (SYMBOLS + v2_series([1, 2, 3], (NOW_MS, 1.0)), "no pairs"),
        (SYMBOLS + v2_series([], (NOW_MS, 1.0)), "no pairs"),
        (SYMBOLS + v2_series([1, 2]), "without samples"),
        (SYMBOLS + chunk(5, number(1, 1) + number(1, 2) + chunk(2, a_sample(NOW_MS, 1.0))), "varint"),
        (SYMBOLS + v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(8, 0, 0)), "type 8"),
        (SYMBOLS + v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(COUNTER, 5, 0)), "beyond"),
        (SYMBOLS + v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(COUNTER, 0, 9)), "beyond"),
        (
            SYMBOLS
            + v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(COUNTER, 3, 0))
            + v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(GAUGE, 3, 0)),
            "not clear",
        ),
        (SYMBOLS + a_series(UP, (NOW_MS, 1.0)), "reserved"),
        (SYMBOLS + GOOD[:-1], "unexpected end"),
    ],
)
def test_a_message_that_breaks_2_0_is_none(message: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessageError, match=reason):
        read_v2(message)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_a_message_or_malformed_and_nothing_else(
    junk: bytes, is_behind_a_good_one: bool
) -> None:
    for read, good in ((read_v1, a_series(UP, (NOW_MS, 1.0))), (read_v2, SYMBOLS + GOOD)):
        try:
            request = read(good + junk if is_behind_a_good_one else junk)
        except MalformedMessageError:
            continue
        assert len(request.series) >= is_behind_a_good_one


def test_what_is_left_of_a_message_cut_off_anywhere_is_malformed_or_shorter() -> None:
    whole = SYMBOLS + v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(COUNTER, 3, 4))
    assert len(read_v2(whole).series) == 1
    for length in range(len(whole)):
        try:
            assert read_v2(whole[:length]).series == []
        except MalformedMessageError:
            continue
