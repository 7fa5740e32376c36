"""The journal: an append-only local file that a call is in before the vendor is asked.

Promise: a call that `start` admitted has room for its `end`, on a disk that fills up too; what
`end` took outlives this process, and `durable` waits until it outlives the machine as far as the
setting asks. When it cannot be written, new calls are refused (503), never finished ones. Owns
the order and the room for ends in its own process's journal; does not own the format
(`frames.py`), which segments may go (`room.py`), or how records become rows (`folder.py`).
"""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import msgspec

from tollway.domain.body import BodyPiece
from tollway.domain.clock import US_PER_S, Clock
from tollway.domain.errors import MeteringUnavailable
from tollway.domain.ids import JournalId, RequestId
from tollway.domain.ledger import Entry, Start
from tollway.domain.price import Price, rates_of
from tollway.domain.refusal import Refused
from tollway.metering.disk import Disk, Segment, said
from tollway.metering.frames import FRAME_BYTES, Header, Kind, framed, header_frame, new_salt
from tollway.metering.room import Room
from tollway.metering.synchronisation import Records, Synchronisation, Synchronised, Waiters, tell

Fsync = Literal["never", "interval", "group"]

SYNC_INTERVAL_S = 0.05
RETRY_S = 1.0
END_ROOM_BYTES = 12 * 1024
"""More than an end and the prices that it names take, besides what its start took."""

_MAX_UNSYNCED = 100_000
_SHARE_OF_EXTRAS = 2
"""What is not about money may begin segments while the journal takes less than this part of its bound."""
_TOLD_AGAIN = frozenset({Kind.END, Kind.PRICE})
"""What is written again after a failure. Starts are, by themselves, while they are open."""
_REFUSAL = "usage cannot be recorded at the moment, so no new call is made; try again shortly"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Written:
    """The segment that is being written."""

    number: int
    segment: Segment
    size: int
    position: int
    prices: set[str] = field(default_factory=set)


class Journal:
    """The journal of one start of one process. OSError if its folder cannot be made.

    Segments have at least `segment_bytes`, or the quarter of `max_bytes` if that is less: the one
    that is written, the next, and two that may not go yet. All together take at most `max_bytes`.
    """

    def __init__(
        self, disk: Disk, id_: JournalId, clock: Clock, *, segment_bytes: int, max_bytes: int, fsync: Fsync
    ) -> None:
        self.id = id_
        self._clock = clock
        self._segment_bytes = min(segment_bytes, max_bytes // 4)
        self.room = Room(disk, id_, max_bytes)
        self.synchronised = Synchronised()
        self._fsync = fsync
        self._salt = new_salt()
        self._open: dict[tuple[RequestId, int], tuple[Start, int]] = {}
        self._reserved = 0
        self._next_offset = 0
        self._written: _Written | None = None
        self._replaced: list[Segment] = []
        self._unsynced: Records = []
        self._unwritten: Records = []
        self._trouble: str | None = None
        self._retry_us = 0
        self._ended = asyncio.Event()
        self._dirty = asyncio.Event()
        self._waiters: Waiters = []
        self._syncing: asyncio.Future[OSError | None] | None = None
        self._is_suspect = False
        self._must_renew = False
        self._is_closed = False
        self._lock = disk.make(id_, header_frame(self._header(0), 0))
        try:
            self._begin_segment(0)
        except BaseException:
            with contextlib.suppress(OSError):  # it holds nothing
                disk.remove(id_)
            self._lock.release()
            raise

    @property
    def trouble(self) -> str | None:
        """Why new calls are refused; None while they are not."""
        return self._trouble

    @property
    def open(self) -> Collection[Start]:
        """Calls that have started and not ended."""
        return [start for start, _ in self._open.values()]

    @property
    def extent(self) -> tuple[int, int]:
        """Up to where it may be read: the newest segment's number, and a byte in it."""
        if self._written is None:
            return -1, 0
        return self._written.number, self._written.position

    @property
    def next_offset(self) -> int:
        """The offset that the next record gets."""
        return self._next_offset

    @property
    def unwritten(self) -> int:
        """Ends that no segment could take yet; they are kept in memory and written as soon as one can."""
        return sum(kind is Kind.END for kind, _ in self._unwritten)

    def start(self, start: Start) -> None:
        """Write that a call begins, with room reserved for its end. MeteringUnavailable if that fails."""
        payload = msgspec.msgpack.encode(start)
        room = END_ROOM_BYTES + len(payload)
        needed = FRAME_BYTES + len(payload) + room
        if self._trouble is not None or not self._fits(needed):
            self._renew(needed)
        if len(self._unsynced) > _MAX_UNSYNCED:
            raise MeteringUnavailable(_REFUSAL)
        try:
            self._write([(Kind.START, payload)])
        except OSError as error:
            self._fail(f"a write failed: {said(error)}")
            raise MeteringUnavailable(_REFUSAL) from error
        self._open[start.key] = (start, room)
        self._reserved += room

    def end(self, entry: Entry, prices: Iterable[Price]) -> None:
        """Write how a started call ended, before its answer's last byte. Never refuses, never waits.

        `prices` are those that the entry's costs name. KeyError for a call that has not started,
        or has ended.
        """
        _, room = self._open.pop(entry.key)
        self._reserved -= room
        records = [*self._unwritten, *self._new_prices(prices), (Kind.END, msgspec.msgpack.encode(entry))]
        try:
            self._write(records)
            self._unwritten = []
        except OSError as error:
            self._unwritten = records
            self._fail(f"a write failed: {said(error)}")
        self._ended.set()

    def body(self, piece: BodyPiece) -> None:
        """Keep a piece of a body. Never refuses: without room, it is the body that is left out."""
        records = [(Kind.BODY, msgspec.msgpack.encode(piece))]
        try:
            self._make_room(records)
            self._write(records)
        except OSError as error:
            _log.warning("what call %s said is not kept: %s", piece.request_id, said(error))

    def refused(self, counts: Iterable[Refused]) -> bool:
        """Write counts of refused calls; False if nothing was written, and they are to be told again.

        Each is counted at most once: what a failing disk may have taken is neither told again nor
        carried into another segment.
        """
        records = [(Kind.REFUSED, msgspec.msgpack.encode(each)) for each in counts]
        if self._trouble is not None:
            return False
        try:
            self._make_room(records)
        except OSError:
            return False
        try:
            self._write(records)
        except OSError as error:
            self._next_offset += len(records)  # what was written of it may be read
            _log.warning("%d counts of refused calls may be lost: %s", len(records), said(error))
        self._ended.set()
        return True

    async def durable(self) -> None:
        """Wait until all that was written outlives the machine, where the setting is `group`.

        MeteringUnavailable if it may not.
        """
        if self._fsync == "group":
            if self._unwritten:  # no disk has these yet
                raise MeteringUnavailable(_REFUSAL)
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._dirty.set()
            await waiter

    async def ended(self) -> None:
        """Wait until a call has ended, or refused ones were counted, since this was last asked."""
        await self._ended.wait()
        self._ended.clear()

    def folded(self, before: int) -> None:
        """Segments numbered below `before` are in the ledger: they may go when room is needed."""
        self.room.folded_before = before

    def drop(self, written_before_us: int) -> None:
        """Remove the segments that are in the ledger and were last written before then."""
        self.room.drop(written_before_us)

    async def run(self) -> None:
        """Synchronise what is written, and try again what failed, for ever."""
        while True:
            try:
                async with asyncio.timeout(RETRY_S):
                    await self._dirty.wait()
            except TimeoutError:
                if self._trouble is not None:
                    self._try_again()
            if self._fsync == "interval":
                await asyncio.sleep(SYNC_INTERVAL_S)
            self._dirty.clear()
            if self._fsync != "never":
                await self.sync()

    async def sync(self) -> None:
        """Synchronise what has been written up to now; a failure is never retried on the same segment.

        If whoever waits is cancelled, it goes on, and the next one waits for it first.
        """
        while self._syncing is not None:
            await asyncio.wait([self._syncing])
        waiters, self._waiters = self._waiters, []
        if self._must_renew or self._written is None:
            tell(waiters, MeteringUnavailable(_REFUSAL))
            return
        about = Synchronisation(
            replaced=self._replaced,
            current=self._written.segment,
            unsynced=self._unsynced,
            waiters=waiters,
            counted=self.synchronised,
        )
        self._replaced, self._unsynced = [], []
        self._syncing = about.begin()
        self._syncing.add_done_callback(partial(self._synced, about))
        await asyncio.wait([self._syncing])

    def _synced(self, about: Synchronisation, done: asyncio.Future[OSError | None]) -> None:
        self._syncing = None
        for segment in about.replaced:
            segment.close()
        error = done.result()
        if error is None:
            self._is_suspect = False
            tell(about.waiters, None)
            return
        self._unsynced = about.unsynced + self._unsynced
        self._must_renew = True
        self._refuse(f"a synchronisation failed: {said(error)}")
        if not self._is_suspect:  # else a disk on which none succeeds would be filled with segments
            self._is_suspect = True
            self._try_again()
        if self._must_renew:
            tell(about.waiters, MeteringUnavailable(_REFUSAL))
        else:  # it is all in a new segment
            self._waiters = about.waiters + self._waiters

    def close(self) -> None:
        """Nothing more is written; others may have the lock."""
        self._complete()
        for segment in self._replaced:
            segment.close()
        self._written, self._is_closed = None, True
        self._lock.release()

    def _header(self, number: int) -> Header:
        return Header(journal=self.id, number=number, made_us=self._clock.now_us(), salt=self._salt)

    def _fits(self, size: int) -> bool:
        written = self._written
        return written is not None and written.position + self._reserved + size <= written.size

    def _make_room(self, records: Records) -> None:
        """Begin a segment if what is not about money has no room in this one; OSError."""
        needed = sum(FRAME_BYTES + len(payload) for _, payload in records)
        if not self._fits(needed):
            # While the folder lags, what is left of the room is for calls.
            self._begin_segment(needed, self.room.max_bytes // _SHARE_OF_EXTRAS)

    def _new_prices(self, prices: Iterable[Price]) -> Records:
        """Those that this segment does not tell yet."""
        told = self._written.prices if self._written else set()
        records = []
        for price in prices:
            if price.version not in told:
                told.add(price.version)
                records.append((Kind.PRICE, msgspec.msgpack.encode((price.version, rates_of(price)))))
        return records

    def _write(self, records: Records) -> None:
        written = self._written
        if written is None:
            raise OSError(errno.EBADF, "there is no segment")
        data = framed(records, self._next_offset, self._salt)
        if written.position + len(data) > written.size:
            raise OSError(errno.ENOSPC, "the segment is full")
        written.segment.write(data, written.position)
        written.position += len(data)
        self._next_offset += len(records)
        if self._fsync != "never":
            self._unsynced += [record for record in records if record[0] in _TOLD_AGAIN]
            self._dirty.set()

    def _renew(self, size: int) -> None:
        """Begin a segment with room for so much more. MeteringUnavailable if there is none."""
        if self._trouble is not None and self._clock.now_us() < self._retry_us:
            raise MeteringUnavailable(_REFUSAL)
        try:
            self._begin_segment(size)
        except OSError as error:
            self._refuse(f"no new segment: {said(error)}")
            raise MeteringUnavailable(_REFUSAL) from error

    def _fail(self, why: str) -> None:
        """The segment cannot be trusted any more: go on in another one, or refuse new calls."""
        self._refuse(why)
        self._try_again()

    def _try_again(self) -> None:
        try:
            self._begin_segment(0)
        except OSError as error:
            self._refuse(f"no new segment: {said(error)}")

    def _refuse(self, why: str) -> None:
        if self._trouble is None:
            _log.error("calls cannot be recorded, and new ones are refused: %s", why)
        self._trouble = why
        self._retry_us = self._clock.now_us() + int(RETRY_S * US_PER_S)

    def _begin_segment(self, size: int, max_bytes: int | None = None) -> None:
        """Go on in a new segment with room for so much more; OSError.

        It tells again what is open, and, after a failure, what may not have reached the disk.
        """
        if self._is_closed:
            raise OSError(errno.EBADF, "the journal is closed")
        number = self.room.next_number
        again = self._unsynced if self._trouble is not None else []
        records: Records = [(Kind.OPEN, msgspec.msgpack.encode(start)) for start in self.open]
        records += again + self._unwritten
        head = header_frame(self._header(number), self._next_offset)
        head += framed(records, self._next_offset, self._salt)
        allocated = max(self._segment_bytes, 2 * (len(head) + self._reserved + size))
        segment = self.room.allocate(number, allocated, max_bytes or self.room.max_bytes)
        self._next_offset += len(records)  # if it fails too: what was written of it may be read
        try:
            segment.write(head, 0)
        except OSError:
            segment.close()
            self.room.remove(number)
            raise
        self._complete()
        self._written = _Written(number, segment, allocated, len(head))
        self._must_renew = False
        if self._fsync != "never":
            self._unsynced = self._unsynced + self._unwritten
            self._dirty.set()
        if self._unwritten:
            self._unwritten = []
            self._ended.set()
        if self._trouble is not None:
            _log.warning("calls are recorded again, in segment %d", number)
            self._trouble = None

    def _complete(self) -> None:
        """Nothing more goes into the segment that was written until now."""
        written = self._written
        if written is None:
            return
        with contextlib.suppress(OSError):  # the room is given back later, with the segment
            written.segment.trim(written.position)
        self.room.complete(written.number, written.position)
        if self._fsync == "never" or self._trouble is not None:
            # After a failure nothing depends on it, and its synchronisation is never tried again.
            written.segment.close()
        else:
            self._replaced.append(written.segment)
