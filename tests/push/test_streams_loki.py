"""Whatever rows there are, a strict Loki takes their pushes, all of them, in order, and again."""

import gzip
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.push.test_streams import HOUR_US, MINUTE_US, row
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import cost
from tollway.demo.loki import LokiReceiver
from tollway.domain.body import PrivacyLevel
from tollway.domain.money import parse_usd
from tollway.push import loki
from tollway.push.streams import MAX_AGE_US, Push, Streams
from tollway.store.usage import StoredEntry

RECALLED = 1_000

offsets = st.one_of(
    st.integers(-3 * HOUR_US, 12 * MINUTE_US),
    st.integers(-8 * 24 * HOUR_US, 48 * HOUR_US),
    st.integers(-300, 300).map(lambda quarters: quarters * 15 * MINUTE_US),
    st.sampled_from([-HOUR_US, -HOUR_US - 1, -MAX_AGE_US, -7 * 24 * HOUR_US, -7 * 24 * HOUR_US - 1]),
)
texts = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from([1, 1, 1, 1, 40_000]),
)


@st.composite
def made_rows(draw: st.DrawFn) -> list[StoredEntry]:
    drawn = draw(st.lists(st.tuples(offsets, st.integers(0, 10**15), texts), min_size=1, max_size=14))
    return [
        row(
            seq,
            NOON_US + offset_us,
            app=draw(st.sampled_from(["shop", "größer"])),
            status=draw(st.sampled_from([200, 502])),
            end_user=text,
            cost=cost(nano, 0),
        )
        for seq, (offset_us, nano, text) in enumerate(drawn, start=1)
    ]


class Receiver:
    """A strict Loki, and what a process does with it."""

    def __init__(self) -> None:
        self.clock = TurningClock()
        self.loki = LokiReceiver(user="u", token="t", now=self.clock.now_s, rate_limit_bytes_per_s=10**9)
        self.skipped: set[int] = set()
        self.refused: set[int] = set()
        self.num_answers = 0

    def take(self, push: Push) -> int:
        self.num_answers += 1
        body = push.encode()
        for stream in msgspec.json.decode(gzip.decompress(body))["streams"]:
            sent = [int(time_ns) for time_ns, _, _ in stream["values"]]
            assert sent == sorted(sent)
        return self.loki.receive(body, loki.HEADERS)[0]

    def deliver(self, known: Streams, rows: Sequence[StoredEntry]) -> None:
        """As a process delivers rows that may be refused."""
        for push in known.pushes(rows, now_us=self.clock.now_us()):
            parts = [push]
            while parts:
                part = known.refit(parts.pop())
                status = self.take(part) if part.lines else 204
                if status == 400 and len(part.lines) > 1:
                    parts.extend(reversed(part.halves()))
                    continue
                self.skipped.update(part.too_old)
                if status == 400:
                    part = part.retimed(self.clock.now_us())
                    if self.take(part) == 400:
                        self.refused.update(line.seq for line in part.lines)
                        continue
                known.sent(part)

    def stored(self) -> dict[int, dict[str, msgspec.Raw]]:
        """The lines that the receiver has, by the number of their row."""
        lines = [msgspec.json.decode(line.text, type=dict[str, msgspec.Raw]) for line in self.loki.lines()]
        return {int(bytes(line["seq"])): line for line in lines}

    def check(self, rows: Sequence[StoredEntry]) -> None:
        """Every row that was not skipped is stored, with its money, in its stream; nothing else is."""
        stored = self.stored()
        assert set(stored) | self.skipped == {one.seq for one in rows}
        for one in rows:
            if one.seq in self.skipped:
                assert one.entry.ended_us < self.clock.now_us() - MAX_AGE_US
            else:
                found = stored[one.seq]
                assert parse_usd(bytes(found["cost_usd"]).decode()) == one.entry.cost.total
                assert msgspec.json.decode(found["app"]) == one.entry.app


@settings(deadline=None, max_examples=100)
@given(made_rows(), st.data(), st.sampled_from([1, 2, 3]))
def test_every_row_is_taken_in_any_order_over_several_batches_and_again(
    rows: list[StoredEntry], data: st.DataObject, level: PrivacyLevel
) -> None:
    """Answers that are lost, and processes that come anew, change nothing."""
    receiver = Receiver()
    known = Streams(org="acme")
    cursor = 0
    for upto in [*data.draw(st.lists(st.integers(0, len(rows)), max_size=4)), len(rows)]:
        receiver.clock.advance(data.draw(st.integers(0, 7_200)))
        if data.draw(st.booleans()):
            known = Streams(org="acme")
            known.recall(rows[max(0, cursor - RECALLED) : cursor], now_us=receiver.clock.now_us())
        for push in known.pushes(rows[cursor:upto], now_us=receiver.clock.now_us(), privacy_level=level):
            assert not push.lines or receiver.take(push) == 204
            if upto < len(rows) and data.draw(st.booleans()):
                break  # the answer is lost: it is sent again, with what came since
            known.sent(push)
            receiver.skipped.update(push.too_old)
            cursor = push.upto_seq
    assert cursor == len(rows)
    stored = receiver.stored()
    receiver.skipped -= set(stored)  # it was sent, grew too old while its answer was lost, and was counted
    receiver.check(rows)


@settings(deadline=None, max_examples=100)
@given(made_rows(), st.lists(st.integers(0, 14), max_size=4))
def test_no_row_is_lost_by_processes_that_know_nothing_of_what_was_sent(
    rows: list[StoredEntry], starts: list[int]
) -> None:
    receiver = Receiver()
    for start, upto in pairwise(sorted({0, len(rows), *(start for start in starts if start < len(rows))})):
        receiver.clock.advance(1)
        receiver.deliver(Streams(org="acme"), rows[start:upto])
    assert receiver.refused == set()
    receiver.check(rows)


def test_a_push_that_was_stored_is_stored_once_however_often_it_is_sent() -> None:
    receiver = Receiver()
    rows = [row(seq, NOON_US - (seq % 3) * 40 * MINUTE_US) for seq in range(1, 10)]
    for push in Streams(org="acme").pushes(rows, now_us=NOON_US):
        for part in (push, *(push.halves() if len(push.lines) > 1 else ()), push):
            assert receiver.take(part) == 204
    assert len(receiver.loki.lines()) == 9


def test_one_line_that_stands_in_the_way_of_a_backlog_costs_few_requests() -> None:
    """A process that knows nothing sends a line with the present time; what follows is behind that one."""
    receiver = Receiver()
    begin_us = NOON_US - 48 * HOUR_US
    receiver.deliver(Streams(org="acme"), [row(1, begin_us)])
    rows = [row(2, begin_us - 2 * HOUR_US)]
    rows += [row(seq, begin_us + seq * 1_000_000) for seq in range(3, 1_003)]
    receiver.num_answers = 0
    receiver.deliver(Streams(org="acme"), rows)
    assert receiver.num_answers < 30
    receiver.check([row(1, begin_us), *rows])


def test_a_line_that_is_refused_whatever_its_time_does_not_stop_the_others() -> None:
    receiver = Receiver()
    receiver.loki.line_limit_bytes = 2_000
    rows = [row(seq, NOON_US, end_user="x" * (3_000 if seq in {4, 5} else 3)) for seq in range(1, 9)]
    receiver.deliver(Streams(org="acme"), rows)
    assert receiver.refused == {4, 5}
    assert set(receiver.stored()) == {1, 2, 3, 6, 7, 8}
