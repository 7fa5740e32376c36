"""What is encoded is what another reader decodes: the double's decoder, which is not ours."""

import base64
import itertools
import math
import struct
import sys
from collections.abc import Sequence
from typing import Literal

import aiohttp
import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world.clock import NOON_US
from tollway.demo.prometheus import PrometheusReceiver
from tollway.demo.remote_write import Metadata as Said
from tollway.push.remote_write import (
    HEADERS,
    MAX_SERIES_PER_REQUEST,
    STALE,
    Encoder,
    Protocol,
    batches,
    is_stored,
)
from tollway.push.samples import METADATA, Labels, Metadata, Sample

NOW_MS = NOON_US // 1000
INTERVAL_MS = 15_000

X: Labels = (("__name__", "x"),)
Y: Labels = (("__name__", "y"),)

metric_names = st.text("aZ_:", min_size=1, max_size=8)
label_names = st.text("bY_", min_size=1, max_size=8)
label_values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
values = st.one_of(st.floats(), st.integers(0, 2**70).map(float), st.just(STALE))
protocols = st.sampled_from(Protocol)
each_protocol = pytest.mark.parametrize("protocol", Protocol)


@st.composite
def series(draw: st.DrawFn) -> Labels:
    labels = draw(st.dictionaries(label_names, label_values, max_size=4))
    return tuple(sorted({**labels, "__name__": draw(metric_names)}.items()))


@st.composite
def pushes(draw: st.DrawFn) -> list[list[Sample]]:
    """Pictures of which each has some of the same few series, in any order."""
    known = draw(st.lists(series(), min_size=1, max_size=6, unique=True))
    sample = st.builds(Sample, st.sampled_from(known), values)
    picture = st.lists(sample, unique_by=lambda one: one.labels)
    return draw(st.lists(picture, min_size=1, max_size=5))


def receiver(now_ms: int = NOW_MS) -> PrometheusReceiver:
    return PrometheusReceiver(user="u", token="t", now=lambda: now_ms / 1000, accepts="2.0")


def encoded(protocol: Protocol, samples: Sequence[Sample], at_ms: int = NOW_MS) -> bytes:
    return Encoder(protocol, METADATA).encode(samples, at_ms)


def raw(body: bytes) -> bytes:
    return bytes(cramjam.snappy.decompress_raw(body))


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def kept(double: PrometheusReceiver) -> dict[Labels, list[tuple[int, bytes]]]:
    return {
        labels: [(at_ms, bits(value)) for at_ms, value in taken] for labels, taken in double.series().items()
    }


@settings(deadline=None, max_examples=100)
@given(protocols, pushes())
def test_samples_arrive_exactly_as_they_were_while_series_come_and_go(
    protocol: Protocol, sent: list[list[Sample]]
) -> None:
    double, anew = receiver(), receiver()
    encoder = Encoder(protocol, METADATA)
    expected: dict[Labels, list[tuple[int, bytes]]] = {}
    for at_ms, picture in zip(itertools.count(NOW_MS, INTERVAL_MS), sent, strict=False):
        assert double.receive(encoder.encode(picture, at_ms), HEADERS[protocol]) == (204, "")
        assert anew.receive(encoded(protocol, picture, at_ms), HEADERS[protocol]) == (204, "")
        for sample in picture:
            expected.setdefault(sample.labels, []).append((at_ms, bits(sample.value)))
    assert kept(double) == kept(anew) == expected
    assert double.silently_dropped == []


@each_protocol
@pytest.mark.parametrize(
    "value", [0.0, -0.0, math.inf, -math.inf, math.nan, STALE, 5e-324, 1.7976931348623157e308, 2.0**53, 0.1]
)
def test_a_double_keeps_its_bits(protocol: Protocol, value: float) -> None:
    double = receiver()
    double.receive(encoded(protocol, [Sample(X, value)]), HEADERS[protocol])
    assert kept(double) == {X: [(NOW_MS, bits(value))]}


def test_a_stale_marker_is_the_one_of_the_specification() -> None:
    assert bits(STALE) == (0x7FF0000000000002).to_bytes(8, "little")
    assert bits(math.nan) != bits(STALE)


@each_protocol
@pytest.mark.parametrize("chars", [1, 126, 127, 128, 129, 16_383, 16_384, 70_000])
def test_lengths_around_each_size_of_a_varint_are_right(protocol: Protocol, chars: int) -> None:
    double = receiver()
    labels = (("__name__", "x"), ("long", "v" * chars))
    assert double.receive(encoded(protocol, [Sample(labels, 1.0)]), HEADERS[protocol])[0] == 204
    assert double.series() == {labels: [(NOW_MS, 1.0)]}


@each_protocol
def test_more_symbols_than_one_byte_can_name_are_right(protocol: Protocol) -> None:
    double = receiver()
    picture = [Sample((("__name__", "x"), ("n", str(number))), float(number)) for number in range(2_000)]
    assert double.receive(encoded(protocol, picture), HEADERS[protocol]) == (204, "")
    assert double.series() == {sample.labels: [(NOW_MS, sample.value)] for sample in picture}


@each_protocol
def test_times_of_any_size_follow_one_another(protocol: Protocol) -> None:
    times_ms = [0, 1, 127, 128, 16_383, 16_384, 2**41, 2**42, 2**49, 2**56, 2**62]
    double = receiver(now_ms=times_ms[-1])
    encoder = Encoder(protocol, METADATA)
    for at_ms in times_ms:
        assert double.receive(encoder.encode([Sample(X, 1.0)], at_ms), HEADERS[protocol]) == (204, "")
    assert double.series() == {X: [(at_ms, 1.0) for at_ms in times_ms]}


@each_protocol
def test_the_same_series_in_another_order_make_the_request_of_the_push_before(protocol: Protocol) -> None:
    picture = [Sample((("__name__", "x"), ("n", str(number))), float(number)) for number in range(50)]
    encoder = Encoder(protocol, METADATA)
    encoder.encode(picture, NOW_MS)
    anew = encoded(protocol, picture, NOW_MS + INTERVAL_MS)
    assert encoder.encode(picture[::-1], NOW_MS + INTERVAL_MS) == anew
    assert encoded(protocol, picture[::-1], NOW_MS + INTERVAL_MS) != anew


@each_protocol
def test_of_two_samples_of_a_series_the_last_counts(protocol: Protocol) -> None:
    encoder = Encoder(protocol, METADATA)
    pictures = [
        [Sample(X, 1.0), Sample(X, 2.0)],
        [Sample(X, 3.0), Sample(Y, 4.0)],
        [Sample(Y, 5.0), Sample(Y, 6.0)],  # as many as before, of which one is not there
    ]
    double = receiver()
    for at_ms, picture in zip(itertools.count(NOW_MS), pictures, strict=False):
        assert double.receive(encoder.encode(picture, at_ms), HEADERS[protocol]) == (204, "")
    assert double.series() == {
        X: [(NOW_MS, 2.0), (NOW_MS + 1, 3.0)],
        Y: [(NOW_MS + 1, 4.0), (NOW_MS + 2, 6.0)],
    }


@each_protocol
def test_what_left_the_picture_leaves_requests_at_once_and_memory_two_pushes_on(protocol: Protocol) -> None:
    encoder = Encoder(protocol, METADATA)
    gone: Labels = (("__name__", "x"), ("model", "one-that-left"))
    at_rest = sys.getrefcount(gone)
    assert b"one-that-left" in raw(encoder.encode([Sample(X, 1.0), Sample(gone, 1.0)], NOW_MS))
    assert sys.getrefcount(gone) > at_rest
    for push in (1, 2):
        assert b"one-that-left" not in raw(encoder.encode([Sample(X, 1.0)], NOW_MS + push))
    assert sys.getrefcount(gone) == at_rest


@each_protocol
def test_the_requests_of_one_push_do_not_crowd_each_other_out(protocol: Protocol) -> None:
    parts = [
        [Sample((("__name__", "x"), ("n", f"{part}.{number}")), float(number)) for number in range(20)]
        for part in range(4)
    ]
    encoder, double = Encoder(protocol, METADATA), receiver()
    for at_ms in (NOW_MS, NOW_MS + INTERVAL_MS, NOW_MS + 2 * INTERVAL_MS):
        for part in parts:
            body = encoder.encode(part, at_ms)
            assert double.receive(body, HEADERS[protocol]) == (204, "")
            # It is still known: another order of its series makes the very same bytes.
            assert encoder.encode(part[::-1], at_ms) == body
    assert double.series() == {
        sample.labels: [(NOW_MS + push * INTERVAL_MS, sample.value) for push in range(3)]
        for part in parts
        for sample in part
    }


@each_protocol
def test_a_push_of_nothing_is_a_message_too(protocol: Protocol) -> None:
    double = receiver()
    assert double.receive(encoded(protocol, []), HEADERS[protocol]) == (204, "")
    assert double.series() == {}


@each_protocol
def test_each_of_our_metrics_says_type_help_and_unit(protocol: Protocol) -> None:
    double = receiver()
    names = [
        f"{name}{part}"
        for name, known in METADATA.items()
        for part in (("_bucket", "_sum", "_count") if known.type == "histogram" else ("",))
    ]
    picture = [Sample((("__name__", name),), 1.0) for name in names]
    assert double.receive(encoded(protocol, picture), HEADERS[protocol]) == (204, "")
    assert double.metadata == {name: Said(*known) for name, known in METADATA.items()}
    assert {"counter", "gauge", "histogram"} == {said.type for said in double.metadata.values()}


@each_protocol
def test_metadata_is_sent_of_what_is_in_the_request_alone(protocol: Protocol) -> None:
    metadata = {
        "took_seconds": Metadata("histogram", "How long. Größe: ÷", "seconds"),
        "calls": Metadata("counter", "How many.", ""),
        "other": Metadata("gauge", "Not in it.", ""),
    }
    names = ["took_seconds_sum", "calls", "calls_count", "other_bucket", "took_seconds_total", "unheard_of"]
    picture = [Sample((("A", "before the name"), ("__name__", name)), 1.0) for name in names]
    double = receiver()
    body = Encoder(protocol, metadata).encode(picture, NOW_MS)
    assert double.receive(body, HEADERS[protocol]) == (204, "")
    assert double.metadata == {name: Said(*metadata[name]) for name in ("took_seconds", "calls")}
    assert len(double.series()) == len(names)


def test_symbols_are_said_before_any_series_and_the_first_is_empty() -> None:
    message = raw(encoded(Protocol.V2, [Sample(X, 1.0), Sample(Y, 1.0)]))
    assert message.startswith(b"\x22\x00\x22\x08__name__\x22\x01x")
    assert message.count(b"__name__") == 1
    assert message.rindex(b"\x22\x01y") < message.index(b"\x2a")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 3 * MAX_SERIES_PER_REQUEST + 1))
def test_a_request_has_at_most_two_thousand_series_and_none_is_lost(count: int) -> None:
    whole = [Sample((("__name__", "x"), ("n", str(number))), 1.0) for number in range(count)]
    made = batches(iter(whole))
    assert [sample for batch in made for sample in batch] == whole
    assert all(0 < len(batch) <= 2_000 for batch in made)
    assert len(made) == math.ceil(count / 2_000)


@pytest.mark.parametrize(
    ("headers", "proves_it"),
    [
        ({}, False),
        ({"Content-Length": "0", "X-Prometheus-Remote-Write-Version": "2.0.0"}, False),
        ({"X-Prometheus-Remote-Write-Samples-Written": "50"}, True),
        ({"X-Prometheus-Remote-Write-Samples-Written": "0"}, True),
        ({"X-Prometheus-Remote-Write-Histograms-Written": "0"}, True),
        ({"X-Prometheus-Remote-Write-Exemplars-Written": "0"}, True),
    ],
)
def test_any_written_header_proves_that_2_0_is_read(headers: dict[str, str], proves_it: bool) -> None:
    assert is_stored(headers) is proves_it


@pytest.mark.parametrize(
    ("accepts", "status", "proves_it"), [("1.0", 204, False), ("2.0", 204, True), ("415", 415, False)]
)
async def test_the_answer_to_2_0_proves_whether_it_was_stored(
    accepts: Literal["1.0", "2.0", "415"], status: int, proves_it: bool
) -> None:
    double = receiver()
    double.accepts = accepts
    authorization = {"Authorization": "Basic " + base64.b64encode(b"u:t").decode()}
    async with double, aiohttp.ClientSession(headers=authorization) as client:
        body = encoded(Protocol.V2, [Sample(X, 1.0)])
        url = double.url + "/api/v1/write"
        async with client.post(url, data=body, headers=HEADERS[Protocol.V2]) as answer:
            assert answer.status == status
            assert is_stored(answer.headers) is proves_it is bool(double.series())
    (request,) = double.requests
    assert request.headers["X-Prometheus-Remote-Write-Version"] == "2.0.0"
    assert request.headers["Content-Type"] == "application/x-protobuf;proto=io.prometheus.write.v2.Request"


def test_1_0_is_announced_as_its_specification_says() -> None:
    assert HEADERS[Protocol.V1] == {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
