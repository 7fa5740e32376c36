"""The disk's other end: files in memory, of which the machine may forget what was not synchronised.

What a process wrote is in the page cache at once, and outlives the process. A machine without
power keeps what was synchronised; of each sector that was written since, the old or the new
content; and a file, or a removal, whose folder was not synchronised, or not. A synchronisation
that fails has stored some pages and forgotten about the others: another one succeeds, and stores
nothing. `Platter` is the one disk, `SimulatedDisk` a process's way to it.
"""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tests.simulation.faults import Faults
from tests.simulation.scheduler import Killed, Life, Loop
from tollway.domain.ids import JournalId
from tollway.metering.disk import Disk, Lock, Segment
from tollway.metering.frames import HEADER_ROOM_BYTES

_PAGE = 4096
_SECTOR = 512
_CAPACITY = 4 * 1024 * 1024

Lens = Callable[[bytes, bytes], bytes]
"""What somebody takes for the content of a piece of a file, given its head and the piece."""


class File:
    """A segment: what all see, what is stored, and which pages differ."""

    def __init__(self, size: int, made_us: int) -> None:
        self.size = size
        self.content = bytearray()
        self.stored = bytearray()
        self.dirty: set[int] = set()
        self.is_named = False
        """Whether its name is stored."""
        self.has_failed = False
        """Whether a write or a synchronisation of it failed."""
        self.written_us = made_us
        self.last_writes: tuple[tuple[int, int], ...] = ()
        """Where the last two began and ended."""

    @property
    def is_clean(self) -> bool:
        """Whether all that was written is stored."""
        return self.is_named and not self.dirty

    def write(self, data: bytes, at: int, now_us: int) -> None:
        """Change what all see."""
        end = at + len(data)
        if len(self.content) < end:
            self.content.extend(bytes(end - len(self.content)))
        self.content[at:end] = data
        self.size = max(self.size, end)
        self.dirty.update(range(at // _PAGE, -(-end // _PAGE)))
        self.written_us = now_us
        self.last_writes = (*self.last_writes[-1:], (at, end))

    def store(self, pages: set[int]) -> None:
        """These pages outlive the machine."""
        for page in pages:
            self._copy(page * _PAGE, _PAGE, self.content, self.stored)

    def forget(self, pages: set[int]) -> None:
        """These pages are again what is stored."""
        for page in pages:
            self._copy(page * _PAGE, _PAGE, self.stored, self.content)

    def lose_power(self, random: Random) -> None:
        """Each sector that is not stored is, or is not; often all of a page are of the same kind."""
        for page in sorted(self.dirty):
            fate = random.random()
            for begin in range(page * _PAGE, (page + 1) * _PAGE, _SECTOR):
                if fate < 0.4 or (fate > 0.7 and random.random() < 0.5):
                    self._copy(begin, _SECTOR, self.content, self.stored)
        self.dirty.clear()
        self.content = bytearray(self.stored)

    def rot(self, at: int) -> None:
        """A byte is not what it was, on the disk and for all who see it."""
        for content in (self.content, self.stored):
            if at < len(content):
                content[at] ^= 0xFF

    def read(self, begin: int, end: int | None) -> bytes:
        """What all see, with zeros up to its size."""
        end = self.size if end is None else min(end, self.size)
        found = bytes(self.content[begin:end])
        return found + bytes(max(0, end - begin - len(found)))

    def read_torn(self, begin: int, end: int | None) -> bytes:
        """The same, but its first page was read before the last two writes, and the others after them."""
        found = bytearray(self.read(begin, end))
        if self.last_writes:
            first = self.last_writes[0][0]
            at, upto = (max(0, each - begin) for each in (first, (first // _PAGE + 1) * _PAGE))
            found[at:upto] = bytes(len(found[at:upto]))
        return bytes(found)

    @staticmethod
    def _copy(begin: int, size: int, source: bytearray, target: bytearray) -> None:
        if len(target) < begin + size:
            target.extend(bytes(begin + size - len(target)))
        target[begin : begin + size] = source[begin : begin + size].ljust(size, b"\0")


class Folder:
    """A journal's folder."""

    def __init__(self) -> None:
        self.files: dict[int, File] = {}
        self.removed: dict[int, File] = {}
        """Gone, but a machine without power may have them again."""
        self.is_named = False
        self.last_failed_s: float | None = None
        """When a synchronisation of any of them failed last."""
        self.holder: Life | None = None
        """Who has the lock."""
        self.note = b""
        self.folded = 0
        """How far the ledger has it, as was noted last."""


class Platter:
    """The one disk of the machine. `others_bytes` is what others have on it."""

    def __init__(self, loop: Loop, faults: Faults) -> None:
        self.loop = loop
        self.faults = faults
        self.random = loop.random
        self.folders: dict[JournalId, Folder] = {}
        self.others_bytes = 0
        self.num_removed = 0
        """Segments that were removed so far."""
        self.watch_sync: Callable[[JournalId], None] = lambda _: None
        """Called after each synchronisation that succeeded."""
        self.watch_failure: Callable[[JournalId], None] = lambda _: None
        """Called after each that failed."""
        self.watch_removal: Callable[[JournalId], None] = lambda _: None
        """Called after each removal."""

    def removed(self, journal: JournalId) -> None:
        """Something of a journal is gone."""
        self.num_removed += 1
        self.watch_removal(journal)

    def space(self) -> int:
        """Bytes that are free."""
        files = (file for folder in self.folders.values() for file in folder.files.values())
        return _CAPACITY - self.others_bytes - sum(file.size for file in files)

    def is_clean(self, journal: JournalId) -> bool:
        """Whether all that a journal has in segments that are well outlives the machine."""
        folder = self.folders[journal]
        return folder.is_named and all(file.is_clean or file.has_failed for file in folder.files.values())

    def failed_s(self, journal: JournalId) -> float | None:
        """When a synchronisation of a journal failed last; None if none did."""
        folder = self.folders.get(journal)
        return None if folder is None else folder.last_failed_s

    def has_failed(self, journal: JournalId) -> bool:
        """Whether any of its segments failed."""
        folder = self.folders.get(journal)
        return folder is not None and any(file.has_failed for file in folder.files.values())

    def lose_process(self, life: Life) -> None:
        """The kernel releases its locks."""
        for folder in self.folders.values():
            if folder.holder is life:
                folder.holder = None

    def lose_power(self) -> None:
        """Only what is stored is left, and some of the rest."""
        for journal, folder in list(self.folders.items()):
            folder.holder = None
            if not folder.is_named:
                if self.random.random() < 0.5:
                    del self.folders[journal]
                    continue
                folder.is_named = True
            for number, file in list(folder.removed.items()):
                if file.is_named and self.random.random() < 0.3:
                    folder.files[number] = file
            folder.removed.clear()
            for number, file in list(folder.files.items()):
                file.lose_power(self.random)
                if not file.is_named and self.random.random() < 0.5:
                    del folder.files[number]
                file.is_named = True
            folder.files = dict(sorted(folder.files.items()))


class SimulatedLock(Lock):
    """A lock of a process, or of one that is gone: then it is no lock any more."""

    def __init__(self, folder: Folder, life: Life) -> None:
        self._folder = folder
        self._life = life

    def release(self) -> None:
        """Let others have it."""
        if self._life.is_alive and self._folder.holder is self._life:
            self._folder.holder = None


class SimulatedSegment(Segment):
    """An open file of a process."""

    def __init__(self, disk: "SimulatedDisk", journal: JournalId, file: File) -> None:
        self._disk = disk
        self._journal = journal
        self._file = file
        self._is_closed = False

    def write(self, data: bytes, at: int) -> None:
        """Visible at once; may end early, with an error or the end of the process."""
        platter = self._disk.platter
        kills = platter.faults.happens("kill")
        fails = not kills and platter.faults.happens("write_eio")
        now_us = platter.loop.now_us()
        if kills or fails:
            self._file.has_failed |= fails
            self._file.write(data[: platter.random.randint(0, len(data))], at, now_us)
            if kills:
                self._disk.killed()
            raise OSError(errno.EIO, "simulated: a write failed")
        self._file.write(data, at, now_us)

    def sync(self) -> None:
        """All is stored; or some is, and the rest is forgotten at once, or by the next loss of power."""
        if self._is_closed:
            raise OSError(errno.EBADF, "simulated: the segment is closed")
        file, platter = self._file, self._disk.platter
        self._disk.may_be_killed()
        if platter.faults.happens("sync_eio"):
            file.has_failed = True
            folder = platter.folders.get(self._journal)
            if folder is not None:
                folder.last_failed_s = platter.loop.time()
            platter.watch_failure(self._journal)
            lost = {page for page in sorted(file.dirty) if platter.random.random() < 0.6}
            file.store(file.dirty - lost)
            file.dirty.clear()
            if platter.random.random() < 0.5:
                file.forget(lost)
            raise OSError(errno.EIO, "simulated: a synchronisation failed")
        file.store(file.dirty)
        file.dirty.clear()
        file.is_named = True
        folder = platter.folders.get(self._journal)
        if folder is not None:
            folder.removed.clear()
        platter.watch_sync(self._journal)

    def trim(self, size: int) -> None:
        """Give room back."""
        self._file.size = size

    def close(self) -> None:
        """No more of it."""
        self._is_closed = True


class SimulatedDisk(Disk):
    """A process's way to the platter."""

    def __init__(self, platter: Platter, life: Life, lens: Lens) -> None:
        self.root = Path("/simulated")
        self.platter = platter
        self._life = life
        self._lens = lens

    def killed(self) -> None:
        """End the process here."""
        self.platter.lose_process(self._life)
        self.platter.loop.kill(self._life)
        raise Killed

    def may_be_killed(self) -> None:
        """End the process here, perhaps."""
        if self._life.is_alive and self.platter.faults.happens("kill"):
            self.killed()

    def make(self, journal: JournalId, note: bytes = b"") -> Lock:
        """A new journal's folder."""
        self.may_be_killed()
        if self.platter.faults.happens("add_eio"):
            raise OSError(errno.EIO, "simulated: no folder can be made")
        folder = self.platter.folders[journal] = Folder()
        folder.holder, folder.note = self._life, note
        self.may_be_killed()
        folder.is_named = True
        return SimulatedLock(folder, self._life)

    def adopt(self, journal: JournalId) -> Lock | None:
        """Its lock, unless somebody has it."""
        folder = self.platter.folders.get(journal)
        if folder is None or folder.holder is not None:
            return None
        folder.holder = self._life
        return SimulatedLock(folder, self._life)

    def note(self, journal: JournalId) -> bytes:
        """What was noted when it was made."""
        return self._folder(journal).note

    def mark_folded(self, journal: JournalId, offset: int) -> None:
        """Note how far the ledger has it."""
        self._folder(journal).folded = offset

    def marked_folded(self, journal: JournalId) -> int:
        """What was noted last."""
        return self._folder(journal).folded

    def journals(self) -> Sequence[JournalId]:
        """All that lie here."""
        return sorted(self.platter.folders)

    def segments(self, journal: JournalId) -> Sequence[int]:
        """The numbers of a journal's segments."""
        return sorted(self._folder(journal).files)

    def add_segment(self, journal: JournalId, number: int, size: int) -> Segment:
        """A new file."""
        platter = self.platter
        self.may_be_killed()
        if platter.faults.happens("add_eio"):
            raise OSError(errno.EIO, "simulated: no file can be made")
        if size > platter.space():
            raise OSError(errno.ENOSPC, "simulated: no room")
        files = self._folder(journal).files
        if number in files:
            raise FileExistsError(errno.EEXIST, "simulated", str(number))
        files[number] = File(size, platter.loop.now_us())
        self.may_be_killed()
        return SimulatedSegment(self, journal, files[number])

    def read(self, journal: JournalId, number: int, begin: int = 0, end: int | None = None) -> bytes:
        """A segment's bytes."""
        file = self._file(journal, number)
        found = file.read(begin, end)
        holder = self._folder(journal).holder
        if holder not in (None, self._life) and self.platter.faults.happens("torn_read"):
            found = file.read_torn(begin, end)
        return self._lens(file.read(0, HEADER_ROOM_BYTES), found)

    def written_us(self, journal: JournalId, number: int) -> int:
        """When it was last written."""
        return self._file(journal, number).written_us

    def size_of(self, journal: JournalId) -> int:
        """The bytes that it takes."""
        return sum(file.size for file in self._folder(journal).files.values())

    def is_blank(self, journal: JournalId) -> bool:
        """Whether not even the head of a segment was ever written."""
        return not any(file.content[:1].strip(b"\0") for file in self._folder(journal).files.values())

    def trim(self, journal: JournalId, number: int, size: int) -> None:
        """Give back what a dead process left behind its last record."""
        self.may_be_killed()
        file = self._file(journal, number)
        file.size = size
        del file.content[size:], file.stored[size:]

    def sweep(self, made_before_us: int) -> None:
        """Nothing: a journal is made in one step here."""

    def remove_segment(self, journal: JournalId, number: int) -> None:
        """Remove one."""
        self.may_be_killed()
        folder = self._folder(journal)
        file = folder.files.pop(number, None)
        if file is not None:
            folder.removed[number] = file
            self.platter.removed(journal)

    def remove(self, journal: JournalId) -> None:
        """Remove all of them."""
        self.may_be_killed()
        if self._folder(journal).files:
            self.platter.removed(journal)
        del self.platter.folders[journal]

    def _folder(self, journal: JournalId) -> Folder:
        try:
            return self.platter.folders[journal]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "simulated", str(journal)) from None

    def _file(self, journal: JournalId, number: int) -> File:
        try:
            return self._folder(journal).files[number]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "simulated", str(number)) from None
