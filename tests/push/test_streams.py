"""The time that a line is sent with, what goes in one push, and what is skipped."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.world.clock import NOON_US
from tests.world.entries import entry
from tollway.demo.loki import LokiReceiver
from tollway.domain.body import Part
from tollway.domain.ids import AppId
from tollway.push import loki, streams
from tollway.push.streams import MAX_AGE_US, MAX_AHEAD_US, MAX_BEHIND_US, Push, Streams
from tollway.store.usage import StoredEntry

MINUTE_US = 60 * 1_000_000
HOUR_US = 60 * MINUTE_US


def row(seq: int, ended_us: int, **fields: Any) -> StoredEntry:  # noqa: ANN401 - columns by name
    return StoredEntry(seq=seq, entry=entry(ended_us=ended_us, started_us=ended_us, **fields))


def rows(*ended_us: int, first: int = 1) -> list[StoredEntry]:
    return [row(first + index, at_us) for index, at_us in enumerate(ended_us)]


def pushes(made: Sequence[StoredEntry], known: Streams | None = None, now_us: int = NOON_US) -> list[Push]:
    return list((known or Streams(org="acme")).pushes(made, now_us=now_us))


def times(found: Sequence[Push]) -> list[int]:
    return [line.at_us for push in found for line in push.lines]


def seqs(found: Sequence[Push]) -> list[list[int]]:
    return [[line.seq for line in push.lines] for push in found]


def knowing(*ended_us: int) -> Streams:
    """Streams into which lines of these times were sent."""
    known = Streams(org="acme")
    for push in known.pushes(rows(*ended_us), now_us=NOON_US):
        known.sent(push)
    return known


def test_no_rows_are_no_push() -> None:
    assert pushes([]) == []


@pytest.mark.parametrize("behind_us", [0, MINUTE_US, MAX_BEHIND_US])
def test_a_row_less_than_an_hour_behind_is_sent_with_its_own_time(behind_us: int) -> None:
    assert times(pushes(rows(NOON_US, NOON_US - behind_us))) == [NOON_US, NOON_US - behind_us]
    late = rows(NOON_US - behind_us, first=2)
    assert times(pushes(late, knowing(NOON_US))) == [NOON_US - behind_us]


@pytest.mark.parametrize("behind_us", [MAX_BEHIND_US + 1, 2 * HOUR_US, 100 * HOUR_US])
def test_a_row_further_behind_is_sent_with_the_newest_time_of_its_stream(behind_us: int) -> None:
    newest_us = NOON_US - HOUR_US
    late_us = newest_us - behind_us
    assert times(pushes(rows(newest_us, late_us))) == [newest_us, newest_us]
    assert times(pushes(rows(late_us, first=2), knowing(newest_us, newest_us - 1))) == [newest_us]


def test_an_old_row_among_a_backlog_does_not_take_the_times_of_those_after_it() -> None:
    begin_us = NOON_US - 72 * HOUR_US
    backlog = [begin_us, begin_us - 2 * HOUR_US, begin_us + MINUTE_US]
    assert times(pushes(rows(*backlog))) == [begin_us, begin_us, begin_us + MINUTE_US]


def test_another_app_and_another_level_are_other_streams() -> None:
    late_us = NOON_US - 2 * HOUR_US
    made = [row(1, NOON_US), row(2, late_us, app="other"), row(3, late_us, status=500), row(4, late_us)]
    assert times(pushes(made)) == [NOON_US, late_us, late_us, NOON_US]


def test_what_was_not_sent_is_not_known() -> None:
    known = Streams(org="acme")
    assert times(pushes(rows(NOON_US), known)) == [NOON_US]
    late_us = NOON_US - 2 * HOUR_US
    assert times(pushes(rows(late_us), known)) == [late_us]


def test_rows_are_given_the_same_times_again_as_long_as_they_are_not_sent() -> None:
    known = knowing(NOON_US - HOUR_US)
    made = rows(NOON_US - 3 * HOUR_US, NOON_US, NOON_US - 2 * HOUR_US, first=2)
    assert times(pushes(made, known)) == times(pushes(made, known, NOON_US + HOUR_US))


@pytest.mark.parametrize("ahead_us", [MAX_AHEAD_US + 1, HOUR_US, 10_000 * HOUR_US])
def test_a_row_from_the_future_is_sent_with_the_present_time(ahead_us: int) -> None:
    assert times(pushes(rows(NOON_US + ahead_us))) == [NOON_US]
    assert times(pushes(rows(NOON_US + MAX_AHEAD_US))) == [NOON_US + MAX_AHEAD_US]


def test_after_a_clock_was_set_back_by_an_hour_lines_are_still_taken() -> None:
    known = knowing(NOON_US)
    double = LokiReceiver(user="u", token="t", now=lambda: (NOON_US - HOUR_US) / 1e6)
    double.receive(loki.body(pushes(rows(NOON_US))[0].lines), loki.HEADERS)
    (push,) = pushes(rows(NOON_US - HOUR_US, first=2), known, NOON_US - HOUR_US)
    assert times([push]) == [NOON_US - HOUR_US + MAX_AHEAD_US]


def test_a_row_older_than_loki_takes_is_skipped_and_counted() -> None:
    too_old_us = NOON_US - MAX_AGE_US - 1
    (push,) = pushes(rows(too_old_us, NOON_US, too_old_us, too_old_us + 1, too_old_us))
    assert seqs([push]) == [[2, 4]]
    assert push.too_old == [1, 3, 5]
    assert push.upto_seq == 5


def test_rows_that_are_all_too_old_are_a_push_without_lines() -> None:
    (push,) = pushes(rows(NOON_US - MAX_AGE_US - 1, 0, -1))
    assert (push.lines, push.too_old, push.upto_seq, push.size_bytes) == ([], [1, 2, 3], 3, 0)


def test_nothing_is_skipped_without_reason() -> None:
    (push,) = pushes(rows(NOON_US))
    assert (push.too_old, push.upto_seq) == ([], 1)


def test_a_push_has_a_thousand_lines_at_most() -> None:
    found = pushes(rows(*[NOON_US] * 2_001))
    assert [len(push.lines) for push in found] == [1_000, 1_000, 1]
    assert [push.upto_seq for push in found] == [1_000, 2_000, 2_001]


def test_a_push_has_a_million_bytes_at_most() -> None:
    made = [row(seq, NOON_US, end_user="x" * 240_000) for seq in range(1, 10)]
    found = pushes(made)
    assert seqs(found) == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert all(push.size_bytes <= streams.MAX_BYTES_PER_PUSH for push in found)
    assert found[0].size_bytes == sum(line.size_bytes for line in found[0].lines)


def test_a_push_has_no_more_of_a_stream_than_loki_looks_back() -> None:
    """So that it is taken a second time, too: its answer may be lost."""
    begin_us = NOON_US - 10 * HOUR_US
    found = pushes(rows(begin_us, begin_us + MAX_BEHIND_US, begin_us + MAX_BEHIND_US + 1, NOON_US))
    assert seqs(found) == [[1, 2], [3], [4]]
    apart = [row(1, begin_us), row(2, NOON_US, app="other")]
    assert seqs(pushes(apart)) == [[1, 2]]


def test_a_sparse_backlog_keeps_its_times() -> None:
    hourly = [NOON_US - hours * HOUR_US for hours in range(100, 0, -1)]
    assert times(pushes(rows(*hourly))) == hourly


def test_a_push_is_made_when_it_is_asked_for() -> None:
    unfinished = Streams(org="acme").pushes([*rows(*[NOON_US] * 1_001), row(1_002, 10**20)], now_us=NOON_US)
    assert len(next(unfinished).lines) == 1_000
    with pytest.raises(ValueError, match="year"):  # no date has that many microseconds
        next(unfinished)


def test_halves_are_the_same_rows_in_order() -> None:
    too_old_us = NOON_US - MAX_AGE_US - 1
    (push,) = pushes(rows(too_old_us, NOON_US, NOON_US, too_old_us, NOON_US, too_old_us))
    first, second = push.halves()
    assert seqs([first, second]) == [[2], [3, 5]]
    assert (first.too_old, second.too_old) == ([1], [4, 6])
    assert (first.upto_seq, second.upto_seq) == (2, 6)


def test_a_push_that_is_retimed_bears_the_time_of_sending() -> None:
    (push,) = pushes(rows(NOON_US - HOUR_US, 0))
    again = push.retimed(NOON_US + 1)
    assert (times([again]), again.too_old) == ([NOON_US + 1], [2])
    assert again.lines[0].text == push.lines[0].text


def test_what_another_process_sent_is_recalled_from_its_rows() -> None:
    known = Streams(org="acme")
    known.recall(rows(NOON_US - MINUTE_US, NOON_US - 3 * HOUR_US), now_us=NOON_US)
    assert times(pushes(rows(NOON_US - 2 * HOUR_US, first=3), known)) == [NOON_US - MINUTE_US]


def test_a_row_from_the_future_is_recalled_as_what_it_was_sent_with_at_most() -> None:
    known = Streams(org="acme")
    known.recall(rows(NOON_US + 1_000 * HOUR_US), now_us=NOON_US)
    assert times(pushes(rows(NOON_US - 2 * HOUR_US, first=2), known)) == [NOON_US]


def test_no_more_than_a_thousand_streams_are_remembered_and_the_oldest_is_forgotten_first() -> None:
    made = [
        row(number + 1, NOON_US - MINUTE_US + number, app=f"app-{number}")
        for number in range(streams.MAX_STREAMS + 1)
    ]
    known = Streams(org="acme")
    for push in pushes(made, known):
        known.sent(push)
    late_us = NOON_US - 2 * HOUR_US
    late = [row(5_000 + number, late_us, app=f"app-{number}") for number in (0, 1, streams.MAX_STREAMS)]
    assert times(pushes(late, known))[0] == late_us
    assert times(pushes(late, known))[1:] == [made[1].entry.ended_us, made[-1].entry.ended_us]


def test_an_app_has_its_own_privacy_level_if_it_has_one_and_else_the_organisations() -> None:
    made = [row(1, NOON_US, app_id="open"), row(2, NOON_US, app_id="closed"), row(3, NOON_US, app_id="plain")]
    kept = {(one.entry.request_id, 1, Part.REQUEST): b"XYZZY" for one in made}
    found = Streams(org="acme").pushes(
        made, now_us=NOON_US, privacy_level=3, app_levels={AppId("open"): 1, AppId("closed"): 2}, bodies=kept
    )
    texts = [msgspec.json.decode(line.text) for push in found for line in push.lines]
    assert ["request" in text for text in texts] == [True, False, False]
    assert ["labels" in text for text in texts] == [True, True, False]


def test_bodies_are_not_sent_unless_the_organisation_asked_for_it() -> None:
    (made,) = rows(NOON_US)
    kept = {(made.entry.request_id, 1, Part.REQUEST): b"XYZZY"}
    (push,) = Streams(org="acme").pushes([made], now_us=NOON_US, bodies=kept)
    assert b"XYZZY" not in push.lines[0].text


def test_a_push_made_before_another_was_retimed_is_fitted_to_its_streams() -> None:
    known = Streams(org="acme")
    early_us = NOON_US - 3 * HOUR_US
    made = [row(1, early_us), row(2, early_us), row(3, early_us, app="other"), row(4, 0)]
    (push,) = pushes(made, known)
    first, rest = push.halves()
    known.sent(first.retimed(NOON_US))
    fitted = known.refit(rest)
    assert times([known.refit(first), fitted]) == [NOON_US, NOON_US, early_us]
    assert (fitted.too_old, fitted.upto_seq) == ([4], 4)
    assert [line.text for line in fitted.lines] == [line.text for line in rest.lines]


def test_a_push_that_fits_stays_as_it_is() -> None:
    known = knowing(NOON_US)
    (push,) = pushes(rows(NOON_US - 2 * HOUR_US, NOON_US - MINUTE_US, first=2), known)
    assert known.refit(push) == push
