"""Journals as tests want them: short segments, on a disk that can be full or broken."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import ORG, entry, start_of
from tollway.domain.errors import JournalUnreadable, MeteringUnavailable
from tollway.domain.ids import JournalId, RequestId, new_id
from tollway.domain.ledger import Entry, Record, Start
from tollway.domain.price import Price
from tollway.domain.refusal import Refused
from tollway.domain.usage import Unit
from tollway.metering.disk import Disk, Lock, Segment
from tollway.metering.frames import Frame, Kind, frames, read_header
from tollway.metering.journal import Fsync, Journal
from tollway.metering.reader import Piece, Reader

SEGMENT_BYTES = 64 * 1024
MAX_BYTES = 64 * 1024 * 1024
FULL_DISK_BYTES = 1024 * 1024
NO_ROOM = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BROKEN = OSError(errno.EIO, os.strerror(errno.EIO))


class Fault:
    """What a disk answers to one kind of call while it is broken."""

    def __init__(self) -> None:
        self._error: OSError | None = None
        self._is_lasting = False

    def breaks(self, error: OSError = BROKEN) -> None:
        """From now on."""
        self._error, self._is_lasting = error, True

    def breaks_once(self, error: OSError = BROKEN) -> None:
        """At the next call."""
        self._error, self._is_lasting = error, False

    def heals(self) -> None:
        self._error = None

    def strike(self) -> None:
        """A call is made."""
        error = self._error
        if not self._is_lasting:
            self._error = None
        if error is not None:
            raise error


class BreakableSegment(Segment):
    """A segment that fails where its disk says so, and else does what a segment does."""

    def __init__(self, real: Segment, disk: "BreakableDisk", number: int) -> None:
        self._real = real
        self._disk = disk
        self._number = number

    def write(self, data: bytes, at: int) -> None:
        try:
            self._disk.writes.strike()
        except OSError:
            self._real.write(data[: self._disk.torn_at], at)
            raise
        self._real.write(data, at)

    def sync(self) -> None:
        self._disk.synced.append(self._number)
        self._disk.gate_asked.set()
        assert self._disk.gate.wait(30)
        self._disk.syncs.strike()
        self._real.sync()

    def trim(self, size: int) -> None:
        self._disk.trims.strike()
        self._real.trim(size)

    def close(self) -> None:
        self._real.close()


class BreakableDisk(Disk):
    """A disk whose calls to the system fail when a test says so."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.allocations = Fault()
        self.writes = Fault()
        self.syncs = Fault()
        self.trims = Fault()
        self.removals = Fault()
        self.torn_at = 0
        """So many bytes of a failing write are written all the same."""
        self.synced: list[int] = []
        """The segments that were to be synchronised, in order."""
        self.gate = threading.Event()
        """Open; while a test has it closed, a synchronisation waits."""
        self.gate.set()
        self.gate_asked = threading.Event()

    def add_segment(self, journal: JournalId, number: int, size: int) -> Segment:
        self.allocations.strike()
        return BreakableSegment(super().add_segment(journal, number, size), self, number)

    def remove_segment(self, journal: JournalId, number: int) -> None:
        self.removals.strike()
        super().remove_segment(journal, number)


class Desk:
    """Makes journals on one disk, and lets their processes die."""

    def __init__(self, disk: Disk, clock: TurningClock) -> None:
        self.disk = disk
        self.clock = clock
        self._living: list[Journal] = []

    def journal(
        self,
        fsync: Fsync = "interval",
        *,
        segment_bytes: int = SEGMENT_BYTES,
        max_bytes: int = MAX_BYTES,
        id_: str = "",
    ) -> Journal:
        journal = Journal(
            self.disk,
            JournalId(id_ or new_id(NOON_US)),
            self.clock,
            segment_bytes=segment_bytes,
            max_bytes=max_bytes,
            fsync=fsync,
        )
        self._living.append(journal)
        return journal

    def die(self, journal: Journal) -> JournalId:
        """As the kernel leaves a journal whose process is gone."""
        self._living.remove(journal)
        journal.close()
        return journal.id

    def clear(self) -> None:
        for journal in list(self._living):
            self.die(journal)

    def adopted(self, journal: JournalId) -> Lock:
        lock = self.disk.adopt(journal)
        assert lock is not None
        return lock


class Room:
    """A disk of one mebibyte."""

    def __init__(self, disk: Disk, fill: Callable[[], None], free: Callable[[], None]) -> None:
        self.disk = disk
        self.fill = fill
        """Something else takes all that is left."""
        self.free = free
        """And gives it back."""


def real_room(place: Path) -> Room:
    filler = place / "filler"

    def fill() -> None:
        left = os.statvfs(place)
        with filler.open("ab") as file:
            file.write(b"\xff" * left.f_bavail * left.f_bsize)
        assert os.statvfs(place).f_bavail == 0

    return Room(Disk(place / "journal"), fill, lambda: filler.unlink(missing_ok=True))


def begin(journal: Journal, count: int = 1, **fields: object) -> list[Entry]:
    """Calls that have started; what they end with."""
    begun = [entry(**fields) for _ in range(count)]
    for each in begun:
        journal.start(start_of(each))
    return begun


def finish(journal: Journal, begun: Iterable[Entry], prices: Sequence[Price] = ()) -> None:
    for each in begun:
        journal.end(each, prices)


def ended(journal: Journal, count: int = 1, **fields: object) -> list[Entry]:
    """Calls that have started and ended."""
    made = [entry(**fields) for _ in range(count)]
    for each in made:
        journal.start(start_of(each))
        journal.end(each, ())
    return made


def rotate(journal: Journal) -> list[Entry]:
    """Calls until the journal goes on in a new segment."""
    number, _ = journal.extent
    made = []
    while journal.extent[0] == number:
        made += ended(journal)
    return made


def refused(journal: Journal) -> bool:
    """Whether a new call is refused; if it is not, it has begun."""
    try:
        begin(journal)
    except MeteringUnavailable:
        return True
    return False


def refusal(count: int = 1, code: str = "rate_limit_exceeded") -> Refused:
    """So many calls that were refused."""
    return Refused(org_id=ORG, app="acme-app", code=code, count=count, at_us=NOON_US)


def price(version: str = "list@1", rate: int = 400) -> Price:
    return Price(version=version, denominator=1, rates={Unit.INPUT: ((-1, rate),)})


def salt_of(disk: Disk, journal: JournalId) -> int:
    """As the first segment with a whole header tells it."""
    for number in disk.segments(journal):
        with contextlib.suppress(JournalUnreadable):
            return read_header(disk.read(journal, number))[0].salt
    raise AssertionError("no segment has a header")


def in_segment(disk: Disk, journal: JournalId, number: int) -> list[Frame]:
    """The whole records of one segment, its header too."""
    return list(frames(disk.read(journal, number), salt_of(disk, journal)))


def on_disk(disk: Disk, journal: JournalId) -> list[Frame]:
    """Those of all segments."""
    return [found for number in disk.segments(journal) for found in in_segment(disk, journal, number)]


def kinds(disk: Disk, journal: JournalId) -> list[Kind]:
    return [Kind(each.kind) for each in on_disk(disk, journal)]


def pieces(disk: Disk, journal: JournalId, offset: int = 0, limit: int = 10_000) -> list[Piece]:
    """All that a reader finds from an offset on."""
    reader = Reader(disk, journal, offset)
    found = []
    while (piece := reader.read(limit)) is not None:
        found.append(piece)
    return found


def records(disk: Disk, journal: JournalId) -> list[Record]:
    return [record for piece in pieces(disk, journal) for record in piece.entries]


def ends(disk: Disk, journal: JournalId) -> list[RequestId]:
    """The calls whose ends can be read, in order."""
    return [found.request_id for _, found in records(disk, journal)]


def refusals(disk: Disk, journal: JournalId) -> list[Refused]:
    """The counts of refused calls that can be read, in order."""
    return [found for piece in pieces(disk, journal) for _, found in piece.refusals]


def starts(disk: Disk, journal: JournalId) -> list[Start]:
    return [start for piece in pieces(disk, journal) for start in piece.starts]


def ids(made: Iterable[Entry | Start]) -> list[RequestId]:
    return [each.request_id for each in made]


def segment_path(disk: Disk, journal: JournalId, number: int) -> Path:
    return disk.root / journal / f"{number:08}.tlw"


@contextmanager
def edited(disk: Disk, journal: JournalId, number: int = 0) -> Iterator[bytearray]:
    """A segment's bytes, to be damaged."""
    path = segment_path(disk, journal, number)
    data = bytearray(path.read_bytes())
    yield data
    path.write_bytes(data)
