"""Remote-write messages as a strict receiver reads them: 1.0's WriteRequest and 2.0's Request.

Owns protobuf reading, 2.0's symbols and the check of labels; does not own what is stored or answered
(`tollway.demo.prometheus`). Shares nothing with `tollway.push`, which it is there to check.
Promise: what 2.0's specification forbids in a message is refused, also where a real server would not look;
histograms, exemplars and start times are skipped.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]

TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HISTOGRAM_SERIES = re.compile(r"(.+)_(?:bucket|sum|count)")

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_WIDTH_BYTES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_LIMIT_BYTES = 10


class MalformedMessageError(ValueError):
    """The bytes are no such message."""


class Metadata(NamedTuple):
    """What a sender says of a metric family; `type` is one of TYPES."""

    type: str
    help: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSeries:
    """One series of a message; its samples are (timestamp in ms, value)."""

    labels: Labels
    samples: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """A whole message of either protocol; `metadata` by metric family."""

    series: list[TimeSeries] = field(default_factory=list)
    metadata: dict[str, Metadata] = field(default_factory=dict)

    def describe(self, family: str, metadata: Metadata) -> None:
        """Keep what is said of a family; MalformedMessageError if something else was said of it before."""
        if not family or self.metadata.setdefault(family, metadata) != metadata:
            raise MalformedMessageError(f"metadata of {family!r} is not clear")


def label_fault(labels: Labels) -> str:
    """Why a real server would not store a series with these labels, or an empty string."""
    names = [name for name, _ in labels]
    if "__name__" not in names:
        return "no __name__"
    if len(set(names)) != len(names):
        return "repeated label name"
    if names != sorted(names):
        # Prometheus itself would sort them; other receivers are not so kind, and the protocol requires it.
        return "labels not sorted by name"
    for name, value in labels:
        if not value:
            return f"empty label {name}"
        if not _LABEL_NAME.fullmatch(name):
            return f"bad label name {name!r}"
        if name == "__name__" and not _METRIC_NAME.fullmatch(value):
            return f"bad metric name {value!r}"
    return ""


def read_v1(message: bytes) -> WriteRequest:
    """A prometheus.WriteRequest; MalformedMessageError if it is not one."""
    request = WriteRequest()
    for number, content in _read_fields(message):
        if number == 1:
            request.series.append(_read_v1_series(_as_bytes(content)))
        elif number == 3:
            request.describe(*_read_v1_metadata(_as_bytes(content)))
    return request


def read_v2(message: bytes) -> WriteRequest:
    """An io.prometheus.write.v2.Request; MalformedMessageError if it is not one."""
    fields = list(_read_fields(message))
    symbols = [_as_text(content) for number, content in fields if number == 4]
    if symbols[:1] != [""]:
        raise MalformedMessageError("the first symbol is not empty")
    if len(set(symbols)) != len(symbols):
        raise MalformedMessageError("repeated symbol")
    request = WriteRequest()
    for number, content in fields:
        if number == 5:
            _read_v2_series(_as_bytes(content), symbols, request)
        elif number != 4:
            raise MalformedMessageError(f"field {number} is reserved or not known")
    return request


def _read_v1_series(message: bytes) -> TimeSeries:
    labels: list[tuple[str, str]] = []
    samples: list[tuple[int, float]] = []
    for number, content in _read_fields(message):
        if number == 1:
            texts = _read_texts(_as_bytes(content), (1, 2))
            labels.append((texts[1], texts[2]))
        elif number == 2:
            samples.append(_read_sample(_as_bytes(content)))
    return TimeSeries(labels=tuple(labels), samples=tuple(samples))


def _read_v1_metadata(message: bytes) -> tuple[str, Metadata]:
    numbers = _read_numbers(message, (1,))
    texts = _read_texts(message, (2, 4, 5))
    return texts[2], Metadata(_type_of(numbers[1]), texts[4], texts[5])


def _read_v2_series(message: bytes, symbols: Sequence[str], request: WriteRequest) -> None:
    """Add a series, and what it says of its family, to the request."""
    refs: list[int] = []
    samples: list[tuple[int, float]] = []
    metadata: Metadata | None = None
    for number, content in _read_fields(message):
        if number == 1:
            refs += _read_packed(_as_bytes(content))
        elif number == 2:
            samples.append(_read_sample(_as_bytes(content)))
        elif number == 5:
            numbers = _read_numbers(_as_bytes(content), (1, 3, 4))
            help_text, unit = _symbols_at([numbers[3], numbers[4]], symbols)
            metadata = Metadata(_type_of(numbers[1]), help_text, unit)
    if not refs or len(refs) % 2:
        raise MalformedMessageError(f"{len(refs)} label references are no pairs")
    if not samples:
        raise MalformedMessageError("a series without samples")
    texts = _symbols_at(refs, symbols)
    labels = tuple(zip(texts[::2], texts[1::2], strict=True))
    request.series.append(TimeSeries(labels=labels, samples=tuple(samples)))
    if metadata:
        request.describe(_family_of(labels, metadata), metadata)


def _family_of(labels: Labels, metadata: Metadata) -> str:
    name = dict(labels).get("__name__", "")
    part = _HISTOGRAM_SERIES.fullmatch(name) if metadata.type == "histogram" else None
    return part[1] if part else name


def _symbols_at(refs: Sequence[int], symbols: Sequence[str]) -> list[str]:
    beyond = [ref for ref in refs if ref >= len(symbols)]
    if beyond:
        raise MalformedMessageError(f"reference {beyond[0]} is beyond {len(symbols)} symbols")
    return [symbols[ref] for ref in refs]


def _type_of(number: int) -> str:
    if number >= len(TYPES):
        raise MalformedMessageError(f"type {number} is not known")
    return TYPES[number]


def _read_sample(message: bytes) -> tuple[int, float]:
    timestamp_ms = 0
    value = 0.0
    for number, content in _read_fields(message):
        if number == 1:
            raw = _as_bytes(content)
            if len(raw) != _FIXED_WIDTH_BYTES[_FIXED64]:
                raise MalformedMessageError("value is not a double")
            (value,) = struct.unpack("<d", raw)
        elif number == 2:
            timestamp_ms = _as_number(content)
    return (timestamp_ms - (1 << 64) if timestamp_ms >= 1 << 63 else timestamp_ms), value


def _read_texts(message: bytes, wanted: Sequence[int]) -> Mapping[int, str]:
    """Those fields of a message, empty where they are missing."""
    texts = dict.fromkeys(wanted, "")
    for number, content in _read_fields(message):
        if number in texts:
            texts[number] = _as_text(content)
    return texts


def _read_numbers(message: bytes, wanted: Sequence[int]) -> Mapping[int, int]:
    """Those fields of a message, 0 where they are missing."""
    numbers = dict.fromkeys(wanted, 0)
    for number, content in _read_fields(message):
        if number in numbers:
            numbers[number] = _as_number(content)
    return numbers


def _as_bytes(content: int | bytes) -> bytes:
    if isinstance(content, int):
        raise MalformedMessageError("a varint where bytes belong")
    return content


def _as_text(content: int | bytes) -> str:
    try:
        return _as_bytes(content).decode()
    except UnicodeDecodeError as error:
        raise MalformedMessageError("text is not UTF-8") from error


def _as_number(content: int | bytes) -> int:
    if isinstance(content, bytes):
        raise MalformedMessageError("bytes where a varint belongs")
    return content


def _read_packed(content: bytes) -> Iterator[int]:
    """The varints that follow one another."""
    at = 0
    while at < len(content):
        number, at = _read_varint(content, at)
        yield number


def _read_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with contents: a varint as an int (64 bits, unsigned), all else as bytes."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            content, at = _read_varint(message, at)
            yield number, content
            continue
        if wire_type == _BYTES:
            width, at = _read_varint(message, at)
        elif wire_type in _FIXED_WIDTH_BYTES:
            width = _FIXED_WIDTH_BYTES[wire_type]
        else:
            raise MalformedMessageError(f"wire type {wire_type} is not known")
        if at + width > len(message):
            raise MalformedMessageError("unexpected end of message")
        yield number, message[at : at + width]
        at += width


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The varint at an offset and the offset behind it."""
    number = 0
    for index, byte in enumerate(message[at : at + _VARINT_LIMIT_BYTES]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number & (2**64 - 1), at + index + 1
    raise MalformedMessageError("varint does not end")
