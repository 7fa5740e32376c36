"""The journal's format: records one after another, each with its length, checksum and offset.

    segment = header record, then records       record = magic kind length offset checksum payload

Numbers are little-endian; the checksum is CRC-32 over all but the magic and itself. It begins at
a salt of the journal that only its headers and its note tell, so that what a caller wrote into a
record can never pass for one. Reading goes on after damage: whatever is whole is found. Owns
bytes; does not own what the records mean (`journal.py`).
"""

import os
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple
from zlib import crc32

import msgspec

from tollway.domain.errors import JournalUnreadable
from tollway.domain.ids import JournalId

VERSION = 1
MAGIC = b"\xb7Tw\x01"
_HEAD = struct.Struct("<BIQ")
_CHECK = struct.Struct("<I")
FRAME_BYTES = len(MAGIC) + _HEAD.size + _CHECK.size
"""What a record takes besides its payload."""
HEADER_ROOM_BYTES = 1024
"""More than a header takes."""


class Kind(IntEnum):
    """What a record is."""

    HEADER = 0
    START = 1
    """A call is about to be made."""
    END = 2
    """How a call ended."""
    OPEN = 3
    """A start, written again at the head of a segment because its call was still open."""
    PRICE = 4
    """A price that ends in this segment were priced at."""
    BODY = 5
    """A piece of a prompt or an answer, where the organisation keeps them."""
    REFUSED = 6
    """How many calls were refused; those cost nothing and become no row."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of a segment. `number` counts a journal's segments from 0."""

    version: int = VERSION
    journal: JournalId
    number: int
    made_us: int
    salt: int


class Frame(NamedTuple):
    """A record as it lies in a segment, from byte `begin` up to `end`."""

    kind: int
    offset: int
    payload: bytes
    begin: int
    end: int


def frame(kind: Kind, offset: int, payload: bytes, salt: int) -> bytes:
    """The bytes of one record."""
    head = _HEAD.pack(kind, len(payload), offset)
    check = crc32(payload, crc32(head, 0 if kind is Kind.HEADER else salt))
    return b"".join((MAGIC, head, _CHECK.pack(check), payload))


def framed(records: Iterable[tuple[Kind, bytes]], first: int, salt: int) -> bytes:
    """The bytes of records one after another, at offsets from `first` on."""
    return b"".join(frame(kind, at, payload, salt) for at, (kind, payload) in enumerate(records, first))


def new_salt() -> int:
    """A salt that nobody can guess."""
    return int.from_bytes(os.urandom(4), "little")


def header_frame(header: Header, offset: int) -> bytes:
    """The record that begins a segment; `offset` is that of the record after it."""
    return frame(Kind.HEADER, offset, msgspec.msgpack.encode(header), header.salt)


def read_header(data: bytes) -> tuple[Header, Frame]:
    """A segment's header and its frame. JournalUnreadable if the segment does not begin with one."""
    found = _frame_at(data, 0, 0) if data.startswith(MAGIC) else None
    if found is None or found.kind != Kind.HEADER:
        raise JournalUnreadable("the segment has no header")
    try:
        header = msgspec.msgpack.decode(found.payload, type=Header)
    except msgspec.MsgspecError as error:
        raise JournalUnreadable(f"the segment's header is none: {error}") from None
    if header.version > VERSION:
        raise JournalUnreadable(f"the segment was written by a newer version ({header.version})")
    return header, found


def frames(data: bytes, salt: int) -> Iterator[Frame]:
    """The whole records in these bytes; what is damaged or torn between them is stepped over."""
    at = 0
    while (begin := data.find(MAGIC, at)) >= 0:
        found = _frame_at(data, salt, begin)
        if found is None:
            at = begin + 1
        else:
            yield found
            at = found.end


def _frame_at(data: bytes, salt: int, begin: int) -> Frame | None:
    head_at = begin + len(MAGIC)
    payload_at = begin + FRAME_BYTES
    if payload_at > len(data):
        return None
    head = data[head_at : head_at + _HEAD.size]
    kind, length, offset = _HEAD.unpack(head)
    (check,) = _CHECK.unpack_from(data, head_at + _HEAD.size)
    end = payload_at + length
    if end > len(data):
        return None
    payload = data[payload_at:end]
    # A header tells the salt, so its own checksum has none.
    if crc32(payload, crc32(head, 0 if kind == Kind.HEADER else salt)) != check:
        return None
    return Frame(kind, offset, payload, begin, end)
