"""The journal: one end for each start, in order, over as many segments as it takes."""

import asyncio
import contextlib

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.metering.journals import (
    SEGMENT_BYTES,
    BreakableDisk,
    Desk,
    begin,
    ended,
    ends,
    finish,
    ids,
    in_segment,
    kinds,
    on_disk,
    pieces,
    price,
    records,
    refused,
    rotate,
    starts,
)
from tests.world.clock import TurningClock
from tests.world.entries import entries, entry, start_of
from tollway.domain.ledger import Entry, Start
from tollway.metering.disk import Disk
from tollway.metering.frames import Header, Kind, read_header
from tollway.metering.journal import END_ROOM_BYTES, Journal


def test_a_new_journal_is_a_header_and_is_locked(journal: Journal, disk: Disk, clock: TurningClock) -> None:
    header, found = read_header(disk.read(journal.id, 0))
    assert header == Header(journal=journal.id, number=0, made_us=clock.now_us(), salt=header.salt)
    assert (found.offset, journal.next_offset, journal.extent) == (0, 0, (0, found.end))
    assert disk.adopt(journal.id) is None
    assert (journal.trouble, list(journal.open), journal.unwritten) == (None, [], 0)


def test_entries_are_ordered_by_their_ends_and_not_by_their_starts(journal: Journal, disk: Disk) -> None:
    first, second = begin(journal, 2)
    finish(journal, [second, first])
    assert [found for _, found in records(disk, journal.id)] == [second, first]
    assert starts(disk, journal.id) == [start_of(first), start_of(second)]


def test_what_was_written_is_there_when_the_call_returns(journal: Journal, disk: Disk) -> None:
    (first,) = begin(journal)
    assert kinds(disk, journal.id) == [Kind.HEADER, Kind.START]
    finish(journal, [first], [price()])
    assert kinds(disk, journal.id) == [Kind.HEADER, Kind.START, Kind.PRICE, Kind.END]


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(made=st.lists(entries, max_size=5, unique_by=lambda each: each.key))
def test_every_entry_comes_back_as_it_was(desk: Desk, made: list[Entry]) -> None:
    journal = desk.journal()
    for each in made:
        journal.start(start_of(each))
        journal.end(each, ())
    assert [found for _, found in records(desk.disk, journal.id)] == made
    desk.disk.remove(desk.die(journal))


def test_a_call_ends_once(journal: Journal, disk: Disk) -> None:
    (made,) = ended(journal)
    with pytest.raises(KeyError):
        journal.end(made, [price()])
    assert ends(disk, journal.id) == [made.request_id]
    assert Kind.PRICE not in kinds(disk, journal.id)


def test_a_call_that_never_started_does_not_end(journal: Journal, disk: Disk) -> None:
    with pytest.raises(KeyError):
        journal.end(entry(), ())
    assert kinds(disk, journal.id) == [Kind.HEADER]


def test_attempts_of_one_request_start_and_end_apart(journal: Journal, disk: Disk) -> None:
    (first,) = begin(journal)
    (second,) = begin(journal, attempt=2, request_id=first.request_id)
    finish(journal, [second])
    assert list(journal.open) == [start_of(first)]
    finish(journal, [first])
    assert len(journal.open) == 0
    assert [found.attempt for _, found in records(disk, journal.id)] == [2, 1]


async def test_whoever_folds_is_woken_by_an_end(journal: Journal) -> None:
    waiting = asyncio.create_task(journal.ended())
    begun = begin(journal, 2)
    await asyncio.sleep(0)
    assert not waiting.done()
    finish(journal, begun)
    await waiting
    waiting = asyncio.create_task(journal.ended())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting


def test_a_clean_end_leaves_its_lock_to_others(desk: Desk, disk: Disk) -> None:
    journal = desk.journal()
    made = ended(journal, 3)
    id_ = desk.die(journal)
    assert journal.extent == (-1, 0)
    desk.adopted(id_).release()
    assert ends(disk, id_) == ids(made)


def test_into_a_closed_one_nothing_is_written(desk: Desk, disk: Disk) -> None:
    journal = desk.journal()
    made, (late,) = ended(journal), begin(journal)
    before = disk.read(desk.die(journal), 0)
    assert refused(journal)
    finish(journal, [late])
    assert (disk.segments(journal.id), disk.read(journal.id, 0)) == ([0], before)
    assert ends(disk, journal.id) == ids(made)
    assert journal.unwritten == 1


def test_two_journals_share_a_disk_and_nothing_else(desk: Desk, disk: Disk) -> None:
    one, other = desk.journal(), desk.journal()
    in_one, in_other = ended(one, 2), ended(other, 3)
    assert (ends(disk, one.id), ends(disk, other.id)) == (ids(in_one), ids(in_other))
    salts = {read_header(disk.read(each.id, 0))[0].salt for each in (one, other)}
    assert len(salts) == 2


class TestSegments:
    def test_a_full_one_is_followed_by_the_next_and_keeps_no_room(self, journal: Journal, disk: Disk) -> None:
        made = rotate(journal) + rotate(journal)
        assert disk.segments(journal.id) == [0, 1, 2]
        assert ends(disk, journal.id) == ids(made)
        assert all(not disk.read(journal.id, number).endswith(b"\0") for number in (0, 1))
        assert len(disk.read(journal.id, 2)) == SEGMENT_BYTES
        headers = [read_header(disk.read(journal.id, number))[0] for number in range(3)]
        assert [header.number for header in headers] == [0, 1, 2]
        assert len({header.salt for header in headers}) == 1

    def test_offsets_rise_strictly_over_all_of_them(self, journal: Journal, disk: Disk) -> None:
        begin(journal, 3)
        for _ in range(3):
            rotate(journal)
        told = [found for found in on_disk(disk, journal.id) if found.kind != Kind.HEADER]
        assert [found.offset for found in told] == list(range(journal.next_offset))
        for number in disk.segments(journal.id):
            header, second, *_ = in_segment(disk, journal.id, number)
            assert header.offset == second.offset

    def test_each_tells_again_what_is_open_and_nothing_else(self, journal: Journal, disk: Disk) -> None:
        first, second, third = begin(journal, 3)
        rotate(journal)
        assert opened(disk, journal, 1) == ids([first, second, third])
        finish(journal, [second])
        fourth = begin(journal)
        rotate(journal)
        assert opened(disk, journal, 2) == ids([first, third, *fourth])
        assert opened(disk, journal, 0) == []

    def test_calls_may_stay_open_over_many_of_them(self, journal: Journal, disk: Disk) -> None:
        begun = begin(journal, 2, end_user="Customer-7", labels={"team": "search"})
        made = []
        for _ in range(4):
            made += rotate(journal)
        finish(journal, begun)
        assert ends(disk, journal.id) == ids([*made, *begun])
        told_last = [each for each in starts(disk, journal.id) if each.end_user == "Customer-7"]
        assert len(told_last) == 2 * 5
        assert {each.request_id for each in told_last} == set(ids(begun))
        assert told_last[-1] == start_of(begun[-1])
        assert not journal.open

    def test_many_open_calls_get_the_room_that_they_need(self, journal: Journal, disk: Disk) -> None:
        count = 4 * SEGMENT_BYTES // END_ROOM_BYTES
        begun = begin(journal, count)
        assert len(disk.read(journal.id, disk.segments(journal.id)[-1])) > count * END_ROOM_BYTES
        segments = len(disk.segments(journal.id))
        big = {f"label-{at}": "x" * 100 for at in range(90)}
        finish(journal, [entry(request_id=each.request_id, labels=big) for each in begun])
        assert ends(disk, journal.id) == ids(begun)
        assert len(disk.segments(journal.id)) == segments

    def test_an_end_that_is_larger_than_its_room_is_written_all_the_same(
        self, journal: Journal, disk: Disk
    ) -> None:
        others = begin(journal, 2)
        (huge,) = begin(journal)
        labels = {f"label-{at}": "x" * 1000 for at in range(200)}
        journal.end(entry(request_id=huge.request_id, labels=labels), [price()])
        finish(journal, others)
        assert ends(disk, journal.id) == ids([huge, *others])
        assert journal.trouble is None
        assert journal.unwritten == 0

    def test_a_price_is_told_once_in_each(self, journal: Journal, disk: Disk) -> None:
        for _ in range(2):
            for _ in range(3):
                finish(journal, begin(journal), [price("a@1"), price("b@1"), price("a@1")])
            rotate(journal)
        finish(journal, begin(journal), [price("b@1"), price("c@1")])
        told = [[each.version for each in piece.prices] for piece in pieces(disk, journal.id)]
        assert told == [["a@1", "b@1"], ["a@1", "b@1"], ["b@1", "c@1"]]
        assert pieces(disk, journal.id)[0].prices[0] == price("a@1")

    def test_none_depends_on_room_that_cannot_be_given_back(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        disk.trims.breaks()
        made = rotate(journal) + rotate(journal)
        assert ends(disk, journal.id) == ids(made)
        assert len(disk.read(journal.id, 0)) == SEGMENT_BYTES
        assert journal.trouble is None


def opened(disk: Disk, journal: Journal, number: int) -> list[str]:
    """The calls that a segment says were open when it began."""
    told = [found.payload for found in in_segment(disk, journal.id, number) if found.kind == Kind.OPEN]
    return [msgspec.msgpack.decode(payload, type=Start).request_id for payload in told]


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(["start", "start", "end", "rotate", "sync", "price"]), max_size=30))
async def test_no_way_of_using_it_loses_a_call_or_its_order(desk: Desk, steps: list[str]) -> None:
    journal = desk.journal(segment_bytes=16 * 1024)
    running: list[Entry] = []
    done: list[Entry] = []
    for step in steps:
        match step:
            case "start":
                running += begin(journal)
            case "end" | "price" if running:
                done.append(running.pop(len(running) // 2))
                finish(journal, done[-1:], [price()] if step == "price" else [])
            case "rotate":
                done += rotate(journal)
            case "sync":
                await journal.sync()
        assert ids(journal.open) == ids(running)
    assert ends(desk.disk, journal.id) == ids(done)
    told = [found.offset for found in on_disk(desk.disk, journal.id) if found.kind != Kind.HEADER]
    assert told == list(range(journal.next_offset))
    assert journal.trouble is None
    desk.disk.remove(desk.die(journal))
