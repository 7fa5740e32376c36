"""The folder that journals lie in: one folder for each, with its segments and the lock of its process.

    ROOT/JOURNAL/lock           held by `flock` while the journal's process lives; has the journal's note
    ROOT/JOURNAL/00000000.tlw   segments, numbered
    ROOT/JOURNAL/folded         how far the ledger has it, as last seen by its process

Owns files and locks; does not own what is in a segment (`frames.py`). Only the release of the
lock means that a process is dead: the kernel releases it, whatever the process died of.
"""

import errno
import fcntl
import os
import re
import shutil
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tollway.domain.ids import JournalId

_LOCK = "lock"
_FOLDED = "folded"
_FOLDED_DIGITS = 20
_SEGMENT = re.compile(r"(\d{8})\.tlw")


class Lock:
    """A journal's lock, held until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


class Segment:
    """A segment being written, with its room allocated beforehand."""

    def __init__(self, descriptor: int, folder: Path) -> None:
        self._descriptor = descriptor
        self._folder: Path | None = folder
        self._guard = threading.Lock()
        self._is_syncing = False
        self._is_closed = False

    def write(self, data: bytes, at: int) -> None:
        """Write `data` at byte `at`; OSError. It outlives the process, not yet the machine."""
        while data:
            written = os.pwrite(self._descriptor, data, at)
            data, at = data[written:], at + written

    def sync(self) -> None:
        """Wait until all that was written outlives the machine too; OSError. Runs beside the others."""
        with self._guard:
            if self._is_closed:  # what was to be synchronised may not be
                raise OSError(errno.EBADF, "the segment is closed")
            self._is_syncing = True
        try:
            os.fdatasync(self._descriptor)
            if self._folder is not None:  # the file's name is the folder's content
                _sync_folder(self._folder)
                self._folder = None
        finally:
            with self._guard:
                self._is_syncing = False
                if self._is_closed:
                    os.close(self._descriptor)

    def trim(self, size: int) -> None:
        """Give back the room beyond `size` bytes; OSError."""
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        """It is written to its end. Never waits: a synchronisation under way closes it when done."""
        with self._guard:
            if not self._is_closed and not self._is_syncing:
                os.close(self._descriptor)
            self._is_closed = True


class Disk:
    """Journals under one folder, which is made if it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(0o700, parents=True, exist_ok=True)

    def make(self, journal: JournalId, note: bytes = b"") -> Lock:
        """A new journal's folder, with its lock held from the first moment that others can see it.

        `note` is kept beside the segments, in case that their heads are damaged.
        """
        unseen = self.root / f".{journal}"
        unseen.mkdir(0o700)
        _write(unseen / _LOCK, note)
        _sync_folder(unseen)
        lock = _locked(unseen / _LOCK)
        if lock is None:
            raise OSError(errno.ENOLCK, "the file system has no working locks", str(unseen))
        unseen.rename(self.root / journal)
        _sync_folder(self.root)
        return lock

    def adopt(self, journal: JournalId) -> Lock | None:
        """The lock of a journal whose process is gone; None while it lives, or if there is none.

        A lock that somebody removed says nothing of its process.
        """
        try:
            return _locked(self.root / journal / _LOCK)
        except FileNotFoundError:
            return None

    def note(self, journal: JournalId) -> bytes:
        """What was noted when it was made; nothing if that is gone."""
        try:
            return (self.root / journal / _LOCK).read_bytes()
        except FileNotFoundError:
            return b""

    def mark_folded(self, journal: JournalId, offset: int) -> None:
        """Note that the ledger has the journal up to here: a database that lacks it was restored. OSError."""
        descriptor = os.open(self.root / journal / _FOLDED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, f"{offset:0{_FOLDED_DIGITS}}".encode(), 0)
        finally:
            os.close(descriptor)

    def marked_folded(self, journal: JournalId) -> int:
        """What was noted last; 0 if nothing is, or can be read."""
        try:
            return int((self.root / journal / _FOLDED).read_bytes())
        except (OSError, ValueError):
            return 0

    def journals(self) -> Sequence[JournalId]:
        """All that lie here, oldest first."""
        names = sorted(path.name for path in self.root.iterdir() if path.is_dir())
        return [JournalId(name) for name in names if not name.startswith(".")]

    def segments(self, journal: JournalId) -> Sequence[int]:
        """The numbers of a journal's segments, in order."""
        names = (_SEGMENT.fullmatch(path.name) for path in (self.root / journal).iterdir())
        return sorted(int(found[1]) for found in names if found)

    def add_segment(self, journal: JournalId, number: int, size: int) -> Segment:
        """A new segment with room for `size` bytes; OSError if there is no room."""
        path = self._path(journal, number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        return Segment(descriptor, path.parent)

    def read(self, journal: JournalId, number: int, begin: int = 0, end: int | None = None) -> bytes:
        """A segment's bytes from `begin` up to `end`; FileNotFoundError once it was removed."""
        with self._path(journal, number).open("rb") as file:
            file.seek(begin)
            return file.read(-1 if end is None else end - begin)

    def written_us(self, journal: JournalId, number: int) -> int:
        """When a segment was last written, microseconds since the epoch."""
        return self._path(journal, number).stat().st_mtime_ns // 1_000

    def size_of(self, journal: JournalId) -> int:
        """The bytes that a journal's segments take."""
        return sum(self._path(journal, number).stat().st_size for number in self.segments(journal))

    def is_blank(self, journal: JournalId) -> bool:
        """Whether not even the head of a segment was ever written."""
        heads = (self.read(journal, number, 0, 1) for number in self.segments(journal))
        return not any(head.strip(b"\0") for head in heads)

    def remove_segment(self, journal: JournalId, number: int) -> None:
        """Remove one segment; again is harmless."""
        self._path(journal, number).unlink(missing_ok=True)

    def trim(self, journal: JournalId, number: int, size: int) -> None:
        """Give back the room of a dead journal's segment beyond `size` bytes."""
        os.truncate(self._path(journal, number), size)

    def sweep(self, made_before_us: int) -> None:
        """Remove what was left by processes that died while they made a journal."""
        for path in self.root.glob(".*"):
            if path.stat().st_mtime_ns // 1_000 < made_before_us:
                shutil.rmtree(path)

    def remove(self, journal: JournalId) -> None:
        """Remove a journal with all that it has."""
        shutil.rmtree(self.root / journal)

    def _path(self, journal: JournalId, number: int) -> Path:
        return self.root / journal / f"{number:08}.tlw"


def said(error: OSError) -> str:
    """What is wrong, without a path: it is shown to whoever asks whether we are ready."""
    return error.strerror or str(error)


def _write(path: Path, note: bytes) -> None:
    """A new file, whose content outlives the machine once its folder does."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, note)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> Lock | None:
    """The lock of this file; None if somebody holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    with ExitStack() as stack:
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        stack.pop_all()
    return Lock(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
