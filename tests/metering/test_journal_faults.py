"""A disk that fails: no end is lost, nothing is trusted twice, and the journal goes on elsewhere."""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.metering.journals import (
    BROKEN,
    NO_ROOM,
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
    price,
    refused,
)
from tests.world.clock import TurningClock
from tests.world.entries import entry, start_of
from tests.world.waiting import until
from tollway.domain.errors import MeteringUnavailable
from tollway.domain.ledger import Entry
from tollway.metering.frames import Kind
from tollway.metering.journal import RETRY_S, Journal


@asynccontextmanager
async def running(journal: Journal) -> AsyncIterator[None]:
    task = asyncio.create_task(journal.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class TestWrites:
    def test_a_start_that_fails_is_refused_and_the_next_goes_to_a_new_segment(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        begin(journal)
        disk.writes.breaks()
        assert refused(journal)
        assert journal.trouble == "no new segment: Input/output error"
        disk.writes.heals()
        assert refused(journal)  # not tried for each call

    def test_one_failure_alone_stops_nothing(self, journal: Journal, disk: BreakableDisk) -> None:
        (first,) = begin(journal)
        disk.writes.breaks_once()
        assert refused(journal)
        assert journal.trouble is None
        second = begin(journal)
        finish(journal, [first, *second])
        assert ends(disk, journal.id) == ids([first, *second])
        assert [found.kind for found in in_segment(disk, journal.id, 1)][:3] == [
            Kind.HEADER,
            Kind.OPEN,
            Kind.START,
        ]

    @pytest.mark.parametrize("torn_at", [0, 1, 20, 200])
    def test_an_end_that_fails_is_written_to_a_new_segment_at_once(
        self, journal: Journal, disk: BreakableDisk, torn_at: int
    ) -> None:
        first, second = begin(journal, 2)
        disk.torn_at = torn_at
        disk.writes.breaks_once()
        finish(journal, [first], [price()])
        assert (journal.trouble, journal.unwritten) == (None, 0)
        finish(journal, [second], [price()])
        assert ends(disk, journal.id) == ids([first, second])
        assert Kind.PRICE in [found.kind for found in in_segment(disk, journal.id, 1)]

    def test_ends_that_no_segment_takes_are_kept_and_written_as_soon_as_one_can_be(
        self, journal: Journal, disk: BreakableDisk, clock: TurningClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        begun = begin(journal, 4)
        disk.writes.breaks()
        finish(journal, begun[:3], [price()])
        assert journal.unwritten == 3
        assert ids(journal.open) == ids(begun[3:])
        assert ends(disk, journal.id) == []
        disk.writes.heals()
        clock.advance(RETRY_S)
        more = begin(journal)
        assert (journal.trouble, journal.unwritten) == (None, 0)
        finish(journal, [begun[3], *more])
        assert ends(disk, journal.id) == ids([*begun, *more])
        assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]

    def test_an_end_takes_those_along_that_waited(self, journal: Journal, disk: BreakableDisk) -> None:
        begun = begin(journal, 3)
        disk.writes.breaks()
        finish(journal, begun[:2])
        disk.writes.heals()
        disk.allocations.breaks()
        finish(journal, begun[2:])
        assert journal.unwritten == 0
        assert ends(disk, journal.id) == ids(begun)
        assert refused(journal)

    async def test_whoever_folds_is_woken_when_they_are_written(
        self, journal: Journal, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        begun = begin(journal)
        disk.writes.breaks()
        finish(journal, begun)
        await journal.ended()
        disk.writes.heals()
        clock.advance(RETRY_S)
        begin(journal)
        async with asyncio.timeout(5):
            await journal.ended()

    async def test_the_task_tries_again_by_itself(self, journal: Journal, disk: BreakableDisk) -> None:
        begun = begin(journal)
        disk.writes.breaks()
        finish(journal, begun)
        async with running(journal):
            await asyncio.sleep(0.1)
            assert journal.trouble is not None
            disk.writes.heals()
            await until(lambda: journal.trouble is None)
        assert ends(disk, journal.id) == ids(begun)

    def test_a_segment_whose_head_cannot_be_written_is_not_left_behind(
        self, journal: Journal, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        disk.torn_at = 100
        disk.writes.breaks()
        for _ in range(3):
            assert refused(journal)
            clock.advance(RETRY_S)
            assert disk.segments(journal.id) == [0]

    def test_one_that_cannot_be_removed_either_is_stepped_over(
        self, journal: Journal, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        begun = begin(journal, 2)
        disk.torn_at = 10_000
        disk.writes.breaks()
        disk.removals.breaks()
        finish(journal, begun[:1])
        assert journal.unwritten == 1
        finish(journal, begun[1:])
        disk.writes.heals()
        disk.removals.heals()
        clock.advance(RETRY_S)
        begun += begin(journal)
        finish(journal, begun[2:])
        assert set(ends(disk, journal.id)) == set(ids(begun))
        told = [found for found in on_disk(disk, journal.id) if found.kind == Kind.END]
        assert len({found.offset for found in told}) == len(told)


class TestSynchronisation:
    async def test_after_a_failure_all_is_told_again_in_a_new_segment(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        made = ended(journal, 2)
        await journal.sync()
        made += ended(journal)
        finish(journal, again := begin(journal), [price()])
        still_open = begin(journal, 2)
        disk.syncs.breaks_once()
        await journal.sync()
        assert journal.trouble is None
        assert [found.kind for found in in_segment(disk, journal.id, 1)] == [
            Kind.HEADER,
            Kind.OPEN,
            Kind.OPEN,
            Kind.END,
            Kind.PRICE,
            Kind.END,
        ]
        assert ends(disk, journal.id)[-2:] == ids([made[-1], *again])
        assert ids(journal.open) == ids(still_open)

    async def test_a_failed_one_is_never_tried_again_on_its_segment(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        ended(journal)
        disk.syncs.breaks_once()
        for _ in range(3):
            await journal.sync()
        assert disk.synced == [0, 1, 1]

    async def test_not_even_while_there_is_no_other(
        self, disk: BreakableDisk, desk: Desk, clock: TurningClock
    ) -> None:
        journal = desk.journal("group")
        made = ended(journal)
        disk.syncs.breaks_once()
        disk.allocations.breaks(NO_ROOM)
        for _ in range(3):
            with pytest.raises(MeteringUnavailable):
                await asyncio.gather(journal.durable(), synced_soon(journal))
        assert disk.synced == [0]
        disk.allocations.heals()
        clock.advance(RETRY_S)
        made += ended(journal)
        await asyncio.gather(journal.durable(), synced_soon(journal))
        assert disk.synced == [0, 1]
        assert [found.kind for found in in_segment(disk, journal.id, 1)].count(Kind.END) == 2
        assert set(ends(disk, journal.id)) == set(ids(made))

    async def test_ends_are_still_written_while_there_is_no_other(
        self, journal: Journal, disk: BreakableDisk, clock: TurningClock
    ) -> None:
        begun = begin(journal, 2)
        disk.syncs.breaks()
        disk.allocations.breaks(NO_ROOM)
        await journal.sync()
        finish(journal, begun)
        assert ends(disk, journal.id) == ids(begun)
        assert refused(journal)
        assert journal.unwritten == 0
        disk.syncs.heals()
        disk.allocations.heals()
        clock.advance(RETRY_S)
        begin(journal)
        told = [found.kind for found in in_segment(disk, journal.id, 1)]
        assert told == [Kind.HEADER, Kind.END, Kind.END, Kind.START]

    async def test_of_the_segments_before_it_counts_too(self, journal: Journal, disk: BreakableDisk) -> None:
        made = ended(journal)
        while journal.extent[0] < 2:
            made += ended(journal)
        disk.syncs.breaks_once()
        await journal.sync()
        assert disk.synced == [0]
        again = [found for found in in_segment(disk, journal.id, 3) if found.kind == Kind.END]
        assert len(again) == len(made)
        await journal.sync()
        assert disk.synced == [0, 3]

    async def test_a_disk_on_which_none_succeeds_is_not_filled_with_segments(
        self, desk: Desk, disk: BreakableDisk
    ) -> None:
        journal = desk.journal("group")
        begun = begin(journal)
        disk.syncs.breaks()
        async with running(journal):
            with pytest.raises(MeteringUnavailable):
                async with asyncio.timeout(10):
                    await journal.durable()
            assert journal.trouble is not None
            assert len(disk.segments(journal.id)) <= 3
        finish(journal, begun)
        assert ids(begun)[0] in ends(disk, journal.id)

    async def test_what_a_write_error_overtook_is_not_said_to_be_safe(
        self, desk: Desk, disk: BreakableDisk
    ) -> None:
        """The segment is closed before its synchronisation begins, so it never happens."""
        journal = desk.journal("group")
        (first, second) = begin(journal, 2)
        finish(journal, [first])
        waiting = asyncio.create_task(journal.durable())
        await asyncio.sleep(0)
        disk.gate.clear()
        syncing = asyncio.create_task(journal.sync())
        await asyncio.to_thread(disk.gate_asked.wait, 30)
        disk.writes.breaks_once()
        finish(journal, [second])
        disk.gate.set()
        await syncing
        assert not waiting.done()
        assert first.request_id in ids_told_in(disk, journal, journal.extent[0])
        await journal.sync()
        await waiting

    async def test_one_that_was_given_up_still_counts(self, desk: Desk, disk: BreakableDisk) -> None:
        """Whoever waits for it may be cancelled; the system goes on, and its verdict is not lost."""
        journal = desk.journal("group")
        made = ended(journal)
        waiting = asyncio.create_task(journal.durable())
        await asyncio.sleep(0)
        disk.gate.clear()
        syncing = asyncio.create_task(journal.sync())
        await asyncio.to_thread(disk.gate_asked.wait, 30)
        syncing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await syncing
        disk.syncs.breaks_once()
        disk.gate.set()
        async with asyncio.timeout(10):
            await journal.sync()
            await waiting
        assert disk.synced == [0, 1]
        assert ids_told_in(disk, journal, 1) == ids(made)


def ids_told_in(disk: BreakableDisk, journal: Journal, number: int) -> list[str]:
    told = [found.payload for found in in_segment(disk, journal.id, number) if found.kind == Kind.END]
    return [msgspec.msgpack.decode(payload, type=Entry).request_id for payload in told]


async def synced_soon(journal: Journal) -> None:
    """As the task does it, once whoever waits has said so."""
    await asyncio.sleep(0)
    await journal.sync()


FAULTS = ["allocations", "writes", "syncs", "trims", "removals"]
STEPS = [
    "start",
    "start",
    "end",
    "end",
    "sync",
    "wait",
    "fold",
    *FAULTS,
    *(f"heal {name}" for name in FAULTS),
]


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=40), torn_at=st.integers(0, 1000))
async def test_no_order_of_faults_loses_an_end(
    desk: Desk, clock: TurningClock, steps: list[str], torn_at: int
) -> None:
    disk = BreakableDisk(desk.disk.root)
    own = Desk(disk, clock)
    disk.torn_at = torn_at
    journal = own.journal(segment_bytes=16 * 1024)
    running_: list[Entry] = []
    done: list[Entry] = []
    for step in steps:
        match step:
            case "start":
                each = entry()
                with contextlib.suppress(MeteringUnavailable):
                    journal.start(start_of(each))
                    running_.append(each)
            case "end" if running_:
                done.append(running_.pop(0))
                finish(journal, done[-1:], [price()])
            case "sync":
                await journal.sync()
            case "wait":
                clock.advance(RETRY_S)
            case "fold":
                journal.folded(journal.extent[0] - 1)
            case _ if step in FAULTS:
                getattr(disk, step).breaks(OSError(errno.EIO, os.strerror(errno.EIO)))
            case _ if step.startswith("heal"):
                getattr(disk, step.removeprefix("heal ")).heals()
        assert ids(journal.open) == ids(running_)
    for name in FAULTS:
        getattr(disk, name).heals()
    clock.advance(RETRY_S)
    if not refused(journal):
        assert journal.unwritten == 0
    assert set(ends(disk, journal.id)) == set(ids(done))
    offsets = {found.offset: found.payload for found in on_disk(disk, journal.id) if found.kind == Kind.END}
    assert len(offsets) == kinds(disk, journal.id).count(Kind.END)
    disk.remove(own.die(journal))


def test_the_faults_of_these_tests_are_the_systems() -> None:
    assert (BROKEN.errno, NO_ROOM.errno) == (errno.EIO, errno.ENOSPC)
