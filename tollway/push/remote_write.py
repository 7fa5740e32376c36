"""Prometheus remote write 1.0 and 2.0: samples to bytes on the wire.

Owns the encoding (protobuf by hand, snappy by `cramjam`), the headers, and what 2.0's answer
proves; does not own what is sent or when. From push to push only values and the time change, so
the bytes between them are kept. Sources: the Remote-Write specifications, prometheus.io/docs/specs,
and the field numbers in Prometheus's `prompb/`.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from operator import attrgetter, is_

import cramjam

from tollway.push.samples import Labels, Metadata, Sample

MAX_SERIES_PER_REQUEST = 2_000
_labels_of, _value_of = attrgetter("labels"), attrgetter("value")


class Protocol(StrEnum):
    """The versions of remote write."""

    V1 = "1.0"
    V2 = "2.0"


HEADERS: Mapping[Protocol, Mapping[str, str]] = {
    Protocol.V1: {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    },
    Protocol.V2: {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "X-Prometheus-Remote-Write-Version": "2.0.0",
    },
}

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The NaN that ends a series. Its bits say so, and arithmetic would change them."""

_WRITTEN = tuple(
    f"X-Prometheus-Remote-Write-{what}-Written" for what in ("Samples", "Histograms", "Exemplars")
)

# Protobuf keys: field number << 3 | wire type (1: 64 bit, 2: length-delimited, 0: varint).
_V1_SERIES = b"\x0a"
_V1_LABEL = b"\x0a"
_V1_LABEL_NAME = b"\x0a"
_V1_LABEL_VALUE = b"\x12"
_V1_METADATA = b"\x1a"
_V1_FAMILY = b"\x12"
_V1_HELP = b"\x22"
_V1_UNIT = b"\x2a"
_V2_SYMBOL = b"\x22"
_V2_SERIES = b"\x2a"
_V2_LABEL_REFS = b"\x0a"
_V2_METADATA = b"\x2a"
_V2_HELP_REF = b"\x18"
_V2_UNIT_REF = b"\x20"
_TYPE = b"\x08"
_SAMPLE = b"\x12"
_SAMPLE_VALUE = b"\x09"
_SAMPLE_TIMESTAMP = b"\x10"

_TYPES = {"counter": b"\x01", "gauge": b"\x02", "histogram": b"\x03"}
_HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")
_VALUE = struct.Struct("<d")


def batches(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Samples in groups that fit into one request."""
    whole = list(samples)
    return [
        whole[start : start + MAX_SERIES_PER_REQUEST]
        for start in range(0, len(whole), MAX_SERIES_PER_REQUEST)
    ]


def is_stored(headers: Mapping[str, str]) -> bool:
    """Whether the headers of the answer to a 2.0 push prove that the receiver reads 2.0.

    Older ones take the message for an empty one of 1.0: they answer 204, and have stored nothing.
    """
    return any(name in headers for name in _WRITTEN)


class Encoder:
    """The requests to one destination; keeps what they have in common from push to push.

    What is kept is bounded by two pushes: requests that neither this push nor the one before had
    are forgotten. Pushes are told apart by their time, which all requests of one share.
    """

    def __init__(self, protocol: Protocol, metadata: Mapping[str, Metadata]) -> None:
        self.protocol = protocol
        self._frame = _frame_v1 if protocol is Protocol.V1 else _frame_v2
        self._metadata = metadata
        self._timestamp_ms = 0
        self._kept: list[_Frame] = []
        self._kept_before: list[_Frame] = []

    def encode(self, samples: Sequence[Sample], timestamp_ms: int) -> bytes:
        """A compressed request with one sample of this time for each series; of two the last counts."""
        if timestamp_ms != self._timestamp_ms:
            self._timestamp_ms = timestamp_ms
            self._kept, self._kept_before = [], self._kept
        at = _SAMPLE_TIMESTAMP + _varint(timestamp_ms)
        for frame in (*self._kept, *self._kept_before):
            message = frame.filled(samples, at)
            if message is not None:
                break
        else:
            values = dict(samples)
            frame = _Frame(values, len(at), self._frame(values, self._metadata, len(at)))
            message = frame.message(values.values(), at)
        if frame not in self._kept:
            self._kept.append(frame)
        return bytes(cramjam.snappy.compress_raw(message))


class _Frame:
    """A request without its values and its time: `pieces` go before, between and behind them."""

    def __init__(self, series: Iterable[Labels], at_bytes: int, pieces: Sequence[bytes]) -> None:
        self._places = {labels: place for place, labels in enumerate(series)}
        self._at_bytes = at_bytes
        self._pieces = pieces

    def filled(self, samples: Sequence[Sample], at: bytes) -> bytes | None:
        """The message with these samples, in any order; None unless it has exactly their series."""
        if len(samples) != len(self._places) or len(at) != self._at_bytes:
            return None
        if all(map(is_, map(_labels_of, samples), self._places)):  # in their order, as nearly always
            return self.message(map(_value_of, samples), at)
        values: list[float | None] = [None] * len(samples)
        for labels, value in samples:
            place = self._places.get(labels)
            if place is None:
                return None
            values[place] = value
        # A series that is twice leaves the place of another one empty.
        known = [value for value in values if value is not None]
        return self.message(known, at) if len(known) == len(values) else None

    def message(self, values: Iterable[float], at: bytes) -> bytes:
        """The message with one value for each series, in their order."""
        parts = [at] * (2 * len(self._places) + len(self._pieces))
        parts[0::3] = self._pieces
        parts[1::3] = map(_VALUE.pack, values)
        return b"".join(parts)


def _frame_v1(series: Iterable[Labels], metadata: Mapping[str, Metadata], at_bytes: int) -> list[bytes]:
    label = cache(_label)
    opened, sample_bytes = _open_sample(at_bytes)
    pieces = []
    families: dict[str, Metadata] = {}
    for labels in series:
        content = b"".join([label(pair) for pair in labels])
        pieces.append(_V1_SERIES + _varint(len(content) + sample_bytes) + content + opened)
        family = _family(labels, metadata)
        if family:
            families[family] = metadata[family]
    described = [
        _TYPE
        + _TYPES[known.type]
        + _field(_V1_FAMILY, family.encode())
        + _field(_V1_HELP, known.help.encode())
        + _field(_V1_UNIT, known.unit.encode())
        for family, known in families.items()
    ]
    pieces.append(b"".join([_field(_V1_METADATA, content) for content in described]))
    return pieces


def _frame_v2(series: Iterable[Labels], metadata: Mapping[str, Metadata], at_bytes: int) -> list[bytes]:
    symbols = {"": 0}

    def ref(text: str) -> bytes:
        return _varint(symbols.setdefault(text, len(symbols)))

    @cache
    def refs(pair: tuple[str, str]) -> bytes:
        return ref(pair[0]) + ref(pair[1])

    @cache
    def described(family: str) -> bytes:
        known = metadata[family]
        content = _TYPE + _TYPES[known.type] + _V2_HELP_REF + ref(known.help) + _V2_UNIT_REF + ref(known.unit)
        return _field(_V2_METADATA, content)

    opened, sample_bytes = _open_sample(at_bytes)
    pieces = []
    behind = b""  # the metadata of the series before
    for labels in series:
        content = _field(_V2_LABEL_REFS, b"".join([refs(pair) for pair in labels]))
        family = _family(labels, metadata)
        closing = described(family) if family else b""
        length = _varint(len(content) + sample_bytes + len(closing))
        pieces.append(behind + _V2_SERIES + length + content + opened)
        behind = closing
    pieces.append(behind)
    # Before all series, for receivers that read once from front to back.
    pieces[0] = b"".join([_field(_V2_SYMBOL, text.encode()) for text in symbols]) + pieces[0]
    return pieces


def _open_sample(at_bytes: int) -> tuple[bytes, int]:
    """A sample up to its value, and the size of the whole of it in bytes."""
    content_bytes = len(_SAMPLE_VALUE) + _VALUE.size + at_bytes
    opened = _SAMPLE + _varint(content_bytes)
    return opened + _SAMPLE_VALUE, len(opened) + content_bytes


def _family(labels: Labels, metadata: Mapping[str, Metadata]) -> str | None:
    """Under which name there is metadata for a series; None if there is none."""
    name = next((value for label, value in labels if label == "__name__"), "")
    if name in metadata:
        return name
    for suffix in _HISTOGRAM_SUFFIXES:
        family = name.removesuffix(suffix)
        if family != name and family in metadata and metadata[family].type == "histogram":
            return family
    return None


def _label(pair: tuple[str, str]) -> bytes:
    name, value = pair
    content = _field(_V1_LABEL_NAME, name.encode()) + _field(_V1_LABEL_VALUE, value.encode())
    return _field(_V1_LABEL, content)


def _field(key: bytes, content: bytes) -> bytes:
    return key + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
