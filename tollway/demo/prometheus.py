"""A Prometheus 3.5 with its remote-write receiver on, or one of its kin, as far as a sender can tell.

Owns what such a server stores, refuses, keeps in part and silently loses, of both protocols; does not own
HTTP (`tollway.demo.receiver`) or how messages are read (`tollway.demo.remote_write`).
Promise: never more lenient than the real server. What that one loses behind a 204 is listed in
`silently_dropped`, and unless told otherwise a 2.0 message gets an old receiver's answer: 204, nothing
stored, no Written header.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import cramjam

from tollway.demo.receiver import Receiver, content_type_of
from tollway.demo.remote_write import (
    Labels,
    MalformedMessageError,
    Metadata,
    WriteRequest,
    label_fault,
    read_v1,
    read_v2,
)

AHEAD_LIMIT_MS = 10 * 60 * 1000
# A head block takes no sample further behind its newest than half its two-hour range.
HEAD_REACH_MS = 60 * 60 * 1000
STALE_MARKER = struct.pack("<Q", 0x7FF0000000000002)
MESSAGE_V1 = "prometheus.WriteRequest"
MESSAGE_V2 = "io.prometheus.write.v2.Request"


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedSeries:
    """A series that a real server would have lost while answering 204, and why."""

    labels: Labels
    reason: str


def is_stale(value: float) -> bool:
    """Whether a sample's value is the stale marker, which ends a series, rather than a plain NaN."""
    return struct.pack("<d", value) == STALE_MARKER


class PrometheusReceiver(Receiver):
    """The double; `out_of_order_window_s` is the server's setting of that name, in seconds, 0 by default.

    `accepts` may be set at any time: "1.0" is a server that has never heard of 2.0, "2.0" takes both,
    "415" is Cortex: it says that it does not take 2.0, answers 200, and keeps the good part of 1.0.
    `metadata` is what was said of metric families, the latest of each.
    """

    PUSH_PATHS: ClassVar[frozenset[str]] = frozenset({"/api/v1/write", "/api/prom/push"})

    def __init__(
        self,
        *,
        user: str,
        token: str,
        now: Callable[[], float],
        accepts: Literal["1.0", "2.0", "415"] = "1.0",
        out_of_order_window_s: float = 0.0,
    ) -> None:
        super().__init__(user=user, token=token, now=now)
        self.accepts = accepts
        self.silently_dropped: list[DroppedSeries] = []
        self.metadata: dict[str, Metadata] = {}
        self._window_ms = round(out_of_order_window_s * 1000)
        self._samples: dict[Labels, dict[int, float]] = {}
        self._newest_ms: dict[Labels, int] = {}

    def receive(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """204 or 200 and all of it stored (or silently dropped), or 415 or 400 with the reason."""
        status, text, _ = self.answer(body, headers)
        return status, text

    def answer(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, Mapping[str, str]]:
        """The same with the answer's headers: how much of a 2.0 message was stored."""
        is_v2 = _message_of(headers) == MESSAGE_V2
        unsupported = self._unsupported(headers)
        if unsupported:
            return 415, unsupported, {}
        is_read_as_v2 = is_v2 and self.accepts == "2.0"
        try:
            message = bytes(cramjam.snappy.decompress_raw(body))
            # All of 2.0's fields have numbers that 1.0 does not use, so it reads as an empty one there.
            request = read_v2(message) if is_read_as_v2 else read_v1(message)
        except (cramjam.DecompressionError, MalformedMessageError) as error:
            return 400, f"{error}\n", {}
        keeps_good_part = is_read_as_v2 or self.accepts == "415"
        written, faults = self._write(request, keeps_good_part=keeps_good_part)
        said = _written(written) if is_read_as_v2 else {}
        if faults:
            return 400, "".join(f"{fault}\n" for fault in faults), said
        return (200 if self.accepts == "415" else 204), "", said

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

    def _write(self, request: WriteRequest, *, keeps_good_part: bool) -> tuple[int, Sequence[str]]:
        """Store a request, or nothing unless all is good: how many samples, and what was wrong."""
        appender = _Appender(
            self._samples, self._newest_ms, now_ms=self._now() * 1000, window_ms=self._window_ms
        )
        faults: list[str] = []
        dropped: list[DroppedSeries] = []
        for series in request.series:
            reason = label_fault(series.labels)
            if reason and keeps_good_part:
                faults.append(reason)
            elif reason:
                dropped.append(DroppedSeries(labels=series.labels, reason=reason))
            else:
                said = [appender.take(series.labels, *sample) for sample in series.samples]
                faults += filter(None, said)
        if faults and not keeps_good_part:
            return 0, faults[:1]
        appender.commit()
        self.silently_dropped += dropped
        self.metadata |= request.metadata
        return appender.taken, faults

    def _unsupported(self, headers: Mapping[str, str]) -> str:
        """Why the headers deserve a 415, or an empty string."""
        # The real server takes a missing header for the right one; the protocol lets no sender omit it.
        message = _message_of(headers)
        if message not in (MESSAGE_V1, MESSAGE_V2):
            return f"{headers.get('Content-Type')} content type is not supported\n"
        if message == MESSAGE_V2 and self.accepts == "415":
            return f"{message} protobuf message is not accepted by this server\n"
        encoding = headers.get("Content-Encoding")
        return "" if encoding == "snappy" else f"{encoding} encoding (compression) is not accepted\n"


class _Appender:
    """One request's samples, staged until it is known whether they are stored; `taken` counts them."""

    def __init__(
        self,
        samples: dict[Labels, dict[int, float]],
        newest_ms: dict[Labels, int],
        *,
        now_ms: float,
        window_ms: int,
    ) -> None:
        self.taken = 0
        self._samples = samples
        self._newest_ms = newest_ms
        self._latest_ms = now_ms + AHEAD_LIMIT_MS
        self._window_ms = window_ms
        self._staged: dict[Labels, dict[int, float]] = {}
        self._staged_newest_ms: dict[Labels, int] = {}
        self._head_ms = max(newest_ms.values(), default=None)

    def take(self, labels: Labels, timestamp_ms: int, value: float) -> str:
        """Stage one sample; or why the server would not take it."""
        # An empty server takes the first sample it sees for its newest.
        self._head_ms = timestamp_ms if self._head_ms is None else self._head_ms
        staged = self._staged.get(labels, {})
        earlier = staged.get(timestamp_ms, self._samples.get(labels, {}).get(timestamp_ms))
        if earlier is not None and struct.pack("<d", earlier) != struct.pack("<d", value):
            return "duplicate sample for timestamp"
        newest_ms = self._staged_newest_ms.get(labels, self._newest_ms.get(labels))
        fault = self._time_fault(timestamp_ms, newest_ms=newest_ms, head_ms=self._head_ms)
        if fault:
            return fault
        self._staged.setdefault(labels, {})[timestamp_ms] = value
        self._staged_newest_ms[labels] = timestamp_ms if newest_ms is None else max(newest_ms, timestamp_ms)
        self.taken += 1
        return ""

    def commit(self) -> None:
        """Store what is staged."""
        for labels, samples in self._staged.items():
            self._samples.setdefault(labels, {}).update(samples)
        self._newest_ms.update(self._staged_newest_ms)

    def _time_fault(self, timestamp_ms: int, *, newest_ms: int | None, head_ms: int) -> str:
        """Why the server would not take a sample at that time, or an empty string."""
        if timestamp_ms > self._latest_ms:
            return "out of bounds: timestamp is too far in the future"
        reached = timestamp_ms >= head_ms - HEAD_REACH_MS
        in_order = newest_ms is None or timestamp_ms >= newest_ms
        if reached and in_order:
            return ""
        if not self._window_ms:
            return "out of order sample" if reached else "out of bounds"
        if timestamp_ms < max(head_ms, newest_ms or head_ms) - self._window_ms:
            return "too old sample"
        return ""


def _message_of(headers: Mapping[str, str]) -> str:
    """The name of the message that a Content-Type announces; 1.0's where it names none."""
    content_type = content_type_of(headers)
    if content_type.get_content_type() != "application/x-protobuf":
        return ""
    return str(content_type.get_param("proto", MESSAGE_V1))


def _written(samples: int) -> Mapping[str, str]:
    """2.0's headers, which count what was stored."""
    counts = {"Samples": samples, "Histograms": 0, "Exemplars": 0}
    return {f"X-Prometheus-Remote-Write-{what}-Written": str(count) for what, count in counts.items()}
