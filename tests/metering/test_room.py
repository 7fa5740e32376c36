"""The room of a journal: its bound, and what goes for a new segment."""

import errno

import pytest

from tests.metering.journals import NO_ROOM, BreakableDisk
from tests.world.clock import NOON_US
from tollway.domain.ids import JournalId
from tollway.metering.room import Room

JOURNAL = JournalId("journal-1")
FULL = "the journal may take 1000 bytes"


@pytest.fixture
def place(disk: BreakableDisk) -> Room:
    disk.make(JOURNAL).release()
    return Room(disk, JOURNAL, 1_000)


def add(place: Room, size: int) -> int:
    number = place.next_number
    place.allocate(number, size, place.max_bytes).close()
    return number


def test_segments_are_numbered_from_nought_on(place: Room, disk: BreakableDisk) -> None:
    assert [add(place, 100) for _ in range(3)] == [0, 1, 2]
    place.remove(1)
    assert add(place, 100) == 3
    assert disk.segments(JOURNAL) == [0, 2, 3]


def test_together_they_take_what_they_may_and_no_byte_more(place: Room, disk: BreakableDisk) -> None:
    add(place, 600)
    with pytest.raises(OSError, match=FULL) as raised:
        add(place, 401)
    assert raised.value.errno == errno.ENOSPC
    add(place, 400)
    assert disk.size_of(JOURNAL) == 1_000


def test_one_that_is_complete_counts_as_what_was_written_to_it(place: Room) -> None:
    place.complete(add(place, 600), 100)
    assert add(place, 900) == 1


def test_a_lower_bound_leaves_the_rest_to_others(place: Room) -> None:
    add(place, 400)
    with pytest.raises(OSError, match="the journal may take 500 bytes"):
        place.allocate(1, 101, 500)
    place.allocate(1, 100, 500).close()


def test_what_is_folded_goes_oldest_first_and_only_as_far_as_it_must(
    place: Room, disk: BreakableDisk
) -> None:
    for _ in range(5):
        add(place, 200)
    place.folded_before = 4
    assert add(place, 300) == 5
    assert disk.segments(JOURNAL) == [2, 3, 4, 5]
    with pytest.raises(OSError, match=FULL):
        add(place, 501)
    assert disk.segments(JOURNAL) == [4, 5]


@pytest.mark.parametrize("error", [NO_ROOM, OSError(errno.EIO, "broken")])
def test_only_for_a_full_disk_something_goes(place: Room, disk: BreakableDisk, error: OSError) -> None:
    add(place, 100)
    place.folded_before = 1
    disk.allocations.breaks(error)
    with pytest.raises(OSError, match=error.strerror):
        add(place, 100)
    assert disk.segments(JOURNAL) == ([] if error is NO_ROOM else [0])


def test_what_cannot_be_removed_still_counts(place: Room, disk: BreakableDisk) -> None:
    add(place, 1_000)
    place.folded_before = 1
    (disk.root / JOURNAL / "00000000.tlw").unlink()
    (disk.root / JOURNAL / "00000000.tlw").mkdir()
    for _ in range(2):
        with pytest.raises(OSError, match="Is a directory"):
            add(place, 1)


def test_one_that_somebody_removed_is_dropped_all_the_same(place: Room, disk: BreakableDisk) -> None:
    for _ in range(2):
        add(place, 500)
    disk.remove_segment(JOURNAL, 0)
    place.folded_before = 1
    place.drop(NOON_US)
    assert add(place, 500) == 2
