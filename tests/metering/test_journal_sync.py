"""When what was written outlives the machine: never, each interval, or before anybody goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.metering.journals import (
    NO_ROOM,
    BreakableDisk,
    Desk,
    begin,
    ended,
    ends,
    finish,
    ids,
    refused,
    rotate,
)
from tests.world.waiting import until
from tollway.domain.errors import MeteringUnavailable
from tollway.metering.journal import RETRY_S, Fsync, Journal

PATIENCE_S = 30


@asynccontextmanager
async def running(journal: Journal) -> AsyncIterator[None]:
    task = asyncio.create_task(journal.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def asked(disk: BreakableDisk) -> None:
    """A synchronisation has begun."""
    assert await asyncio.to_thread(disk.gate_asked.wait, PATIENCE_S)
    disk.gate_asked.clear()


async def waiting(journal: Journal) -> "asyncio.Task[None]":
    """Somebody who waits until all is durable."""
    task = asyncio.create_task(journal.durable())
    await asyncio.sleep(0)
    return task


class TestGroup:
    @pytest.fixture
    def journal(self, desk: Desk) -> Journal:
        return desk.journal("group")

    async def test_nobody_goes_on_before_a_synchronisation(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        disk.gate.clear()
        begin(journal)
        first = await waiting(journal)
        async with running(journal):
            await asked(disk)
            await asyncio.sleep(0.01)
            assert not first.done()
            disk.gate.set()
            await first

    async def test_one_that_began_before_the_write_does_not_count(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        disk.gate.clear()
        begin(journal)
        first = await waiting(journal)
        async with running(journal):
            await asked(disk)
            begin(journal)
            second = await waiting(journal)
            assert disk.synced == [0]
            disk.gate.set()
            await first
            await second
        assert disk.synced == [0, 0]

    async def test_one_is_enough_for_all_who_wait(self, journal: Journal, disk: BreakableDisk) -> None:
        tasks = []
        for _ in range(50):
            ended(journal)
            tasks.append(await waiting(journal))
        async with running(journal):
            await asyncio.gather(*tasks)
        assert disk.synced == [0]

    async def test_the_segments_before_are_synchronised_with_it(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        rotate(journal)
        rotate(journal)
        async with running(journal):
            await journal.durable()
        assert disk.synced == [0, 1, 2]

    async def test_whoever_leaves_is_in_nobodys_way(self, journal: Journal) -> None:
        begin(journal)
        gone, kept = await waiting(journal), await waiting(journal)
        gone.cancel()
        async with running(journal):
            await kept
        assert gone.cancelled()

    async def test_a_disk_that_fails_once_is_waited_for(self, journal: Journal, disk: BreakableDisk) -> None:
        (each,) = begin(journal)
        disk.syncs.breaks_once()
        async with running(journal):
            await journal.durable()
        assert disk.synced == [0, 1]
        assert ids(journal.open) == [each.request_id]

    async def test_without_a_segment_to_go_on_in_whoever_waits_is_told_so(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        begin(journal)
        disk.syncs.breaks()
        disk.allocations.breaks(NO_ROOM)
        tasks = [await waiting(journal) for _ in range(3)]
        tasks[0].cancel()
        async with running(journal):
            results = await asyncio.gather(*tasks[1:], return_exceptions=True)
            assert [type(result) for result in results] == [MeteringUnavailable] * 2
            with pytest.raises(MeteringUnavailable):  # at once, also later
                await journal.durable()

    async def test_an_end_that_no_disk_has_is_not_waited_for(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        begun = begin(journal)
        disk.writes.breaks()
        finish(journal, begun)
        with pytest.raises(MeteringUnavailable):
            await journal.durable()

    async def test_a_journal_that_is_closed_makes_nothing_durable(self, desk: Desk, journal: Journal) -> None:
        ended(journal)
        desk.die(journal)
        task = await waiting(journal)
        await journal.sync()
        with pytest.raises(MeteringUnavailable):
            await task

    async def test_two_that_synchronise_at_once_take_turns(
        self, journal: Journal, disk: BreakableDisk
    ) -> None:
        disk.gate.clear()
        ended(journal)
        first = asyncio.create_task(journal.sync())
        await asked(disk)
        others = [asyncio.create_task(journal.sync()) for _ in range(2)]
        await asyncio.sleep(0.01)
        assert disk.synced == [0]
        disk.gate.set()
        await asyncio.gather(first, *others)
        assert disk.synced == [0, 0, 0]


class TestInterval:
    async def test_nobody_waits_and_it_happens_by_itself(self, desk: Desk, disk: BreakableDisk) -> None:
        journal = desk.journal("interval")
        async with running(journal):
            ended(journal)
            await journal.durable()
            assert disk.synced == []
            await asked(disk)
        assert disk.synced == [0]

    async def test_one_covers_all_calls_of_its_time(self, desk: Desk, disk: BreakableDisk) -> None:
        journal = desk.journal("interval")
        made = []
        async with running(journal):
            for _ in range(10):
                made += ended(journal)
                await asyncio.sleep(0)
            await asked(disk)
        assert disk.synced == [0]
        assert ends(disk, journal.id) == ids(made)

    async def test_a_failure_refuses_nobody_as_long_as_there_is_another_segment(
        self, desk: Desk, disk: BreakableDisk
    ) -> None:
        journal = desk.journal("interval")
        ended(journal)
        disk.syncs.breaks_once()
        async with running(journal):
            await asked(disk)
            await asked(disk)
        assert disk.synced == [0, 1]
        assert not refused(journal)


class TestNever:
    async def test_nothing_is_synchronised_and_nobody_waits(self, desk: Desk, disk: BreakableDisk) -> None:
        journal = desk.journal("never")
        async with running(journal):
            begun = begin(journal)
            await journal.durable()
            finish(journal, begun)
            await journal.durable()
            made = rotate(journal)
            await asyncio.sleep(0.1)
        assert disk.synced == []
        assert ends(disk, journal.id) == ids([*begun, *made])

    async def test_what_failed_is_tried_again_all_the_same(self, desk: Desk, disk: BreakableDisk) -> None:
        journal = desk.journal("never")
        begun = begin(journal)
        disk.writes.breaks()
        finish(journal, begun)
        assert journal.unwritten == 1
        disk.writes.heals()
        async with running(journal):
            await journal.ended()
            await until(lambda: journal.trouble is None)
        assert ends(disk, journal.id) == ids(begun)

    async def test_at_a_stop_it_is_all_the_same(self, desk: Desk, disk: BreakableDisk) -> None:
        journal = desk.journal("never")
        ended(journal)
        await journal.sync()
        assert disk.synced == [0]


async def test_with_nothing_to_do_the_task_does_none_of_it(desk: Desk, disk: BreakableDisk) -> None:
    journal = desk.journal("never")
    async with running(journal):
        await asyncio.sleep(RETRY_S + 0.1)
    assert (disk.segments(journal.id), journal.next_offset) == ([0], 0)


@pytest.mark.parametrize("fsync", ["never", "interval", "group"])
async def test_the_task_can_be_stopped_at_any_time(desk: Desk, fsync: Fsync) -> None:
    journal = desk.journal(fsync)
    for turns in range(4):
        async with running(journal):
            ended(journal)
            for _ in range(turns):
                await asyncio.sleep(0)
    await journal.sync()
    assert journal.trouble is None
