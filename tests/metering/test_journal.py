"""The journal: room before, one end for each start, in order, and never more than its bound."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.world.entries import JOURNAL, entry, start_of
from tollway.domain.errors import MeteringUnavailable
from tollway.domain.ledger import Entry
from tollway.metering.journal import Journal


def ended(journal: Journal, count: int) -> list[Entry]:
    written = [entry() for _ in range(count)]
    for each in written:
        journal.start(start_of(each))
        journal.end(each)
    return written


def test_entries_stay_in_order_and_until_they_are_folded() -> None:
    journal = Journal(JOURNAL, 10)
    written = ended(journal, 4)
    assert journal.peek(10) == list(enumerate(written))
    assert journal.peek(2) == [(0, written[0]), (1, written[1])]
    journal.folded(1)
    assert journal.peek(10) == [(2, written[2]), (3, written[3])]
    assert journal.waiting == 2


def test_entries_are_ordered_by_their_ends_and_not_by_their_starts() -> None:
    journal = Journal(JOURNAL, 10)
    first, second = entry(), entry()
    for each in (first, second):
        journal.start(start_of(each))
    for each in (second, first):
        journal.end(each)
    assert [each for _, each in journal.peek(10)] == [second, first]


def test_offsets_go_on_after_a_fold() -> None:
    journal = Journal(JOURNAL, 10)
    ended(journal, 2)
    journal.folded(1)
    ended(journal, 1)
    assert [offset for offset, _ in journal.peek(10)] == [2]


def test_folding_again_or_beyond_forgets_nothing_that_came_later() -> None:
    journal = Journal(JOURNAL, 10)
    ended(journal, 2)
    journal.folded(0)
    journal.folded(0)
    assert journal.waiting == 1
    journal.folded(99)
    assert journal.waiting == 0
    assert journal.peek(10) == []


def test_a_call_that_was_admitted_has_room_for_its_end() -> None:
    journal = Journal(JOURNAL, 2)
    admitted = [entry(), entry()]
    for each in admitted:
        journal.start(start_of(each))
    assert not journal.has_room
    with pytest.raises(MeteringUnavailable):
        journal.start(start_of(entry()))
    for each in admitted:
        journal.end(each)
    assert journal.waiting == 2
    assert not journal.has_room


def test_a_refused_call_leaves_no_trace_and_room_comes_back_with_the_fold() -> None:
    journal = Journal(JOURNAL, 1)
    ended(journal, 1)
    refused = entry()
    with pytest.raises(MeteringUnavailable) as raised:
        journal.start(start_of(refused))
    assert (raised.value.status, raised.value.retryable) == (503, True)
    assert list(journal.open) == []
    journal.folded(0)
    journal.start(start_of(refused))
    assert list(journal.open) == [start_of(refused)]


def test_a_call_ends_once() -> None:
    journal = Journal(JOURNAL, 10)
    (written,) = ended(journal, 1)
    with pytest.raises(KeyError):
        journal.end(written)
    assert journal.waiting == 1


def test_a_call_that_never_started_does_not_end() -> None:
    journal = Journal(JOURNAL, 10)
    with pytest.raises(KeyError):
        journal.end(entry())
    assert journal.waiting == 0


def test_attempts_of_one_request_start_and_end_apart() -> None:
    journal = Journal(JOURNAL, 10)
    first = entry(attempt=1)
    second = entry(attempt=2, request_id=first.request_id)
    for each in (first, second):
        journal.start(start_of(each))
    journal.end(second)
    assert list(journal.open) == [start_of(first)]
    journal.end(first)
    assert len(journal.open) == 0


async def test_whoever_folds_is_woken_by_an_end_and_waits_again_after_the_last_fold() -> None:
    journal = Journal(JOURNAL, 10)
    waiting = asyncio.create_task(journal.ended())
    await asyncio.sleep(0)
    assert not waiting.done()
    ended(journal, 2)
    await waiting
    journal.folded(0)
    await journal.ended()  # one is left
    journal.folded(1)
    waiting = asyncio.create_task(journal.ended())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


@hypothesis_settings(max_examples=100, deadline=None)
@given(bound=st.integers(1, 5), steps=st.lists(st.sampled_from(["start", "end", "fold"]), max_size=40))
def test_no_way_of_using_it_exceeds_the_bound_or_loses_a_call(bound: int, steps: list[str]) -> None:
    journal = Journal(JOURNAL, bound)
    running: list[Entry] = []
    admitted = done = folded = 0
    for step in steps:
        match step:
            case "start":
                each = entry()
                if journal.has_room:
                    journal.start(start_of(each))
                    running.append(each)
                    admitted += 1
                else:
                    with pytest.raises(MeteringUnavailable):
                        journal.start(start_of(each))
            case "end" if running:
                journal.end(running.pop())
                done += 1
            case "fold" if journal.waiting:
                ((offset, _),) = journal.peek(1)
                assert offset == folded
                journal.folded(offset)
                folded += 1
        assert len(journal.open) + journal.waiting <= bound
        assert (len(journal.open), journal.waiting) == (admitted - done, done - folded)
