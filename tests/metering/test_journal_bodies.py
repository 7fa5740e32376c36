"""Bodies in the journal: kept where there is room, and left out before anything about money is."""

import logging

import msgspec
import pytest

from tests.metering.journals import (
    SEGMENT_BYTES,
    BreakableDisk,
    Desk,
    begin,
    ended,
    ends,
    finish,
    ids,
    pieces,
    refused,
)
from tests.world.clock import NOON_US
from tests.world.entries import ORG
from tollway.domain.body import BodyPiece, Part
from tollway.domain.ledger import Entry
from tollway.metering.disk import Disk
from tollway.metering.frames import MAGIC
from tollway.metering.journal import Journal


def body(call: Entry, data: bytes = b'{"model": "demo/small"}', part: Part = Part.REQUEST) -> BodyPiece:
    return BodyPiece(org_id=ORG, request_id=call.request_id, part=part, at=0, data=data, written_us=NOON_US)


def bodies(disk: Disk, journal: Journal) -> list[BodyPiece]:
    return [each for piece in pieces(disk, journal.id) for each in piece.bodies]


def test_a_body_comes_back_as_it_was(desk: Desk, disk: Disk) -> None:
    journal = desk.journal()
    (call,) = begin(journal)
    told = [body(call), body(call, MAGIC * 100 + bytes(range(256)), Part.RESPONSE)]
    for each in told:
        journal.body(each)
    finish(journal, [call])
    assert bodies(disk, journal) == told
    assert ends(disk, journal.id) == [call.request_id]


def test_bodies_go_on_in_the_next_segment(desk: Desk, disk: Disk) -> None:
    journal = desk.journal()
    (call,) = begin(journal)
    told = [body(call, b"x" * 30_000) for _ in range(5)]
    for each in told:
        journal.body(each)
    finish(journal, [call])
    assert journal.extent[0] > 0
    assert bodies(disk, journal) == told


def test_without_room_the_body_is_left_out_and_the_end_is_not(
    desk: Desk, disk: BreakableDisk, caplog: pytest.LogCaptureFixture
) -> None:
    journal = desk.journal()
    (call,) = begin(journal)
    disk.allocations.breaks()
    with caplog.at_level(logging.WARNING):
        journal.body(body(call, b"x" * SEGMENT_BYTES))
    assert f"what call {call.request_id} said is not kept" in caplog.messages[-1]
    assert journal.trouble is None
    finish(journal, [call])
    assert bodies(disk, journal) == []
    assert ends(disk, journal.id) == [call.request_id]


@pytest.mark.parametrize("has_next", [True, False])
def test_a_body_that_cannot_be_written_stops_no_end(desk: Desk, disk: BreakableDisk, has_next: bool) -> None:
    journal = desk.journal()
    (call,) = begin(journal)
    disk.writes.breaks_once()
    if not has_next:
        disk.allocations.breaks()
    journal.body(body(call))
    finish(journal, [call])
    assert ends(disk, journal.id) == [call.request_id]
    assert not refused(journal)


def test_a_body_takes_no_room_from_calls_that_were_admitted(desk: Desk, disk: BreakableDisk) -> None:
    journal = desk.journal()
    calls = begin(journal, 3)
    disk.allocations.breaks()
    for _ in range(100):
        journal.body(body(calls[0], b"x" * 1000))
    labels = {f"label-{at}": "x" * 100 for at in range(90)}
    finish(journal, [msgspec.structs.replace(call, labels=labels) for call in calls])
    assert ends(disk, journal.id) == ids(calls)
    assert journal.unwritten == 0


def test_bodies_leave_half_of_the_journal_to_calls(desk: Desk, disk: BreakableDisk) -> None:
    journal = desk.journal(max_bytes=8 * SEGMENT_BYTES)
    (call,) = begin(journal)
    for _ in range(20):
        journal.body(body(call, b"x" * (SEGMENT_BYTES // 2)))
    assert disk.size_of(journal.id) <= 4 * SEGMENT_BYTES
    assert journal.trouble is None
    finish(journal, begin(journal, 10))
    assert not refused(journal)


def test_what_is_behind_a_body_is_read(desk: Desk, disk: Disk) -> None:
    journal = desk.journal()
    made = ended(journal)
    journal.body(body(made[0]))
    made += ended(journal)
    assert ends(disk, journal.id) == ids(made)
