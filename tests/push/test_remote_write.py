"""What is encoded is what another reader decodes: the double's decoder, which is not ours."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.push.entries import texts
from tests.world.clock import NOON_US
from tollway.demo.prometheus import PrometheusReceiver
from tollway.push.remote_write import HEADERS, MAX_SERIES_PER_REQUEST, batches, encode
from tollway.push.samples import Sample

NOW_MS = NOON_US // 1000

metric_names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", fullmatch=True)
label_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True).filter(lambda n: n != "__name__")
values = st.one_of(st.floats(allow_nan=False), st.integers(0, 2**70).map(float))


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    labels = draw(st.dictionaries(label_names, texts, max_size=8))
    labels["__name__"] = draw(metric_names)
    return Sample(tuple(sorted(labels.items())), draw(values))


def receiver() -> PrometheusReceiver:
    return PrometheusReceiver(user="u", token="t", now=lambda: NOON_US / 1e6)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(samples(), max_size=30, unique_by=lambda sample: sample.labels),
    st.integers(0, NOW_MS),
)
def test_samples_arrive_exactly_as_they_were(sent: list[Sample], at_ms: int) -> None:
    double = receiver()
    assert double.receive(encode(sent, at_ms), HEADERS) == (204, "")
    assert double.silently_dropped == []
    assert double.series() == {sample.labels: [(at_ms, sample.value)] for sample in sent}


@pytest.mark.parametrize("value", [0.0, -0.0, math.inf, 5e-324, 1.7976931348623157e308, 2.0**53, 0.1])
def test_a_double_keeps_its_bits(value: float) -> None:
    double = receiver()
    double.receive(encode([Sample((("__name__", "x"),), value)], NOW_MS), HEADERS)
    ((_, stored),) = double.series()[("__name__", "x"),]
    assert struct.pack("<d", stored) == struct.pack("<d", value)


@pytest.mark.parametrize("chars", [1, 126, 127, 128, 129, 16_383, 16_384, 70_000])
def test_lengths_around_each_size_of_a_varint_are_right(chars: int) -> None:
    double = receiver()
    labels = (("__name__", "x"), ("long", "v" * chars))
    assert double.receive(encode([Sample(labels, 1.0)], NOW_MS), HEADERS)[0] == 204
    assert double.series() == {labels: [(NOW_MS, 1.0)]}


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 3 * MAX_SERIES_PER_REQUEST + 1))
def test_a_request_has_at_most_two_thousand_series_and_none_is_lost(count: int) -> None:
    whole = [Sample((("__name__", "x"), ("n", str(number))), 1.0) for number in range(count)]
    made = batches(iter(whole))
    assert [sample for batch in made for sample in batch] == whole
    assert all(0 < len(batch) <= 2_000 for batch in made)
    assert len(made) == math.ceil(count / 2_000)
