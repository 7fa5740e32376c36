"""The folder of journals: real files, real locks, other processes, and a disk that fills up."""

import contextlib
import fcntl
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath

import pytest

from tests.metering.journals import SEGMENT_BYTES, Room
from tollway.domain.ids import JournalId
from tollway.metering.disk import Disk, Segment

ONE, OTHER = JournalId("journal-1"), JournalId("journal-2")

OTHER_PROCESS = """
import sys
from pathlib import Path
from tollway.metering.disk import Disk
disk = Disk(Path(sys.argv[1]))
lock = disk.make(sys.argv[2])
disk.add_segment(sys.argv[2], 0, 4096).write(b"of the other process", 0)
print("made", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "a" / "journal")


@contextmanager
def other_process(disk: Disk, journal: JournalId) -> Iterator[subprocess.Popen[str]]:
    """A process that has made a journal and lives."""
    command = [sys.executable, "-c", OTHER_PROCESS, str(disk.root), journal]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        try:
            yield process
        finally:
            process.kill()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_made_is_its_owners_only(disk: Disk) -> None:
    lock = disk.make(ONE)
    disk.add_segment(ONE, 0, 4096).close()
    assert [mode(path) for path in (disk.root, disk.root / ONE)] == [0o700, 0o700]
    assert [mode(path) for path in sorted((disk.root / ONE).iterdir())] == [0o600, 0o600]
    lock.release()


def test_a_folder_that_is_there_already_is_used(disk: Disk) -> None:
    lock = disk.make(ONE)
    assert Disk(disk.root).journals() == [ONE]
    lock.release()


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        Disk(tmp_path / "file" / "journal")


def test_journals_are_listed_oldest_first_and_are_folders(disk: Disk) -> None:
    locks = [disk.make(name) for name in (OTHER, ONE)]
    (disk.root / "notes.txt").write_text("somebody's")
    assert disk.journals() == [ONE, OTHER]
    for lock in locks:
        lock.release()


class TestLock:
    def test_while_its_holder_lives_nobody_else_gets_it(self, disk: Disk) -> None:
        lock = disk.make(ONE)
        assert disk.adopt(ONE) is None
        assert disk.adopt(ONE) is None
        lock.release()
        again = disk.adopt(ONE)
        assert again is not None
        assert disk.adopt(ONE) is None
        again.release()

    def test_there_is_none_where_there_is_no_journal(self, disk: Disk) -> None:
        assert disk.adopt(ONE) is None
        assert disk.journals() == []

    def test_one_that_somebody_removed_says_nothing_of_its_process(self, disk: Disk) -> None:
        held = disk.make(ONE)
        (disk.root / ONE / "lock").unlink()
        assert disk.adopt(ONE) is None
        assert [path.name for path in (disk.root / ONE).iterdir()] == []
        held.release()
        assert disk.adopt(ONE) is None

    def test_it_keeps_what_was_noted_while_it_lives_and_later(self, disk: Disk) -> None:
        lock = disk.make(ONE, b"a note")
        assert disk.note(ONE) == b"a note"
        lock.release()
        assert disk.note(ONE) == b"a note"
        (disk.root / ONE / "lock").unlink()
        assert disk.note(ONE) == b""

    def test_only_the_death_of_its_process_gives_it_to_others(self, disk: Disk) -> None:
        with other_process(disk, ONE) as process:
            assert disk.adopt(ONE) is None
            assert disk.journals() == [ONE]
            process.kill()
            process.wait()
            lock = disk.adopt(ONE)
        assert lock is not None
        assert disk.read(ONE, 0).rstrip(b"\0") == b"of the other process"
        lock.release()

    def test_two_processes_share_a_folder_and_keep_their_own(self, disk: Disk) -> None:
        lock = disk.make(ONE)
        with other_process(disk, OTHER):
            assert disk.journals() == [ONE, OTHER]
            assert (disk.adopt(ONE), disk.adopt(OTHER)) == (None, None)
        lock.release()

    def test_it_is_not_inherited_by_a_process_that_we_start(self, disk: Disk) -> None:
        lock = disk.make(ONE)
        with subprocess.Popen(["sleep", "60"]) as child:
            lock.release()
            again = disk.adopt(ONE)
            child.kill()
        assert again is not None
        again.release()

    def test_what_a_crashed_make_left_is_no_journal_and_in_nobodys_way(self, disk: Disk) -> None:
        left = disk.root / f".{ONE}"
        left.mkdir()
        (left / "lock").touch()
        assert disk.journals() == []
        lock = disk.make(OTHER)
        assert disk.journals() == [OTHER]
        lock.release()

    def test_what_a_crashed_make_left_is_swept_away_once_it_is_old(self, disk: Disk) -> None:
        (disk.root / ".left").mkdir()
        disk.make(JournalId("kept")).release()
        disk.sweep(0)
        assert (disk.root / ".left").exists()
        disk.sweep(2**62)
        assert [path.name for path in disk.root.iterdir()] == ["kept"]

    def test_a_file_system_on_which_a_new_lock_is_held_has_none_that_work(self, tmp_path: Path) -> None:
        held: list[int] = []

        class Racing(PosixPath):
            """Where somebody holds each new lock at once, as on a share that mixes hosts up."""

            def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
                super().mkdir(mode, parents, exist_ok)
                if self.name.startswith("."):
                    held.append(os.open(self / "lock", os.O_RDWR | os.O_CREAT))
                    fcntl.flock(held[-1], fcntl.LOCK_EX)

        disk = Disk(Racing(tmp_path))
        with pytest.raises(OSError, match="no working locks"):
            disk.make(ONE)
        assert disk.journals() == []
        for descriptor in held:
            os.close(descriptor)


@contextmanager
def made(disk: Disk, size: int = SEGMENT_BYTES) -> Iterator[Segment]:
    """A segment of a new journal."""
    lock = disk.make(ONE)
    segment = disk.add_segment(ONE, 0, size)
    yield segment
    with contextlib.suppress(OSError):
        segment.close()
    lock.release()


class TestSegment:
    def test_its_room_is_allocated_before_it_is_used(self, disk: Disk) -> None:
        with made(disk):
            status = (disk.root / ONE / "00000000.tlw").stat()
            assert status.st_size == SEGMENT_BYTES
            assert status.st_blocks * 512 >= SEGMENT_BYTES
            assert disk.size_of(ONE) == SEGMENT_BYTES

    def test_it_is_read_as_it_was_written(self, disk: Disk) -> None:
        with made(disk) as segment:
            segment.write(b"first ", 0)
            segment.write(b"second", 6)
            assert disk.read(ONE, 0, 0, 12) == b"first second"
            assert disk.read(ONE, 0, 6, 12) == b"second"
            assert disk.read(ONE, 0, 6).rstrip(b"\0") == b"second"
            assert disk.read(ONE, 0, 12, 12) == b""
            assert disk.read(ONE, 0, 10 * SEGMENT_BYTES) == b""

    def test_none_is_ever_made_twice(self, disk: Disk) -> None:
        with made(disk) as segment:
            segment.write(b"mine", 0)
            with pytest.raises(FileExistsError):
                disk.add_segment(ONE, 0, SEGMENT_BYTES)
            assert disk.read(ONE, 0, 0, 4) == b"mine"

    def test_they_are_listed_in_order_and_nothing_else_is(self, disk: Disk) -> None:
        with made(disk):
            for number in (10, 2, 99_999_999):
                disk.add_segment(ONE, number, 1).close()
            for name in ("1.tlw", "00000003.tlw.bak", "x00000003.tlw", "notes"):
                (disk.root / ONE / name).touch()
            assert disk.segments(ONE) == [0, 2, 10, 99_999_999]
            assert disk.size_of(ONE) == SEGMENT_BYTES + 3

    def test_one_that_is_given_back_its_room_keeps_what_was_written(self, disk: Disk) -> None:
        with made(disk) as segment:
            segment.write(b"kept", 0)
            segment.trim(4)
            assert disk.read(ONE, 0) == b"kept"
            assert disk.size_of(ONE) == 4

    def test_a_write_that_the_system_takes_in_parts_is_written_to_its_end(self, disk: Disk) -> None:
        """Beyond the limit on a file's size it takes what it can, and then none."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with made(disk, 100) as segment:
            resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
            try:
                with pytest.raises(OSError, match="File too large"):
                    segment.write(b"x" * 200, 0)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert disk.read(ONE, 0) == b"x" * 150

    def test_when_it_was_written_is_known(self, disk: Disk) -> None:
        with made(disk):
            os.utime(disk.root / ONE / "00000000.tlw", ns=(0, 1_234_567_890))
            assert disk.written_us(ONE, 0) == 1_234_567

    def test_on_a_full_disk_none_is_made_and_none_is_left(self, room: Room) -> None:
        lock = room.disk.make(ONE)
        room.fill()
        with pytest.raises(OSError, match="No space left on device"):
            room.disk.add_segment(ONE, 0, SEGMENT_BYTES)
        assert room.disk.segments(ONE) == []
        room.free()
        room.disk.add_segment(ONE, 0, SEGMENT_BYTES).close()
        lock.release()

    def test_what_was_allocated_can_be_written_on_a_full_disk(self, room: Room) -> None:
        lock = room.disk.make(ONE)
        segment = room.disk.add_segment(ONE, 0, SEGMENT_BYTES)
        room.fill()
        segment.write(b"x" * SEGMENT_BYTES, 0)
        segment.sync()
        assert room.disk.read(ONE, 0) == b"x" * SEGMENT_BYTES
        segment.close()
        lock.release()


class TestSynchronisation:
    def test_it_may_be_done_again(self, disk: Disk) -> None:
        with made(disk) as segment:
            for _ in range(3):
                segment.write(b"x", 0)
                segment.sync()

    def test_the_first_one_covers_the_files_name(self, disk: Disk) -> None:
        with made(disk) as segment:
            (disk.root / ONE).rename(disk.root / OTHER)
            with pytest.raises(FileNotFoundError):
                segment.sync()
            (disk.root / OTHER).rename(disk.root / ONE)
            segment.sync()
            (disk.root / ONE).rename(disk.root / OTHER)
            segment.sync()
            (disk.root / OTHER).rename(disk.root / ONE)

    def test_a_closed_one_is_never_said_to_be_synchronised(self, disk: Disk) -> None:
        with made(disk) as segment:
            segment.write(b"x", 0)
            segment.close()
            with pytest.raises(OSError, match="the segment is closed"):
                segment.sync()

    def test_closing_does_not_wait_for_one_that_runs_and_takes_nothing_from_it(self, tmp_path: Path) -> None:
        begun, may_end = threading.Event(), threading.Event()

        class Slow(PosixPath):
            """A folder that takes its time."""

            def __fspath__(self) -> str:
                begun.set()
                assert may_end.wait(30)
                return str(self)

        path = tmp_path / "segment"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        segment = Segment(descriptor, Slow(tmp_path))
        segment.write(b"kept", 0)
        failures: list[OSError] = []

        def sync() -> None:
            try:
                segment.sync()
            except OSError as error:
                failures.append(error)

        thread = threading.Thread(target=sync)
        thread.start()
        assert begun.wait(30)
        segment.close()
        segment.close()
        os.fstat(descriptor)  # still open
        may_end.set()
        thread.join()
        assert failures == []
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        assert path.read_bytes() == b"kept"


class TestRemoval:
    def test_a_segment_goes_alone_and_again_is_harmless(self, disk: Disk) -> None:
        with made(disk):
            disk.add_segment(ONE, 1, 1).close()
            for _ in range(2):
                disk.remove_segment(ONE, 0)
                assert disk.segments(ONE) == [1]
            with pytest.raises(FileNotFoundError):
                disk.read(ONE, 0)

    def test_a_journal_goes_with_all_that_it_has(self, disk: Disk) -> None:
        lock = disk.make(OTHER)
        with made(disk):
            disk.remove(ONE)
        assert disk.journals() == [OTHER]
        assert disk.adopt(ONE) is None
        lock.release()
