"""Refused calls in the journal: written where there is room, told at most once, never in a call's way."""

import asyncio
import contextlib
import logging

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
    edited,
    ended,
    ends,
    finish,
    ids,
    in_segment,
    kinds,
    on_disk,
    pieces,
    refusal,
    refusals,
    refused,
)
from tests.world.entries import entry, start_of
from tollway.domain.errors import MeteringUnavailable
from tollway.domain.ledger import Entry
from tollway.domain.refusal import Refused
from tollway.metering.disk import Disk
from tollway.metering.frames import Kind
from tollway.metering.journal import RETRY_S, Journal


def until_full(journal: Journal) -> list[Refused]:
    """Counts until no more are taken."""
    told: list[Refused] = []
    while journal.refused([refusal(len(told) + 1)]):
        told.append(refusal(len(told) + 1))
    return told


def test_counts_come_back_as_they_were_between_calls(journal: Journal, disk: Disk) -> None:
    made = ended(journal)
    told = [refusal(3), refusal(5, "plan_exhausted"), refusal(1)]
    assert journal.refused(told[:2])
    made += ended(journal)
    assert journal.refused(told[2:])
    assert refusals(disk, journal.id) == told
    assert ends(disk, journal.id) == ids(made)
    (piece,) = pieces(disk, journal.id)
    assert [offset for offset, _ in piece.refusals] == [2, 3, 6]
    assert piece.upto == journal.next_offset == 7


def test_a_piece_with_nothing_else_is_worth_folding_up_to_where_the_ledger_stands(
    journal: Journal, disk: Disk
) -> None:
    journal.refused([refusal(3)])
    (piece,) = pieces(disk, journal.id)
    batch = piece.batch(journal.id, 0)
    assert batch is not None
    assert (batch.first, batch.upto, batch.refusals) == (0, 1, [(0, refusal(3))])
    assert piece.batch(journal.id, 1) is None


async def test_whoever_folds_is_woken_by_them(journal: Journal) -> None:
    waiting = asyncio.create_task(journal.ended())
    await asyncio.sleep(0)
    assert not waiting.done()
    journal.refused([refusal()])
    await waiting


def test_they_go_on_in_the_next_segment_and_none_is_carried_there(journal: Journal, disk: Disk) -> None:
    told = [refusal(number) for number in range(1, 2_000)]
    for each in told:
        assert journal.refused([each])
    assert journal.extent[0] > 0
    assert refusals(disk, journal.id) == told
    offsets = [each.offset for each in on_disk(disk, journal.id) if each.kind != Kind.HEADER]
    assert offsets == list(range(len(told)))


def test_more_at_once_than_a_segment_holds_are_taken(journal: Journal, disk: Disk) -> None:
    told = [refusal(number) for number in range(1, 1_000)]
    assert journal.refused(told)
    assert refusals(disk, journal.id) == told


def test_they_take_no_room_from_calls_that_were_admitted(journal: Journal, disk: BreakableDisk) -> None:
    calls = begin(journal, 3)
    disk.allocations.breaks()
    told = until_full(journal)
    assert len(told) > 50
    assert journal.trouble is None
    labels = {f"label-{at}": "x" * 100 for at in range(90)}
    finish(journal, [msgspec.structs.replace(call, labels=labels) for call in calls])
    assert journal.unwritten == 0
    assert ends(disk, journal.id) == ids(calls)
    assert refusals(disk, journal.id) == told


def test_they_leave_half_of_the_journal_to_calls(desk: Desk, disk: BreakableDisk) -> None:
    journal = desk.journal(max_bytes=8 * SEGMENT_BYTES)
    told = until_full(journal)
    assert disk.size_of(journal.id) <= 4 * SEGMENT_BYTES
    assert refusals(disk, journal.id) == told
    assert not refused(journal)
    journal.folded(journal.extent[0])
    assert journal.refused([refusal()])  # in the segment that the call began


def test_while_calls_cannot_be_recorded_nothing_is_written(
    desk: Desk, disk: BreakableDisk, journal: Journal
) -> None:
    disk.writes.breaks()
    assert refused(journal)
    disk.writes.heals()
    before = kinds(disk, journal.id)
    assert journal.trouble is not None
    assert not journal.refused([refusal(2)])
    assert (kinds(disk, journal.id), journal.unwritten) == (before, 0)
    desk.clock.advance(RETRY_S)
    assert not refused(journal)
    assert journal.refused([refusal(2)])
    assert refusals(disk, journal.id) == [refusal(2)]


def test_into_a_closed_one_nothing_is_written(desk: Desk, disk: Disk, journal: Journal) -> None:
    before = disk.read(desk.die(journal), 0)
    assert not journal.refused([refusal()])
    assert (disk.segments(journal.id), disk.read(journal.id, 0)) == ([0], before)


class TestAtMostOnce:
    """What a disk may have taken is not told again."""

    @pytest.mark.parametrize("torn_at", [0, 20, 10_000])
    def test_a_write_that_fails_counts_as_told_and_is_in_no_calls_way(
        self,
        journal: Journal,
        disk: BreakableDisk,
        torn_at: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        (call,) = begin(journal)
        disk.torn_at = torn_at
        disk.writes.breaks_once()
        with caplog.at_level(logging.WARNING):
            assert journal.refused([refusal(2), refusal(3)])
        assert caplog.messages == ["2 counts of refused calls may be lost: Input/output error"]
        assert (journal.trouble, journal.unwritten) == (None, 0)
        assert journal.refused([refusal(7)])
        finish(journal, [call])
        assert sum(each.count for each in refusals(disk, journal.id)) in (7, 7 + 3)
        assert ends(disk, journal.id) == [call.request_id]

    async def test_no_record_gets_the_offset_of_one_that_may_have_been_written(
        self, desk: Desk, disk: BreakableDisk, journal: Journal
    ) -> None:
        """Else what is behind it would be taken for folded."""
        (made,) = ended(journal)
        disk.torn_at = 10_000
        disk.trims.breaks()
        disk.writes.breaks_once()
        assert journal.refused([refusal(2)])
        disk.syncs.breaks_once()
        await journal.sync()
        desk.die(journal)
        told = [each for each in on_disk(disk, journal.id) if each.kind != Kind.HEADER]
        assert [each.kind for each in told] == [Kind.START, Kind.END, Kind.REFUSED, Kind.END]
        assert [each.offset for each in told] == [0, 1, 2, 3]
        assert ends(disk, journal.id) == [made.request_id] * 2

    async def test_a_failed_synchronisation_carries_none_into_the_next_segment(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        (made,) = ended(journal)
        journal.refused([refusal(2)])
        disk.syncs.breaks_once()
        await journal.sync()
        assert journal.extent[0] == 1
        assert [each.kind for each in in_segment(disk, journal.id, 1)] == [Kind.HEADER, Kind.END]
        journal.refused([refusal(3)])
        assert refusals(disk, journal.id) == [refusal(2), refusal(3)]
        assert ends(disk, journal.id) == [made.request_id] * 2

    def test_one_that_is_damaged_costs_itself_alone(self, journal: Journal, disk: Disk) -> None:
        made = ended(journal)
        journal.refused([refusal(2)])
        journal.refused([refusal(3)])
        made += ended(journal)
        _, second = (each for each in in_segment(disk, journal.id, 0) if each.kind == Kind.REFUSED)
        with edited(disk, journal.id) as data:
            data[second.end - 1] ^= 1
        assert refusals(disk, journal.id) == [refusal(2)]
        assert ends(disk, journal.id) == ids(made)


FAULTS = ["allocations", "writes", "syncs", "trims"]
STEPS = ["start", "end", "refuse", "refuse", "sync", "wait", "fold", *FAULTS, "heal", "heal"]


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=40), torn_at=st.sampled_from([0, 30, 10_000]))
async def test_no_order_of_faults_tells_a_count_twice_or_hides_an_end(
    desk: Desk, disk: BreakableDisk, steps: list[str], torn_at: int
) -> None:
    journal = desk.journal(segment_bytes=16 * 1024)
    disk.torn_at = torn_at
    broken: set[str] = set()
    taken: list[int] = []
    doubtful: list[int] = []
    running: list[Entry] = []
    done: list[Entry] = []
    for number, step in enumerate(steps, 1):
        match step:
            case "start":
                each = entry()
                with contextlib.suppress(MeteringUnavailable):
                    journal.start(start_of(each))
                    running.append(each)
            case "end" if running:
                done.append(running.pop(0))
                finish(journal, done[-1:])
            case "refuse":
                if journal.refused([refusal(number)]):
                    (doubtful if "writes" in broken else taken).append(number)
            case "sync":
                await journal.sync()
            case "wait":
                desk.clock.advance(RETRY_S)
            case "fold":
                journal.folded(journal.extent[0] - 1)
            case "heal":
                heal(disk, broken)
            case _ if step in FAULTS:
                getattr(disk, step).breaks()
                broken.add(step)
    heal(disk, broken)
    desk.clock.advance(RETRY_S)
    refused(journal)
    counts, calls = folded_one_by_one(disk, journal)
    assert [count for count in counts if count not in doubtful] == taken
    assert len(set(counts)) == len(counts)
    assert calls == set(ids(done))
    disk.remove(desk.die(journal))


def heal(disk: BreakableDisk, broken: set[str]) -> None:
    for name in broken:
        getattr(disk, name).heals()
    broken.clear()


def folded_one_by_one(disk: Disk, journal: Journal) -> tuple[list[int], set[str]]:
    """Counts and calls as a ledger gets them that takes nothing below where it stands."""
    folded_to = 0
    counts: list[int] = []
    calls: set[str] = set()
    for piece in pieces(disk, journal.id, limit=1):
        batch = piece.batch(journal.id, folded_to)
        if batch is not None:
            counts += [each.count for at, each in batch.refusals if at >= folded_to]
            calls |= {each.request_id for at, each in batch.entries if at >= folded_to}
            folded_to = batch.upto
    return counts, calls
