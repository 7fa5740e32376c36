"""Prometheus remote write 1.0: samples to bytes on the wire.

Owns the encoding (protobuf by hand, snappy by `cramjam`) and the headers; does not own what is
sent or when. Source: the Remote-Write 1.0 specification, prometheus.io/docs/specs.
"""

import struct
from collections.abc import Iterable, Sequence

import cramjam

from tollway.push.samples import Sample

MAX_SERIES_PER_REQUEST = 2_000

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

# Protobuf keys: field number << 3 | wire type (1: 64 bit, 2: length-delimited, 0: varint).
_TIMESERIES = b"\x0a"
_LABELS = b"\x0a"
_SAMPLES = b"\x12"
_NAME = b"\x0a"
_VALUE = b"\x12"
_SAMPLE_VALUE = b"\x09"
_SAMPLE_TIMESTAMP = b"\x10"


def batches(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Samples in groups that fit into one request."""
    whole = list(samples)
    return [
        whole[start : start + MAX_SERIES_PER_REQUEST]
        for start in range(0, len(whole), MAX_SERIES_PER_REQUEST)
    ]


def encode(samples: Sequence[Sample], timestamp_ms: int) -> bytes:
    """A compressed WriteRequest with one sample, of this time, for each series."""
    at = _SAMPLE_TIMESTAMP + _varint(timestamp_ms)
    message = b"".join(_field(_TIMESERIES, _series(sample, at)) for sample in samples)
    return bytes(cramjam.snappy.compress_raw(message))


def _series(sample: Sample, at: bytes) -> bytes:
    labels = b"".join(
        _field(_LABELS, _field(_NAME, name.encode()) + _field(_VALUE, value.encode()))
        for name, value in sample.labels
    )
    return labels + _field(_SAMPLES, _SAMPLE_VALUE + struct.pack("<d", sample.value) + at)


def _field(key: bytes, content: bytes) -> bytes:
    return key + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
