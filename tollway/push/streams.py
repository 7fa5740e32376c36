"""Rows as pushes that Loki takes: in order, in time, and neither too many nor too large.

Owns the time that each line is sent with: the row's own, unless Loki would refuse that. More than an
hour behind its stream, it becomes the newest time of the stream; in the future, it becomes now. A row
older than Loki takes is skipped and counted.
Promise: until a push is `sent`, its rows are given the same times again (those from the future apart),
and Loki takes it again, also if it has stored all or some of it: an answer that is lost costs nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import AppId
from tollway.domain.ledger import Entry
from tollway.push import loki
from tollway.push.lines import Bodies, Line, Stream, line_of, stream_of
from tollway.store.usage import StoredEntry

MAX_LINES_PER_PUSH = 1_000
MAX_BYTES_PER_PUSH = 1_000_000

# Loki takes 7 days, 10 minutes and 1 hour: less something for clocks that differ and pushes that wait.
MAX_AGE_US = (7 * 24 * 60 - 10) * 60 * US_PER_S
MAX_AHEAD_US = 5 * 60 * US_PER_S
MAX_BEHIND_US = 55 * 60 * US_PER_S

MAX_STREAMS = 1_000
"""Streams whose newest time is remembered; an organisation has two for each app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Consecutive rows as one request: `lines` to be sent, and the `seq` of those that are too old for it.

    Both are in order of `seq`, and one of them may be empty; without lines there is nothing to send.
    """

    lines: Sequence[Line]
    too_old: Sequence[int] = ()

    @property
    def upto_seq(self) -> int:
        """The last row that it covers: where the cursor stands after it."""
        newest = self.lines[-1].seq if self.lines else 0
        return max(newest, self.too_old[-1] if self.too_old else 0)

    @property
    def size_bytes(self) -> int:
        """What counts against the receiver's rate: text and metadata, before compression."""
        return sum(line.size_bytes for line in self.lines)

    def encode(self) -> bytes:
        """The body, for `loki.HEADERS`."""
        return loki.body(self.lines)

    def halves(self) -> tuple["Push", "Push"]:
        """The same rows as two pushes, to find the line that is refused; at least two lines."""
        middle = len(self.lines) // 2
        before = bisect_left(self.too_old, self.lines[middle].seq)
        return (
            Push(lines=self.lines[:middle], too_old=self.too_old[:before]),
            Push(lines=self.lines[middle:], too_old=self.too_old[before:]),
        )

    def retimed(self, now_us: int) -> "Push":
        """The same, with the time of sending: for a line that is refused with its own."""
        return replace(self, lines=[line._replace(at_us=now_us) for line in self.lines])


class Streams:
    """One organisation's streams in one Loki: the newest time that each of them has there.

    Of a Loki that is new to this process nothing is known: `recall` the rows before the cursor.
    """

    def __init__(self, *, org: str) -> None:
        self._org = org
        self._newest_us: dict[Stream, int] = {}

    def recall(self, rows: Sequence[StoredEntry], *, now_us: int) -> None:
        """Learn from rows that were sent before, by whichever process: the last thousand or so."""
        for row in rows:
            self._learn(stream_of(row.entry, self._org), _unless_ahead(row.entry, now_us))

    def pushes(
        self,
        rows: Sequence[StoredEntry],
        *,
        now_us: int,
        privacy_level: PrivacyLevel = DEFAULT_PRIVACY_LEVEL,
        app_levels: Mapping[AppId, PrivacyLevel] | None = None,
        bodies: Bodies | None = None,
    ) -> Iterator[Push]:
        """Rows in order of `seq`, as pushes to be sent one after the other, each made when it is asked for.

        `privacy_level` is the organisation's, `app_levels` are those of apps with one of their own.
        """
        newest_us = dict(self._newest_us)
        pending = _Pending()
        for row in rows:
            entry = row.entry
            if entry.ended_us < now_us - MAX_AGE_US:
                pending.too_old.append(row.seq)
                continue
            stream = stream_of(entry, self._org)
            at_us = _time_us(entry, newest_us.get(stream), now_us)
            level = (app_levels or {}).get(entry.app_id, privacy_level)
            line = line_of(row, stream, at_us, privacy_level=level, bodies=bodies or {})
            if not pending.has_room(line):
                yield pending.push()
                pending = _Pending()
            pending.add(line)
            newest_us[stream] = max(at_us, newest_us.get(stream, at_us))
        if pending.lines or pending.too_old:
            yield pending.push()

    def refit(self, push: Push) -> Push:
        """The push as its streams are now, for one made before another was `retimed` and sent."""
        lines = [
            line._replace(at_us=newest_us) if line.at_us < newest_us - MAX_BEHIND_US else line
            for line in push.lines
            for newest_us in [self._newest_us.get(line.stream, line.at_us)]
        ]
        return replace(push, lines=lines)

    def sent(self, push: Push) -> None:
        """Note that Loki has taken this push."""
        for line in push.lines:
            self._learn(line.stream, line.at_us)

    def _learn(self, stream: Stream, at_us: int) -> None:
        self._newest_us[stream] = max(at_us, self._newest_us.get(stream, at_us))
        if len(self._newest_us) > MAX_STREAMS:  # the oldest is the least likely to be in a line's way
            del self._newest_us[min(self._newest_us, key=self._newest_us.__getitem__)]


@dataclass(slots=True)
class _Pending:
    """A push in the making."""

    lines: list[Line] = field(default_factory=list)
    too_old: list[int] = field(default_factory=list)
    _size_bytes: int = 0
    _oldest_us: dict[Stream, int] = field(default_factory=dict)

    def has_room(self, line: Line) -> bool:
        """Whether the line may be added. A stream is not longer than Loki looks back, see the promise."""
        return not self.lines or (
            len(self.lines) < MAX_LINES_PER_PUSH
            and self._size_bytes + line.size_bytes <= MAX_BYTES_PER_PUSH
            and line.at_us - self._oldest_us.get(line.stream, line.at_us) <= MAX_BEHIND_US
        )

    def add(self, line: Line) -> None:
        self.lines.append(line)
        self._size_bytes += line.size_bytes
        self._oldest_us[line.stream] = min(line.at_us, self._oldest_us.get(line.stream, line.at_us))

    def push(self) -> Push:
        return Push(lines=self.lines, too_old=self.too_old)


def _time_us(entry: Entry, newest_us: int | None, now_us: int) -> int:
    """The time that a row is sent with, into a stream whose newest line is of that time."""
    at_us = _unless_ahead(entry, now_us)
    if newest_us is not None and at_us < newest_us - MAX_BEHIND_US:
        return min(newest_us, now_us + MAX_AHEAD_US)
    return at_us


def _unless_ahead(entry: Entry, now_us: int) -> int:
    return entry.ended_us if entry.ended_us <= now_us + MAX_AHEAD_US else now_us
