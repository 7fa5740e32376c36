"""A Prometheus 3.5 with its remote-write receiver on, as far as a sender can tell.

Owns decoding of remote write 1.0 and what such a server stores, refuses and silently loses; does not own
HTTP (`tollway.demo.receiver`), histograms, exemplars or metadata, which it skips.
Promise: never more lenient than the real server. What that one loses behind a 204 is listed in
`silently_dropped`, and a 2.0 message gets an old receiver's answer: 204, nothing stored, no Written header.
"""

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import cramjam

from tollway.demo.receiver import Receiver, content_type_of

Labels = tuple[tuple[str, str], ...]

AHEAD_LIMIT_MS = 10 * 60 * 1000
# A head block takes no sample further behind its newest than half its two-hour range.
HEAD_REACH_MS = 60 * 60 * 1000
STALE_MARKER = struct.pack("<Q", 0x7FF0000000000002)
MESSAGES = frozenset({"prometheus.WriteRequest", "io.prometheus.write.v2.Request"})

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_WIDTH_BYTES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_LIMIT_BYTES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedSeries:
    """A series that a real server would have lost while answering 204, and why."""

    labels: Labels
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _TimeSeries:
    labels: Labels
    samples: tuple[tuple[int, float], ...]


class _MalformedMessageError(ValueError):
    pass


class _SampleRefusedError(ValueError):
    pass


def is_stale(value: float) -> bool:
    """Whether a sample's value is the stale marker, which ends a series, rather than a plain NaN."""
    return struct.pack("<d", value) == STALE_MARKER


class PrometheusReceiver(Receiver):
    """The double; `out_of_order_window_s` is the server's setting of that name, in seconds, 0 by default."""

    PUSH_PATHS: ClassVar[frozenset[str]] = frozenset({"/api/v1/write", "/api/prom/push"})

    def __init__(
        self,
        *,
        user: str,
        token: str,
        now: Callable[[], float],
        accepts: Literal["1.0"] = "1.0",
        out_of_order_window_s: float = 0.0,
    ) -> None:
        super().__init__(user=user, token=token, now=now)
        self.accepts = accepts
        self.silently_dropped: list[DroppedSeries] = []
        self._window_ms = round(out_of_order_window_s * 1000)
        self._samples: dict[Labels, dict[int, float]] = {}
        self._newest_ms: dict[Labels, int] = {}

    def receive(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """204 and all of it stored (or silently dropped), or 415 or 400 with the reason and none of it."""
        unsupported = _unsupported(headers)
        if unsupported:
            return 415, unsupported
        try:
            message = bytes(cramjam.snappy.decompress_raw(body))
        except cramjam.DecompressionError as error:
            return 400, f"{error}\n"
        try:
            # All of 2.0's fields have numbers that 1.0 does not use, so a 2.0 message reads as an empty one.
            self._write(list(_read_write_request(message)))
        except (_MalformedMessageError, _SampleRefusedError) as error:
            return 400, f"{error}\n"
        return 204, ""

    def value(self, name: str, /, **labels: str) -> float:
        """The latest value of the one live series that has these labels; LookupError if none or several."""
        found = self._live(name, labels)
        if len(found) != 1:
            raise LookupError(f"{len(found)} series match {name} {labels}: {sorted(found)}")
        return next(iter(found.values()))

    def total(self, name: str, /, **labels: str) -> float:
        """The sum of the latest values of all live series that have these labels; 0.0 if there are none."""
        return math.fsum(self._live(name, labels).values())

    def series(self) -> Mapping[Labels, list[tuple[int, float]]]:
        """Every series, ended ones too: its sorted labels to its (timestamp in ms, value) in time order."""
        return {labels: sorted(samples.items()) for labels, samples in self._samples.items()}

    def _live(self, name: str, labels: Mapping[str, str]) -> dict[Labels, float]:
        """Latest values by series, without the ended ones, which an instant query does not show either."""
        wanted = {("__name__", name), *labels.items()}
        latest = {
            found: samples[self._newest_ms[found]]
            for found, samples in self._samples.items()
            if wanted.issubset(found)
        }
        return {found: value for found, value in latest.items() if not is_stale(value)}

    def _write(self, request: list[_TimeSeries]) -> None:
        """Store all of a request, or raise _SampleRefusedError and store none of it."""
        staged: dict[Labels, dict[int, float]] = {}
        staged_newest_ms: dict[Labels, int] = {}
        head_ms = max(self._newest_ms.values(), default=None)
        for series in request:
            reason = _label_fault(series.labels)
            if reason:
                self.silently_dropped.append(DroppedSeries(labels=series.labels, reason=reason))
                continue
            stored = self._samples.get(series.labels, {})
            fresh = staged.setdefault(series.labels, {})
            for timestamp_ms, value in series.samples:
                # An empty server takes the first sample it sees for its newest.
                head_ms = timestamp_ms if head_ms is None else head_ms
                newest_ms = staged_newest_ms.get(series.labels, self._newest_ms.get(series.labels))
                earlier = fresh.get(timestamp_ms, stored.get(timestamp_ms))
                if earlier is not None and struct.pack("<d", earlier) != struct.pack("<d", value):
                    raise _SampleRefusedError("duplicate sample for timestamp")
                self._check_time(timestamp_ms, newest_ms=newest_ms, head_ms=head_ms)
                fresh[timestamp_ms] = value
                staged_newest_ms[series.labels] = (
                    timestamp_ms if newest_ms is None else max(newest_ms, timestamp_ms)
                )
        for labels, samples in staged.items():
            if samples:
                self._samples.setdefault(labels, {}).update(samples)
        self._newest_ms.update(staged_newest_ms)

    def _check_time(self, timestamp_ms: int, *, newest_ms: int | None, head_ms: int) -> None:
        """Raise _SampleRefusedError unless the server would take a sample at that time."""
        if timestamp_ms > self._now() * 1000 + AHEAD_LIMIT_MS:
            raise _SampleRefusedError("out of bounds: timestamp is too far in the future")
        reached = timestamp_ms >= head_ms - HEAD_REACH_MS
        in_order = newest_ms is None or timestamp_ms >= newest_ms
        if reached and in_order:
            return
        if not self._window_ms:
            raise _SampleRefusedError("out of order sample" if reached else "out of bounds")
        if timestamp_ms < max(head_ms, newest_ms or head_ms) - self._window_ms:
            raise _SampleRefusedError("too old sample")


def _unsupported(headers: Mapping[str, str]) -> str:
    """Why the headers deserve a 415, or an empty string."""
    # The real server takes a missing header for the right one; the protocol does not let a sender omit it.
    content_type = content_type_of(headers)
    proto = content_type.get_param("proto", "prometheus.WriteRequest")
    if content_type.get_content_type() != "application/x-protobuf" or proto not in MESSAGES:
        return f"{headers.get('Content-Type')} content type is not supported\n"
    encoding = headers.get("Content-Encoding")
    return "" if encoding == "snappy" else f"{encoding} encoding (compression) is not accepted\n"


def _label_fault(labels: Labels) -> str:
    """Why a real server would lose a series with these labels, or an empty string."""
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


def _read_write_request(message: bytes) -> Iterator[_TimeSeries]:
    """The series of a WriteRequest; _MalformedMessageError if it is not one."""
    for number, content in _read_fields(message):
        if number == 1:
            yield _read_time_series(_as_bytes(content))


def _read_time_series(message: bytes) -> _TimeSeries:
    labels: list[tuple[str, str]] = []
    samples: list[tuple[int, float]] = []
    for number, content in _read_fields(message):
        if number == 1:
            labels.append(_read_label(_as_bytes(content)))
        elif number == 2:
            samples.append(_read_sample(_as_bytes(content)))
    return _TimeSeries(labels=tuple(labels), samples=tuple(samples))


def _read_label(message: bytes) -> tuple[str, str]:
    texts = {1: b"", 2: b""}
    for number, content in _read_fields(message):
        if number in texts:
            texts[number] = _as_bytes(content)
    try:
        return texts[1].decode(), texts[2].decode()
    except UnicodeDecodeError as error:
        raise _MalformedMessageError("label is not UTF-8") from error


def _read_sample(message: bytes) -> tuple[int, float]:
    timestamp_ms = 0
    value = 0.0
    for number, content in _read_fields(message):
        if number == 1:
            raw = _as_bytes(content)
            if len(raw) != _FIXED_WIDTH_BYTES[_FIXED64]:
                raise _MalformedMessageError("value is not a double")
            (value,) = struct.unpack("<d", raw)
        elif number == 2:
            if isinstance(content, bytes):
                raise _MalformedMessageError("timestamp is not a varint")
            timestamp_ms = content - (1 << 64) if content >= 1 << 63 else content
    return timestamp_ms, value


def _as_bytes(content: int | bytes) -> bytes:
    if isinstance(content, int):
        raise _MalformedMessageError("a varint where bytes belong")
    return content


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
            raise _MalformedMessageError(f"wire type {wire_type} is not known")
        if at + width > len(message):
            raise _MalformedMessageError("unexpected end of message")
        yield number, message[at : at + width]
        at += width


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The varint at an offset and the offset behind it."""
    number = 0
    for index, byte in enumerate(message[at : at + _VARINT_LIMIT_BYTES]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number & (2**64 - 1), at + index + 1
    raise _MalformedMessageError("varint does not end")
