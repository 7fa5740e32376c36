"""A Loki with default limits behind a basic-auth gateway, as far as a sender of JSON can tell.

Owns what such a Loki stores, refuses and limits; does not own HTTP (`tollway.demo.receiver`), queries, or
pushes as protobuf, which it refuses like any content type it does not know.
Promise: never more lenient than the real one. A body that cannot be read, or a bad label name, refuses the
whole push; any other fault refuses its entry or its stream and still answers 400.
"""

import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import cramjam
import msgspec

from tollway.demo.receiver import Receiver, content_type_of

Labels = tuple[tuple[str, str], ...]

AGE_LIMIT_NS = 7 * 24 * 3600 * 10**9
AHEAD_LIMIT_NS = 10 * 60 * 10**9
BEHIND_LIMIT_NS = 3600 * 10**9
LABELS_LIMIT = 15
LABEL_VALUE_LIMIT_BYTES = 2048
LINE_LIMIT_BYTES = 256 * 1024
METADATA_LIMIT_BYTES = 64 * 1024
METADATA_LIMIT_KEYS = 128
RATE_LIMIT_BYTES_PER_S = 4 * 1024 * 1024
BLOCKED_STATUS = 260
# Where Loki looks for the service name of a stream that does not give one.
SERVICE_LABELS = ("service", "app", "application", "app_name", "name", "container", "component", "job")

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TIMESTAMP = re.compile(r"[0-9]{1,19}")
_NOT_IN_A_KEY = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One stored log line with its stream's labels (`service_name` among them) and its own metadata."""

    labels: Mapping[str, str]
    timestamp_ns: int
    text: str
    metadata: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        """What the line counts against the rate limit: its text and its metadata."""
        return len(self.text.encode()) + _metadata_bytes(self.metadata)


class _Entry(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    timestamp: str
    text: str
    metadata: dict[str, str] = {}


class _Stream(msgspec.Struct):
    stream: dict[str, str]
    values: list[_Entry]


class _Push(msgspec.Struct):
    streams: list[_Stream] = []


class LokiReceiver(Receiver):
    """The double; `rate_limit_bytes_per_s`, `line_limit_bytes` and `blocked` may be set at any time."""

    PUSH_PATHS: ClassVar[frozenset[str]] = frozenset({"/loki/api/v1/push"})

    def __init__(
        self,
        *,
        user: str,
        token: str,
        now: Callable[[], float],
        rate_limit_bytes_per_s: int = RATE_LIMIT_BYTES_PER_S,
        line_limit_bytes: int = LINE_LIMIT_BYTES,
        blocked: bool = False,
    ) -> None:
        super().__init__(user=user, token=token, now=now)
        self.rate_limit_bytes_per_s = rate_limit_bytes_per_s
        self.line_limit_bytes = line_limit_bytes
        self.blocked = blocked
        self._streams: dict[Labels, list[Line]] = {}
        self._taken: deque[tuple[float, int]] = deque()

    def receive(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """204 if all is stored; 400, 422, 429 or 260 with the reasons, and only 400 may have stored some."""
        try:
            push = _read_push(body, headers)
        except ValueError as error:
            return 400, f"{error}\n"
        if not push.streams:
            return 422, "error at least one valid stream is required for ingestion\n"
        faults: list[str] = []
        lines = list(self._valid_lines(push, faults))
        if lines and self.blocked:
            return BLOCKED_STATUS, "ingestion blocked for this tenant\n"
        if lines and not self._within_rate(sum(line.size_bytes for line in lines)):
            return 429, f"ingestion rate limit exceeded ({self.rate_limit_bytes_per_s} bytes/sec)\n"
        for line in lines:
            self._store(line, faults)
        return (400, "".join(f"{fault}\n" for fault in faults)) if faults else (204, "")

    def lines(self, **labels: str) -> list[Line]:
        """The stored lines of all streams that have these labels, stream by stream, each in time order."""
        wanted = set(labels.items())
        return [line for found, lines in self._streams.items() if wanted.issubset(found) for line in lines]

    def _valid_lines(self, push: _Push, faults: list[str]) -> Iterator[Line]:
        """The entries that are fit to store; why the others are not goes into `faults`."""
        now_ns = round(self._now() * 10**9)
        for stream in push.streams:
            labels = _with_service_name(stream.stream)
            stream_fault = _stream_fault(stream.stream, labels)
            if stream_fault:
                faults.append(stream_fault)
                continue
            for entry in stream.values:
                entry_fault = _entry_fault(entry, now_ns=now_ns, line_limit_bytes=self.line_limit_bytes)
                if entry_fault:
                    faults.append(entry_fault)
                    continue
                yield Line(
                    labels=labels,
                    timestamp_ns=int(entry.timestamp),
                    text=entry.text,
                    metadata={_NOT_IN_A_KEY.sub("_", key): value for key, value in entry.metadata.items()},
                )

    def _within_rate(self, size_bytes: int) -> bool:
        """Whether that many bytes fit into the second that ends now; if so, they are taken."""
        now_s = self._now()
        while self._taken and self._taken[0][0] <= now_s - 1:
            self._taken.popleft()
        if sum(taken_bytes for _, taken_bytes in self._taken) + size_bytes > self.rate_limit_bytes_per_s:
            return False
        self._taken.append((now_s, size_bytes))
        return True

    def _store(self, line: Line, faults: list[str]) -> None:
        stored = self._streams.setdefault(tuple(sorted(line.labels.items())), [])
        if stored and line.timestamp_ns < stored[-1].timestamp_ns - BEHIND_LIMIT_NS:
            faults.append(f"entry too far behind, entry timestamp is: {line.timestamp_ns}")
            return
        start = bisect_left(stored, line.timestamp_ns, key=_timestamp_ns)
        end = bisect_right(stored, line.timestamp_ns, key=_timestamp_ns)
        if all(same_time.text != line.text for same_time in stored[start:end]):
            stored.insert(end, line)


def _timestamp_ns(line: Line) -> int:
    return line.timestamp_ns


def _metadata_bytes(metadata: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())


def _read_push(body: bytes, headers: Mapping[str, str]) -> _Push:
    """The push a body holds; ValueError if it is not one that Loki can read."""
    if content_type_of(headers).get_content_type() != "application/json":
        raise ValueError(f"Content-Type {headers.get('Content-Type')} not supported")
    encoding = headers.get("Content-Encoding", "")
    if encoding not in {"", "gzip"}:
        raise ValueError(f"Content-Encoding {encoding} not supported")
    try:
        text = bytes(cramjam.gzip.decompress(body)) if encoding else body
    except cramjam.DecompressionError as error:
        raise ValueError(f"broken gzip: {error}") from error
    push = msgspec.json.decode(text, type=_Push)
    for stream in push.streams:
        for name in stream.stream:
            if not _LABEL_NAME.fullmatch(name):
                raise ValueError(f"error parsing labels: bad label name {name!r}")
        for entry in stream.values:
            if not _TIMESTAMP.fullmatch(entry.timestamp):
                raise ValueError(f"timestamp {entry.timestamp!r} is not a number of nanoseconds")
    return push


def _with_service_name(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels with the `service_name` that Loki adds to a stream without one."""
    found = (labels[name] for name in SERVICE_LABELS if name in labels)
    return {"service_name": next(found, "unknown_service"), **labels}


def _stream_fault(given: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Why a stream is refused, or an empty string."""
    if not given:
        return "at least one label pair is required per stream"
    if len(labels) > LABELS_LIMIT:
        return f"stream has {len(labels)} label names; limit {LABELS_LIMIT}"
    for name, value in labels.items():
        if len(value.encode()) > LABEL_VALUE_LIMIT_BYTES:
            return f"stream has label value too long: {name}"
    return ""


def _entry_fault(entry: _Entry, *, now_ns: int, line_limit_bytes: int) -> str:
    """Why an entry is refused whatever its stream holds, or an empty string."""
    timestamp_ns = int(entry.timestamp)
    if timestamp_ns < now_ns - AGE_LIMIT_NS:
        return f"entry has timestamp too old: {timestamp_ns}"
    if timestamp_ns > now_ns + AHEAD_LIMIT_NS:
        return f"entry has timestamp too new: {timestamp_ns}"
    if len(entry.text.encode()) > line_limit_bytes:
        return f"max entry size {line_limit_bytes} bytes exceeded"
    if len(entry.metadata) > METADATA_LIMIT_KEYS:
        return f"stream has too many structured metadata labels: {len(entry.metadata)}"
    if _metadata_bytes(entry.metadata) > METADATA_LIMIT_BYTES:
        return f"stream has structured metadata of more than {METADATA_LIMIT_BYTES} bytes"
    return ""
