"""A journal that is read while its process writes it: nothing is stepped over, whatever is half there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.metering.journals import Desk, ended, ids, in_segment, rotate
from tests.world.clock import TurningClock
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Entry
from tollway.metering.disk import Disk
from tollway.metering.frames import Kind
from tollway.metering.reader import Reader


class BusyDisk(Disk):
    """A disk on which things happen right after a read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.after_read: list[Callable[[], object]] = []
        self.not_seen: tuple[int, int] | None = None
        """Bytes, from and up to, that the next read finds as they were before they were written."""

    def read(self, journal: JournalId, number: int, begin: int = 0, end: int | None = None) -> bytes:
        data = bytearray(super().read(journal, number, begin, end))
        if self.not_seen is not None:
            first, upto = self.not_seen
            data[first - begin : upto - begin] = bytes(upto - first)
            self.not_seen = None
        happenings, self.after_read = self.after_read, []
        for happen in happenings:
            happen()
        return bytes(data)


@pytest.fixture
def busy(tmp_path: Path) -> BusyDisk:
    return BusyDisk(tmp_path / "busy")


@pytest.fixture
def writer(busy: BusyDisk, clock: TurningClock) -> Iterator[Desk]:
    desk = Desk(busy, clock)
    yield desk
    desk.clear()


def read_on(reader: Reader) -> list[Entry]:
    """All that there is for now."""
    found = []
    while (piece := reader.read(1_000)) is not None:
        found += [entry for _, entry in piece.entries]
    return found


def test_what_is_written_between_a_read_and_the_look_for_the_next_segment_is_not_stepped_over(
    writer: Desk, busy: BusyDisk
) -> None:
    journal = writer.journal()
    made = ended(journal, 2)
    reader = Reader(busy, journal.id, 0, is_growing=True)
    piece = reader.read(1_000)
    assert piece is not None
    busy.after_read.append(lambda: made.extend(rotate(journal)))
    found = [entry for _, entry in piece.entries] + read_on(reader)
    assert ids(found) == ids(made[: len(found)])
    assert len(found) == reader.upto // 2  # of each call a start and an end
    again = Reader(busy, journal.id, 0, is_growing=True)
    assert ids(read_on(again)) == ids(made)


def test_a_record_that_a_read_found_half_written_ends_it_though_a_later_one_is_whole(
    writer: Desk, busy: BusyDisk
) -> None:
    journal = writer.journal()
    made = ended(journal, 5)
    third = [found for found in in_segment(busy, journal.id, 0) if found.kind == Kind.END][2]
    reader = Reader(busy, journal.id, 0, is_growing=True)
    busy.not_seen = third.begin, third.begin + 10
    assert ids(read_on(reader)) == ids(made[:2])
    assert reader.upto == third.offset
    again = Reader(busy, journal.id, reader.upto, is_growing=True)
    assert ids(read_on(again)) == ids(made)


def test_a_gap_at_the_very_beginning_ends_it_too(writer: Desk, busy: BusyDisk) -> None:
    journal = writer.journal()
    made = ended(journal, 2)
    rotate(journal)
    first = in_segment(busy, journal.id, 0)[1]
    reader = Reader(busy, journal.id, 0, is_growing=True)
    busy.not_seen = first.begin, first.begin + 10
    assert read_on(reader) == []
    assert reader.upto == 0
    again = Reader(busy, journal.id, 0, is_growing=True)
    assert ids(read_on(again)[:2]) == ids(made)


def test_a_journal_of_several_segments_is_read_to_its_end(writer: Desk, busy: BusyDisk) -> None:
    journal = writer.journal()
    made = rotate(journal) + rotate(journal)
    assert ids(read_on(Reader(busy, journal.id, 0, is_growing=True))) == ids(made)
