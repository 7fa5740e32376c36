"""A journal's room: who was admitted gets its end, whatever is full; who is not is told so at once."""

import contextlib
import logging
import os
from pathlib import Path

import pytest

from tests.metering.journals import (
    NO_ROOM,
    SEGMENT_BYTES,
    BreakableDisk,
    Desk,
    Room,
    begin,
    ended,
    ends,
    finish,
    ids,
    kinds,
    price,
    refused,
    rotate,
    segment_path,
)
from tests.world.clock import NOON_US, TurningClock
from tollway.domain.errors import MeteringUnavailable
from tollway.domain.ledger import Entry
from tollway.domain.price import unpriced
from tollway.metering.disk import Disk
from tollway.metering.journal import RETRY_S, Journal

FEW_BYTES = 5 * SEGMENT_BYTES


def until_refused(journal: Journal) -> list[Entry]:
    """Calls until no more are admitted; none of them has ended."""
    admitted = []
    with contextlib.suppress(MeteringUnavailable):
        while True:
            admitted += begin(journal)
    return admitted


class TestFullDisk:
    """A real one, where it may be mounted."""

    @pytest.fixture
    def small(self, room: Room, clock: TurningClock) -> Desk:
        return Desk(room.disk, clock)

    def test_a_start_is_refused_and_every_admitted_call_gets_its_end(self, small: Desk, room: Room) -> None:
        journal = small.journal()
        (first,) = begin(journal)
        room.fill()
        admitted = [first, *until_refused(journal)]
        assert len(admitted) >= 3
        assert journal.trouble == "no new segment: No space left on device"
        assert ids(journal.open) == ids(admitted)
        finish(journal, admitted, [price(f"price-{at}@1", 10**9 + at) for at in range(20)])
        assert journal.unwritten == 0
        id_ = journal.id
        assert ends(room.disk, id_) == ids(admitted)
        small.die(journal)
        assert ends(room.disk, id_) == ids(admitted)

    def test_a_refused_call_leaves_no_trace(self, small: Desk, room: Room) -> None:
        journal = small.journal()
        room.fill()
        until_refused(journal)
        with pytest.raises(MeteringUnavailable) as raised:
            begin(journal)
        assert (raised.value.status, raised.value.retryable) == (503, True)
        before = (kinds(room.disk, journal.id), list(journal.open), journal.extent)
        assert refused(journal)
        assert (kinds(room.disk, journal.id), list(journal.open), journal.extent) == before
        small.clear()

    def test_when_room_returns_calls_are_admitted_again(
        self, small: Desk, room: Room, clock: TurningClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = small.journal()
        room.fill()
        admitted = until_refused(journal)
        clock.advance(RETRY_S)
        assert refused(journal)
        room.free()
        assert refused(journal)  # it is not tried for each call
        clock.advance(RETRY_S)
        admitted += begin(journal)
        assert journal.trouble is None
        finish(journal, admitted)
        assert ends(room.disk, journal.id) == ids(admitted)
        levels = [record.levelno for record in caplog.records]
        assert levels == [logging.ERROR, logging.WARNING]  # once for each change
        small.clear()

    def test_what_is_folded_goes_before_a_call_is_refused(self, small: Desk, room: Room) -> None:
        journal = small.journal()
        rotate(journal)
        numbers = room.disk.segments(journal.id)
        journal.folded(numbers[-1])
        room.fill()
        admitted = until_refused(journal)
        assert room.disk.segments(journal.id)[0] == numbers[-1]
        finish(journal, admitted)
        assert ends(room.disk, journal.id)[-len(admitted) :] == ids(admitted)
        small.clear()

    def test_no_journal_begins_on_it_and_nothing_is_left_of_the_attempt(
        self, small: Desk, room: Room
    ) -> None:
        room.fill()
        for name in ("one", "two"):
            with pytest.raises(OSError, match="No space left on device"):
                small.journal(id_=name)
        room.free()
        assert room.disk.journals() == []
        small.die(small.journal())


class TestBound:
    """All segments together take at most so many bytes."""

    def fill(self, desk: Desk) -> tuple[Journal, list[Entry]]:
        """A journal that has no room for another segment."""
        journal = desk.journal("never", max_bytes=FEW_BYTES)
        made = []
        while journal.trouble is None:
            try:
                made += ended(journal)
            except MeteringUnavailable:
                assert journal.trouble == f"no new segment: the journal may take {FEW_BYTES} bytes"
        return journal, made

    def test_what_is_not_folded_is_never_removed(self, desk: Desk, clock: TurningClock) -> None:
        journal, made = self.fill(desk)
        for _ in range(3):
            clock.advance(RETRY_S)
            assert refused(journal)
        assert ends(desk.disk, journal.id) == ids(made)
        assert 4 * SEGMENT_BYTES < desk.disk.size_of(journal.id) <= FEW_BYTES

    def test_folded_segments_go_oldest_first_and_no_more_than_is_needed(self, desk: Desk) -> None:
        journal = desk.journal(max_bytes=FEW_BYTES)
        for _ in range(4):
            rotate(journal)
        journal.folded(3)
        assert desk.disk.segments(journal.id) == [0, 1, 2, 3, 4]
        rotate(journal)
        assert desk.disk.segments(journal.id) == [1, 2, 3, 4, 5]
        rotate(journal)
        rotate(journal)
        assert desk.disk.segments(journal.id) == [3, 4, 5, 6, 7]

    def test_calls_are_admitted_again_as_folding_proceeds(self, desk: Desk, clock: TurningClock) -> None:
        journal, _ = self.fill(desk)
        newest, _ = journal.extent
        journal.folded(newest - 1)
        assert refused(journal)  # not yet
        clock.advance(RETRY_S)
        assert not refused(journal)
        assert journal.trouble is None
        assert journal.extent[0] == newest + 1
        assert desk.disk.size_of(journal.id) <= FEW_BYTES

    def test_what_cannot_be_removed_is_room_that_is_missing(
        self, desk: Desk, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        journal, made = self.fill(desk)
        journal.folded(journal.extent[0])
        disk.removals.breaks()
        clock.advance(RETRY_S)
        assert refused(journal)
        assert journal.trouble == "no new segment: Input/output error"
        assert ends(disk, journal.id) == ids(made)
        disk.removals.heals()
        clock.advance(RETRY_S)
        assert not refused(journal)

    @pytest.mark.parametrize("times", [2, 3, 4])
    def test_a_bound_of_few_segments_never_stops_a_journal_whose_folder_keeps_up(
        self, desk: Desk, times: int
    ) -> None:
        journal = desk.journal("never", max_bytes=times * SEGMENT_BYTES)
        for _ in range(6 * times * SEGMENT_BYTES // 1000):
            ended(journal)
            journal.folded(journal.extent[0] - 1)  # as the folder says it, which is at the end
        assert journal.trouble is None
        assert desk.disk.size_of(journal.id) <= times * SEGMENT_BYTES

    def test_a_bound_below_a_header_is_refused_at_the_start(self, desk: Desk) -> None:
        with pytest.raises(OSError, match="may take 100 bytes"):
            desk.journal(max_bytes=100)
        assert desk.disk.journals() == []


class TestDrop:
    """Segments that are in the ledger are kept for some time, and then removed."""

    def aged(self, desk: Desk) -> Journal:
        """Four segments, last written at 0, 1, 2 and 3 seconds after noon."""
        journal = desk.journal()
        for _ in range(3):
            rotate(journal)
        for number in desk.disk.segments(journal.id):
            written_ns = (NOON_US + number * 1_000_000) * 1000
            os.utime(segment_path(desk.disk, journal.id, number), ns=(written_ns, written_ns))
        return journal

    @pytest.mark.parametrize(
        ("folded_before", "before_s", "kept"),
        [
            (0, 10, [0, 1, 2, 3]),
            (2, 10, [2, 3]),
            (3, 2, [2, 3]),
            (3, 0, [0, 1, 2, 3]),
            (3, 10, [3]),
        ],
    )
    def test_only_what_is_both_folded_and_old_goes(
        self, desk: Desk, folded_before: int, before_s: int, kept: list[int]
    ) -> None:
        journal = self.aged(desk)
        journal.folded(folded_before)
        for _ in range(2):
            journal.drop(NOON_US + before_s * 1_000_000)
            assert desk.disk.segments(journal.id) == kept
        rotate(journal)
        assert desk.disk.segments(journal.id) == [*kept, 4]

    def test_numbers_go_on_where_they_were(self, desk: Desk) -> None:
        journal = self.aged(desk)
        journal.folded(3)
        journal.drop(NOON_US + 10_000_000)
        assert journal.extent[0] == 3
        rotate(journal)
        assert journal.extent[0] == 4


async def test_what_waits_to_be_synchronised_is_bounded(desk: Desk) -> None:
    journal = desk.journal("interval")
    (each,) = begin(journal)
    journal.end(each, (unpriced(str(number)) for number in range(100_001)))
    assert refused(journal)
    assert not journal.open
    await journal.sync()
    assert not refused(journal)


@pytest.mark.parametrize("error", [NO_ROOM, PermissionError(13, "Permission denied")])
def test_no_path_of_this_machine_is_in_what_is_told(
    desk: Desk, disk: BreakableDisk, error: OSError, tmp_path: Path
) -> None:
    journal = desk.journal()
    disk.allocations.breaks(OSError(error.errno, os.strerror(error.errno or 0), str(tmp_path)))
    until_refused(journal)
    assert journal.trouble == f"no new segment: {error.strerror}"


def test_an_error_without_a_number_is_told_too(desk: Desk, disk: BreakableDisk) -> None:
    journal = desk.journal()
    disk.allocations.breaks(OSError("something odd"))
    until_refused(journal)
    assert journal.trouble == "no new segment: something odd"


def test_two_kinds_of_disk_are_the_same_to_a_journal(tmp_path: Path, clock: TurningClock) -> None:
    for made in (Disk(tmp_path / "plain"), BreakableDisk(tmp_path / "breakable")):
        desk = Desk(made, clock)
        journal = desk.journal()
        written = rotate(journal)
        assert ends(made, journal.id) == ids(written)
        desk.clear()
