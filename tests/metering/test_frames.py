"""The journal's format: what was written is read, and nothing else, whatever happened to the bytes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.world.clock import NOON_US
from tests.world.entries import entries, start_of
from tollway.domain.errors import JournalUnreadable
from tollway.domain.ids import JournalId, new_id
from tollway.domain.ledger import Entry, Start
from tollway.metering.frames import (
    FRAME_BYTES,
    HEADER_ROOM_BYTES,
    MAGIC,
    VERSION,
    Header,
    Kind,
    frame,
    frames,
    header_frame,
    new_salt,
    read_header,
)

SALT = 0x5EED_CAFE
TOLD = [kind for kind in Kind if kind is not Kind.HEADER]

bounded = hypothesis_settings(max_examples=150, deadline=None)
payloads = st.binary(max_size=60) | st.just(MAGIC) | st.binary(max_size=9).map(lambda some: MAGIC + some)
written = st.lists(st.tuples(st.sampled_from(TOLD), payloads), min_size=1, max_size=6)
salts = st.integers(0, 2**32 - 1)


def segment(records: list[tuple[Kind, bytes]], salt: int = SALT, first: int = 0) -> list[bytes]:
    """The bytes of each record."""
    return [frame(kind, offset, payload, salt) for offset, (kind, payload) in enumerate(records, first)]


def read(data: bytes, salt: int = SALT) -> list[tuple[int, int, bytes]]:
    return [(found.kind, found.offset, found.payload) for found in frames(data, salt)]


def as_read(records: list[tuple[Kind, bytes]], first: int = 0) -> list[tuple[int, int, bytes]]:
    return [(int(kind), offset, payload) for offset, (kind, payload) in enumerate(records, first)]


@bounded
@given(written, salts, st.integers(0, 2**63))
def test_what_is_written_is_read(records: list[tuple[Kind, bytes]], salt: int, first: int) -> None:
    data = b"".join(segment(records, salt, first))
    assert read(data, salt) == as_read(records, first)
    found = list(frames(data, salt))
    assert [each.begin for each in found[1:]] == [each.end for each in found[:-1]]
    assert (found[0].begin, found[-1].end) == (0, len(data))
    assert all(each.end - each.begin == FRAME_BYTES + len(each.payload) for each in found)


@bounded
@given(entries, salts)
def test_an_entry_and_its_start_come_back_as_they_were(made: Entry, salt: int) -> None:
    start = start_of(made)
    data = frame(Kind.START, 7, msgspec.msgpack.encode(start), salt)
    data += frame(Kind.END, 8, msgspec.msgpack.encode(made), salt)
    first, second = frames(data, salt)
    assert (first.kind, first.offset, second.kind, second.offset) == (Kind.START, 7, Kind.END, 8)
    assert msgspec.msgpack.decode(first.payload, type=Start) == start
    assert msgspec.msgpack.decode(second.payload, type=Entry) == made


@hypothesis_settings(max_examples=50, deadline=None)
@given(written, payloads)
def test_a_tail_torn_at_any_byte_loses_the_last_record_only(
    records: list[tuple[Kind, bytes]], payload: bytes
) -> None:
    (torn,) = segment([(Kind.END, payload + b"!")], first=len(records))
    before = b"".join(segment(records))
    for at in range(len(torn)):
        for room in (b"", b"\0" * 100):
            assert read(before + torn[:at] + room) == as_read(records)


@bounded
@given(written, st.data())
def test_a_flipped_bit_loses_the_record_that_it_hits_and_no_other(
    records: list[tuple[Kind, bytes]], data: st.DataObject
) -> None:
    parts = segment(records)
    hit = data.draw(st.integers(0, len(parts) - 1))
    part = bytearray(parts[hit])
    part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    damaged = b"".join([*parts[:hit], bytes(part), *parts[hit + 1 :]])
    whole = as_read(records)
    assert read(damaged) == whole[:hit] + whole[hit + 1 :]


@bounded
@given(written, st.lists(st.binary(max_size=50) | st.just(b"\0" * 30), min_size=7, max_size=7))
def test_whatever_lies_between_records_is_stepped_over(
    records: list[tuple[Kind, bytes]], junk: list[bytes]
) -> None:
    parts = segment(records)
    data = junk[-1] + b"".join(part + some for part, some in zip(parts, junk, strict=False))
    assert read(data) == as_read(records)


@bounded
@given(st.binary(max_size=300), salts)
def test_no_bytes_of_chance_are_records(data: bytes, salt: int) -> None:
    assert read(data, salt) == []


def test_every_bit_of_a_record_is_covered() -> None:
    (part,) = segment([(Kind.END, b"payload")])
    for at in range(8 * len(part)):
        damaged = bytearray(part)
        damaged[at // 8] ^= 1 << at % 8
        assert read(bytes(damaged)) == []


class TestForgery:
    """What a caller writes into a field of a record is never a record."""

    FORGED = b"forged"

    def host(self, salt: int) -> bytes:
        """A record with whole frames inside, made with a salt that a forger would try."""
        inside = b"".join(frame(kind, 1, self.FORGED, salt) for kind in Kind)
        return frame(Kind.START, 1, b"before" + inside + b"behind", SALT)

    def damaged_hosts(self, salt: int) -> list[bytes]:
        host = self.host(salt)
        return [
            host[1:],
            b"\0" * FRAME_BYTES + host[FRAME_BYTES:],
            host[:-1],
            host[FRAME_BYTES:],
            MAGIC + host[5:],
        ]

    @pytest.mark.parametrize("salt", [0, 1, SALT ^ 1, 0xFFFFFFFF])
    def test_it_does_not_pass_though_its_host_is_damaged(self, salt: int) -> None:
        before, after = segment([(Kind.END, b"one")]), segment([(Kind.END, b"two")], first=2)
        for host in self.damaged_hosts(salt):
            found = read(before[0] + host + after[0])
            told = [each for each in found if each[0] != Kind.HEADER]
            assert told == [(Kind.END, 0, b"one"), (Kind.END, 2, b"two")]

    def test_it_would_pass_if_its_salt_were_known(self) -> None:
        for host in self.damaged_hosts(SALT):
            assert [payload for kind, _, payload in read(host) if kind != Kind.HEADER] == [self.FORGED] * len(
                TOLD
            )

    def test_in_a_whole_host_nothing_is_looked_for(self) -> None:
        assert [kind for kind, _, _ in read(self.host(SALT))] == [Kind.START]

    def test_a_forged_length_hides_no_neighbour(self) -> None:
        lying = bytearray(frame(Kind.END, 1, b"x" * 20, 0))
        lying[len(MAGIC) + 1 : len(MAGIC) + 5] = (2**32 - 1).to_bytes(4, "little")
        (after,) = segment([(Kind.END, b"two")], first=2)
        assert read(bytes(lying) + after) == [(Kind.END, 2, b"two")]

    def test_salts_are_of_four_bytes_and_differ(self) -> None:
        made = {new_salt() for _ in range(20)}
        assert len(made) >= 19
        assert all(0 <= salt < 2**32 for salt in made)


class TestHeader:
    HEADER = Header(journal=JournalId(new_id(NOON_US)), number=3, made_us=NOON_US, salt=SALT)

    def test_a_header_is_read_from_the_beginning_of_its_segment(self) -> None:
        data = header_frame(self.HEADER, 17)
        header, found = read_header(data + b"".join(segment([(Kind.END, b"one")], first=17)))
        assert header == self.HEADER
        assert (header.version, found.offset, found.end) == (VERSION, 17, len(data))
        assert len(data) < HEADER_ROOM_BYTES

    def test_among_the_records_it_is_one(self) -> None:
        data = header_frame(self.HEADER, 17) + segment([(Kind.END, b"one")], first=17)[0]
        assert [(kind, offset) for kind, offset, _ in read(data)] == [(Kind.HEADER, 17), (Kind.END, 17)]

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            MAGIC,
            b"\0" * 4096,
            b"not a segment at all, but long enough to be one",
            b"\0" + header_frame(HEADER, 0),
            header_frame(HEADER, 0)[:-1],
            frame(Kind.END, 0, b"x", 0),
            frame(Kind.END, 0, b"x", SALT),
        ],
    )
    def test_without_one_a_segment_cannot_be_read(self, data: bytes) -> None:
        with pytest.raises(JournalUnreadable, match="has no header"):
            read_header(data)

    def test_with_any_bit_flipped_it_is_none(self) -> None:
        whole = header_frame(self.HEADER, 0)
        for at in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[at // 8] ^= 1 << at % 8
            with pytest.raises(JournalUnreadable):
                read_header(bytes(damaged))

    @pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode({"version": 1})])
    def test_one_that_says_nothing_of_use_is_none(self, payload: bytes) -> None:
        with pytest.raises(JournalUnreadable, match="the segment's header is none"):
            read_header(frame(Kind.HEADER, 0, payload, 0))

    def test_one_of_a_newer_version_is_left_to_that(self) -> None:
        newer = msgspec.structs.replace(self.HEADER, version=VERSION + 1)
        with pytest.raises(JournalUnreadable, match=r"newer version \(2\)"):
            read_header(header_frame(newer, 0))

    def test_what_a_later_one_says_besides_does_no_harm(self) -> None:
        more = {**msgspec.to_builtins(self.HEADER), "host": "host-1"}
        header, _ = read_header(frame(Kind.HEADER, 0, msgspec.msgpack.encode(more), 0))
        assert header == self.HEADER
