"""Reads a journal's records in order, from any offset on: of a live process, or of a dead one.

Memory is bounded: segments are read in pieces. What is damaged or torn is stepped over and
counted. Owns the way through the segments; does not own what the records lead to.
"""

import logging
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from tollway.domain.body import BodyPiece
from tollway.domain.errors import JournalUnreadable
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Batch, Entry, Record, Start
from tollway.domain.price import Price, price_from
from tollway.domain.refusal import Refused
from tollway.metering.disk import Disk
from tollway.metering.frames import HEADER_ROOM_BYTES, Frame, Kind, frames, read_header

_PIECE_BYTES = 1024 * 1024
_ENDLESS = 2**62

_log = logging.getLogger(__name__)

_decode_start = msgspec.msgpack.Decoder(Start).decode
_decode_entry = msgspec.msgpack.Decoder(Entry).decode
_decode_body = msgspec.msgpack.Decoder(BodyPiece).decode
_decode_refused = msgspec.msgpack.Decoder(Refused).decode
_decode_price = msgspec.msgpack.Decoder(tuple[str, dict[str, Any]]).decode


@dataclass(slots=True, kw_only=True)
class Piece:
    """What was read: everything below the offset `upto`. `starts` are the new and the carried ones."""

    upto: int
    entries: list[Record] = field(default_factory=list)
    prices: list[Price] = field(default_factory=list)
    bodies: list[BodyPiece] = field(default_factory=list)
    refusals: list[tuple[int, Refused]] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)

    def batch(self, journal: JournalId, first: int) -> Batch | None:
        """What of it goes into the ledger, which stands at `first`; None if that is nothing."""
        if self.upto <= first or not (self.entries or self.prices or self.bodies or self.refusals):
            return None
        return Batch(
            journal=journal,
            first=first,
            upto=self.upto,
            entries=self.entries,
            prices=self.prices,
            bodies=self.bodies,
            refusals=self.refusals,
        )


class Reader:
    """A way through one journal, from the segment that holds `offset` on (`back`: so many earlier).

    `is_growing`: another process may be writing it, so that what is read may lack a record and have
    a later one; reading ends there for now. JournalUnreadable if none of its segments can be read.
    """

    def __init__(
        self, disk: Disk, journal: JournalId, offset: int, *, back: int = 0, is_growing: bool = False
    ) -> None:
        self._disk = disk
        self._journal = journal
        headers = self._headers()
        firsts = [first for _, first in headers]
        at = max(0, bisect_right(firsts, offset) - 1 - back)
        self.number, self.upto = headers[at]
        """The segment that is being read, and the offset below which everything is read."""
        self.oldest = firsts[0]
        """The lowest offset that there still is."""
        self.whole_bytes = 0
        """Of the segment that is being read: up to the end of the last record that is whole."""
        self.damaged_bytes = 0
        self._at = 0
        self._is_growing = is_growing
        self._has_gap = False

    def read(self, limit: int, extent: tuple[int, int] | None = None) -> Piece | None:
        """The next records, at most `limit`; None at the end. `extent`: where a live journal's end is."""
        last, end_of_last = extent or (_ENDLESS, _ENDLESS)
        while True:
            end = end_of_last if self.number == last else _ENDLESS
            # Before the frames: only what has a following one already is written to its end.
            following = [n for n in self._disk.segments(self._journal) if self.number < n <= last]
            found = [] if self._has_gap else self._frames(limit, end)
            if self._is_growing:
                found = self._up_to_a_gap(found)
            if found:
                return self._piece(found)
            if self._has_gap or not following:
                return None
            self.number, self._at, self.whole_bytes = following[0], 0, 0

    def _headers(self) -> list[tuple[int, int]]:
        """The segments with records, each with its first offset; notes the journal's salt."""
        headers = []
        headless = []
        for number in self._disk.segments(self._journal):
            try:
                header, found = read_header(self._disk.read(self._journal, number, 0, HEADER_ROOM_BYTES))
            except FileNotFoundError:  # removed meanwhile
                continue
            except JournalUnreadable as error:
                _log.warning("journal %s, segment %d: %s", self._journal, number, error)
                headless.append(number)
                continue
            headers.append((number, found.offset))
            self._salt = header.salt
        with suppress(JournalUnreadable):  # the salt is known from another one, or from the note
            if not headers:
                self._salt = read_header(self._disk.note(self._journal))[0].salt
            for number in headless:
                whole = frames(self._disk.read(self._journal, number), self._salt)
                headers += [(number, found.offset) for found in islice(whole, 1)]
        if not headers:
            raise JournalUnreadable(f"no segment of journal {self._journal} can be read")
        return sorted(headers)

    def _frames(self, limit: int, end: int) -> list[Frame]:
        """The next frames of this segment, up to byte `end`; none once it is read."""
        size = _PIECE_BYTES
        while True:
            try:
                data = self._disk.read(self._journal, self.number, self._at, min(self._at + size, end))
            except FileNotFoundError:
                return []
            found = list(islice(frames(data, self._salt), limit))
            is_all = len(data) < size
            if found or is_all:
                self._step(data, found, is_all=is_all)
                return found
            size *= 2

    def _up_to_a_gap(self, found: list[Frame]) -> list[Frame]:
        """Those before the first that is missing; notes whether one is."""
        upto = self.upto
        for at, each in enumerate(found):
            if each.kind == Kind.HEADER:
                continue
            if each.offset > upto:
                self._has_gap = True
                return found[:at]
            upto = max(upto, each.offset + 1)
        return found

    def _step(self, data: bytes, found: list[Frame], *, is_all: bool) -> None:
        """Go on behind what was found, counting what lay between that is no record."""
        at = 0
        for each in found:
            self.damaged_bytes += len(data[at : each.begin].strip(b"\0"))
            at = each.end
            self.whole_bytes = self._at + at
        if not found and is_all:
            self.damaged_bytes += len(data.strip(b"\0"))
            at = len(data)
        self._at += at

    def _piece(self, found: list[Frame]) -> Piece:
        piece = Piece(upto=self.upto)
        for each in found:
            if each.kind == Kind.HEADER:
                continue
            piece.upto = max(piece.upto, each.offset + 1)
            try:
                _add(piece, each)
            except (msgspec.MsgspecError, KeyError, ValueError) as error:
                raise JournalUnreadable(f"record {each.offset} is of another version: {error}") from None
        self.upto = piece.upto
        return piece


def _add(piece: Piece, each: Frame) -> None:
    match each.kind:
        case Kind.START | Kind.OPEN:
            piece.starts.append(_decode_start(each.payload))
        case Kind.END:
            piece.entries.append((each.offset, _decode_entry(each.payload)))
        case Kind.BODY:
            piece.bodies.append(_decode_body(each.payload))
        case Kind.REFUSED:
            piece.refusals.append((each.offset, _decode_refused(each.payload)))
        case Kind.PRICE:
            piece.prices.append(price_from(*_decode_price(each.payload)))
        case _:  # of a kind that says nothing about money
            pass
