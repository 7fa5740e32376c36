"""A journal is read from any offset on: every whole record once, in order, whatever lies between."""

import logging
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.metering.journals import (
    BreakableDisk,
    Desk,
    begin,
    edited,
    ended,
    ends,
    finish,
    ids,
    in_segment,
    on_disk,
    pieces,
    price,
    records,
    rotate,
    segment_path,
    starts,
)
from tests.world.clock import NOON_US
from tests.world.entries import entry, start_of
from tollway.domain.errors import JournalUnreadable
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Entry
from tollway.metering.disk import Disk
from tollway.metering.frames import FRAME_BYTES, VERSION, Header, Kind, frame, header_frame
from tollway.metering.journal import Journal
from tollway.metering.reader import Reader

SALT = 0x5EED_CAFE


@pytest.fixture
def three(journal: Journal) -> tuple[Journal, list[Entry]]:
    """A journal of three segments, and what ended in it."""
    return journal, rotate(journal) + rotate(journal) + ended(journal, 3)


def test_it_tells_starts_ends_and_prices_of_each_piece(journal: Journal, disk: Disk) -> None:
    first, second = begin(journal, 2)
    finish(journal, [first], [price()])
    (piece,) = pieces(disk, journal.id)
    assert (piece.upto, piece.starts) == (4, [start_of(first), start_of(second)])
    assert (piece.entries, piece.prices) == ([(3, first)], [price()])


@pytest.mark.parametrize("limit", [1, 2, 7, 10_000])
def test_pieces_of_any_size_are_the_same_records(
    three: tuple[Journal, list[Entry]], disk: Disk, limit: int
) -> None:
    journal, made = three
    found = pieces(disk, journal.id, limit=limit)
    assert [each.request_id for piece in found for _, each in piece.entries] == ids(made)
    assert found[-1].upto == journal.next_offset
    assert all(len(piece.entries) + len(piece.starts) <= limit for piece in found)


def test_it_begins_with_the_segment_that_holds_the_offset(
    three: tuple[Journal, list[Entry]], disk: Disk
) -> None:
    journal, _ = three
    firsts = [in_segment(disk, journal.id, number)[0].offset for number in range(3)]
    for number, first in enumerate(firsts):
        for offset, back, begins_in in (
            (first, 0, number),
            (first + 1, 0, number),
            (first, 1, max(number - 1, 0)),
            (first, 9, 0),
        ):
            reader = Reader(disk, journal.id, offset, back=back)
            assert (reader.number, reader.upto, reader.oldest) == (begins_in, firsts[begins_in], 0)
    assert Reader(disk, journal.id, 10**12).number == 2


def test_what_was_removed_is_not_waited_for(three: tuple[Journal, list[Entry]], disk: Disk) -> None:
    journal, made = three
    disk.remove_segment(journal.id, 0)
    reader = Reader(disk, journal.id, 0)
    assert (reader.number, reader.oldest) == (1, in_segment(disk, journal.id, 1)[0].offset)
    assert ends(disk, journal.id) == ids(made)[-len(ends(disk, journal.id)) :]


def test_a_segment_that_is_removed_while_it_is_read_ends_there(
    three: tuple[Journal, list[Entry]], disk: Disk
) -> None:
    journal, _ = three
    reader = Reader(disk, journal.id, 0)
    assert reader.read(1) is not None
    disk.remove_segment(journal.id, 0)
    piece = reader.read(10_000)
    assert piece is not None
    assert reader.number == 1


def test_one_that_is_removed_while_headers_are_read_is_left_out(
    three: tuple[Journal, list[Entry]], tmp_path: Path
) -> None:
    class Late(Disk):
        """It lists what is gone a moment later."""

        def segments(self, journal: JournalId) -> Sequence[int]:
            return [*super().segments(journal), 99]

    journal, made = three
    assert ends(Late(tmp_path / "journal"), journal.id) == ids(made)


class TestLive:
    """A journal that goes on is read up to where it is written."""

    def test_what_is_beyond_the_extent_is_not_there_yet(self, journal: Journal, disk: Disk) -> None:
        reader = Reader(disk, journal.id, 0)
        made = ended(journal)
        extent = journal.extent
        made += ended(journal)
        first = reader.read(100, extent)
        assert first is not None
        assert [each for _, each in first.entries] == made[:1]
        assert reader.read(100, extent) is None
        second = reader.read(100, journal.extent)
        assert second is not None
        assert [each for _, each in second.entries] == made[1:]
        assert reader.read(100, journal.extent) is None
        assert reader.damaged_bytes == 0

    def test_it_follows_into_new_segments(self, journal: Journal, disk: Disk) -> None:
        reader = Reader(disk, journal.id, 0)
        made, found = [], []
        for _ in range(3):
            made += ended(journal, 2) + rotate(journal)
            while (piece := reader.read(50, journal.extent)) is not None:
                found += [each for _, each in piece.entries]
            assert found == made
        assert reader.damaged_bytes == 0

    def test_a_segment_beyond_the_extent_is_not_there_yet(self, journal: Journal, disk: Disk) -> None:
        reader = Reader(disk, journal.id, 0)
        before = journal.extent
        rotate(journal)
        while (piece := reader.read(100, before)) is not None:
            assert piece.upto == 0
        assert reader.number == 0

    def test_what_a_failed_write_left_is_stepped_over(self, journal: Journal, disk: BreakableDisk) -> None:
        reader = Reader(disk, journal.id, 0)
        begun = begin(journal, 2)
        disk.torn_at = 40
        disk.trims.breaks()
        disk.writes.breaks_once()
        finish(journal, begun)
        piece = reader.read(100, journal.extent)
        last = reader.read(100, journal.extent)
        assert piece is not None
        assert last is not None
        assert [each for _, each in last.entries] == begun


class TestDamage:
    def test_a_torn_tail_at_any_byte_loses_the_last_record_only(self, desk: Desk, disk: Disk) -> None:
        journal = desk.journal()
        made = ended(journal, 3)
        id_ = desk.die(journal)
        last = on_disk(disk, id_)[-1]
        whole = segment_path(disk, id_, 0).read_bytes()
        for at in range(last.begin, last.end):
            for room in (b"", b"\0" * 5000):
                segment_path(disk, id_, 0).write_bytes(whole[:at] + room)
                assert records(disk, id_) == [(1, made[0]), (3, made[1])]
                assert len(starts(disk, id_)) == 3

    @hypothesis_settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(bit=st.integers(0, 2**30))
    def test_a_flipped_bit_yields_no_wrong_record_and_loses_no_neighbour(self, desk: Desk, bit: int) -> None:
        journal = desk.journal()
        made = begin(journal, 2)
        finish(journal, made, [price()])
        id_ = desk.die(journal)
        before = on_disk(desk.disk, id_)
        begins, size = before[1].begin, before[-1].end
        at = begins * 8 + bit % ((size - begins) * 8)
        with edited(desk.disk, id_) as data:
            data[at // 8] ^= 1 << at % 8
        after = on_disk(desk.disk, id_)
        assert after == [each for each in before if not each.begin <= at // 8 < each.end]
        for _, found in records(desk.disk, id_):
            assert found in made
        reader = Reader(desk.disk, id_, 0)
        while reader.read(1) is not None:
            pass
        assert FRAME_BYTES <= reader.damaged_bytes < 1000
        desk.disk.remove(id_)

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_without_its_header_a_segment_is_read_by_what_the_others_tell(
        self, desk: Desk, disk: Disk, number: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = desk.journal()
        made = rotate(journal) + rotate(journal) + ended(journal)
        id_ = desk.die(journal)
        with edited(disk, id_, number) as data:
            data[5] ^= 1
        assert ends(disk, id_) == ids(made)
        assert Reader(disk, id_, 0).oldest == 0
        assert f"segment {number}: the segment has no header" in caplog.text

    def test_without_any_header_a_journal_is_read_by_what_was_noted_beside_it(
        self, desk: Desk, disk: Disk
    ) -> None:
        journal = desk.journal()
        made = rotate(journal) + ended(journal)
        id_ = desk.die(journal)
        for number in (0, 1):
            with edited(disk, id_, number) as data:
                data[5] ^= 1
        assert ends(disk, id_) == ids(made)
        (disk.root / id_ / "lock").unlink()
        with pytest.raises(JournalUnreadable, match="no segment of journal"):
            Reader(disk, id_, 0)

    @pytest.mark.parametrize("content", [b"", b"\0" * 100_000])
    def test_a_segment_that_a_crash_left_empty_holds_nothing(
        self, three: tuple[Journal, list[Entry]], disk: Disk, content: bytes
    ) -> None:
        journal, made = three
        segment_path(disk, journal.id, 3).write_bytes(content)
        assert ends(disk, journal.id) == ids(made)
        reader = Reader(disk, journal.id, 10**9)
        assert reader.number == 2

    @pytest.mark.parametrize("content", [[], [b""], [b"\0" * 5000], [b"", b"\0"]])
    def test_a_journal_without_any_header_cannot_be_read(self, disk: Disk, content: list[bytes]) -> None:
        id_ = JournalId("journal-1")
        disk.make(id_).release()
        for number, data in enumerate(content):
            segment_path(disk, id_, number).write_bytes(data)
        with pytest.raises(JournalUnreadable, match="no segment of journal journal-1 can be read"):
            Reader(disk, id_, 0)

    def test_damage_larger_than_what_is_read_at_once_is_stepped_over(
        self, journal: Journal, disk: Disk
    ) -> None:
        made = ended(journal, 2)
        second = in_segment(disk, journal.id, 0)[3]
        with edited(disk, journal.id) as data:
            data[second.begin : second.begin] = b"\xff" * 5_000_000
        assert ends(disk, journal.id) == ids(made)
        reader = Reader(disk, journal.id, 0)
        while reader.read(100) is not None:
            pass
        assert reader.damaged_bytes == 5_000_000

    def test_what_a_caller_wrote_is_no_record_though_its_own_is_damaged(self, desk: Desk, disk: Disk) -> None:
        journal = desk.journal()
        (before,) = ended(journal)
        (host,) = ended(journal, end_user=forged())
        (after,) = ended(journal)
        id_ = desk.die(journal)
        assert ends(disk, id_) == ids([before, host, after])
        told = [each for each in on_disk(disk, id_) if host.request_id.encode() in each.payload]
        with edited(disk, id_) as data:
            for each in told:
                data[each.begin] ^= 1
        assert records(disk, id_) == [(1, before), (5, after)]
        assert ids(starts(disk, id_)) == ids([before, after])


def forged() -> str:
    """A user's name that has whole frames in it, as far as somebody knows who does not know the salt."""
    name = ""
    for kind in Kind:
        for number in range(100_000):
            payload = b"%d" % number
            try:
                name += (b"\xc2" + frame(kind, 77, payload, 0)).decode()
            except UnicodeDecodeError:
                continue
            break
    assert name.count("Tw\x01") == len(Kind)
    return name


def written(disk: Disk, *told: bytes, version: int = VERSION) -> JournalId:
    """A journal of one segment, as another version may have written it."""
    id_ = JournalId("journal-1")
    disk.make(id_).release()
    header = Header(version=version, journal=id_, number=0, made_us=NOON_US, salt=SALT)
    segment_path(disk, id_, 0).write_bytes(header_frame(header, 0) + b"".join(told))
    return id_


class TestVersions:
    def test_a_newer_one_is_not_read(self, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
        id_ = written(disk, frame(Kind.END, 0, b"\xc0", SALT), version=VERSION + 1)
        with pytest.raises(JournalUnreadable):
            Reader(disk, id_, 0)
        assert caplog.records[0].levelno == logging.WARNING
        assert "newer version (2)" in caplog.text

    def test_a_record_of_an_unknown_kind_is_counted_and_stepped_over(self, disk: Disk) -> None:
        made = entry()
        body = msgspec.msgpack.encode(made)
        odd = frame(cast("Kind", 99), 0, b"a body, say", SALT)  # a kind that a later one has
        id_ = written(disk, odd, frame(Kind.END, 1, body, SALT))
        (piece,) = pieces(disk, id_)
        assert (piece.upto, piece.entries) == (2, [(1, made)])

    @pytest.mark.parametrize(
        ("kind", "payload"),
        [
            (Kind.START, {}),
            (Kind.END, {"outcome": "something new"}),
            (Kind.PRICE, ("list@1", {})),
            (Kind.PRICE, ("list@1", {"denominator": "1", "rates": {"something new": []}})),
            (Kind.PRICE, ("list@1", {"denominator": "one", "rates": {}})),
        ],
    )
    def test_a_record_that_says_what_this_one_does_not_know_is_not_guessed_at(
        self, disk: Disk, kind: Kind, payload: object
    ) -> None:
        id_ = written(disk, frame(kind, 41, msgspec.msgpack.encode(payload), SALT))
        with pytest.raises(JournalUnreadable, match="record 41 is of another version"):
            pieces(disk, id_)


def test_a_journal_larger_than_memory_may_be_is_read_in_bounded_pieces(desk: Desk, disk: Disk) -> None:
    journal = desk.journal("never", segment_bytes=8_000_000)
    ended(journal, 200, labels={f"label-{at}": "x" * 1000 for at in range(30)})
    assert journal.extent[1] > 6_000_000 or journal.extent[0] > 0
    reader = Reader(disk, journal.id, 0)
    tracemalloc.start()
    try:
        while reader.read(5, journal.extent) is not None:
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
