"""Faulty parts, each with one bug that somebody could write; the simulation has to find each."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from tests.simulation.disk import SimulatedDisk
from tests.simulation.process import Parts
from tollway.domain.errors import JournalUnreadable
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Batch, Entry, Outcome, Start
from tollway.metering.disk import Lock, Segment
from tollway.metering.frames import Frame, frames, read_header
from tollway.metering.journal import Journal
from tollway.metering.reader import Piece
from tollway.metering.recovery import Recovery
from tollway.store.database import all_orgs
from tollway.store.journals import close_journal, move_to, position_of
from tollway.store.schema import cycle_totals, ledger, series_totals
from tollway.store.usage import fold


@all_orgs
def counts_twice(db: Connection, batch: Batch, now_us: int) -> int:
    """Counts what it is handed again, too."""
    folded_to = position_of(db, batch.journal, now_us)
    for at, entry in batch.entries:
        if at < folded_to:
            _add(db, entry, num_requests=1)
    return fold(db, batch, now_us)


@all_orgs
def skips_what_it_lacks(db: Connection, batch: Batch, now_us: int) -> int:
    """Takes a batch whose beginning is not in this database."""
    if position_of(db, batch.journal, now_us) < batch.first:
        move_to(db, batch.journal, batch.first)
    return fold(db, batch, now_us)


@all_orgs
def frees_again(db: Connection, batch: Batch, now_us: int) -> int:
    """Frees the hold of an unsettled row that it is handed again."""
    for _, entry in batch.entries:
        if not entry.is_known and _is_unsettled(db, entry):
            _add(db, entry, held_nano=-(entry.held or 0))
    return fold(db, batch, now_us)


@all_orgs
def frees_at_the_close(db: Connection, journal: JournalId, now_us: int, *, folded_to: int = 0) -> None:
    """Takes a closed journal for one whose calls are all settled."""
    rows = select(ledger.c.org_id).where(ledger.c.journal_id == journal)
    db.execute(
        update(cycle_totals).where(cycle_totals.c.org_id.in_(rows)).values(held_nano=0, num_unsettled=0)
    )
    close_journal(db, journal, now_us, folded_to=folded_to)


@all_orgs
def closes_what_it_lacks(db: Connection, journal: JournalId, now_us: int, *, folded_to: int = 0) -> None:
    """Closes a journal that a restored database lacks some of."""
    del folded_to
    close_journal(db, journal, now_us)


@all_orgs
def refuses_twice(db: Connection, batch: Batch, now_us: int) -> int:
    """Counts the refused calls again that it is handed again."""
    folded_to = position_of(db, batch.journal, now_us)
    for at, refused in batch.refusals:
        if at < folded_to:
            series = (series_totals.c.org_id == refused.org_id, series_totals.c.label == refused.code)
            value = series_totals.c.value + refused.count
            db.execute(update(series_totals).where(*series).values(value=value))
    return fold(db, batch, now_us)


def _add(db: Connection, entry: Entry, **amounts: int) -> None:
    changed = {name: cycle_totals.c[name] + amount for name, amount in amounts.items()}
    db.execute(update(cycle_totals).where(cycle_totals.c.org_id == entry.org_id).values(changed))


def _is_unsettled(db: Connection, entry: Entry) -> bool:
    where = (ledger.c.request_id == entry.request_id, ledger.c.attempt == entry.attempt)
    return db.execute(select(ledger.c.outcome).where(*where)).scalars().all() == [Outcome.UNSETTLED]


def _whole(head: bytes, piece: bytes) -> list[Frame]:
    with suppress(JournalUnreadable):
        return list(frames(piece, read_header(head)[0].salt))
    return []


def drops_a_neighbour(head: bytes, piece: bytes) -> bytes:
    """Takes the last record before a torn tail for a part of it."""
    found = _whole(head, piece)
    if found and piece[found[-1].end :].strip(b"\0"):
        return piece[: found[-1].begin] + bytes(len(piece) - found[-1].begin)
    return piece


def stops_at_damage(head: bytes, piece: bytes) -> bytes:
    """Takes damage for the end."""
    at = 0
    for each in _whole(head, piece):
        if piece[at : each.begin].strip(b"\0"):
            return piece[:at] + bytes(len(piece) - at)
        at = each.end
    return piece


class Forgetful(Journal):
    """Does not tell again, in a new segment, which calls are open."""

    _is_beginning = False

    def _begin_segment(self, size: int, max_bytes: int | None = None) -> None:
        self._is_beginning = True
        try:
            super()._begin_segment(size, max_bytes)
        finally:
            self._is_beginning = False

    @property
    def open(self) -> Sequence[Start]:
        """None, while a segment begins."""
        return () if self._is_beginning else list(super().open)


class Hasty(Journal):
    """Takes what is written for durable."""

    async def durable(self) -> None:
        """At once."""


class Careless(Journal):
    """Reserves no room for ends."""

    def start(self, start: Start) -> None:
        """Without any."""
        super().start(start)
        self._open[start.key] = (start, 0)
        self._reserved = 0


class Optimist(Recovery):
    """Closes a journal without a word about the calls that are open."""

    async def _close(self, journal: JournalId, folded_to: int, open_: Sequence[Start]) -> None:
        del open_
        await super()._close(journal, folded_to, ())


class Deaf(Recovery):
    """Leaves out the refused calls that the dead counted."""

    async def _move(self, journal: JournalId, first: int, piece: Piece) -> int:
        piece.refusals.clear()
        return await super()._move(journal, first, piece)


class _Stubborn(Segment):
    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.write, self.trim, self.close = segment.write, segment.trim, segment.close  # type: ignore[method-assign]  # only `sync` differs

    def sync(self) -> None:
        try:
            self._segment.sync()
        except OSError:
            self._segment.sync()


class Stubborn(SimulatedDisk):
    """Tries a failed synchronisation again."""

    def add_segment(self, journal: JournalId, number: int, size: int) -> Segment:
        """One that does."""
        return _Stubborn(super().add_segment(journal, number, size))


class Lockless(SimulatedDisk):
    """Takes a living process for dead."""

    def adopt(self, journal: JournalId) -> Lock | None:
        """Its lock, whoever holds it."""
        folder = self.platter.folders.get(journal)
        if folder is not None:
            folder.holder = None
        return super().adopt(journal)


class Bug(NamedTuple):
    """Parts with one bug, and what brings it to light."""

    parts: Parts
    likely: Collection[str]


BUGS = {
    "a fold counts twice what it is handed twice": Bug(Parts(instead={fold: counts_twice}), ["store_after"]),
    "a fold skips what a restored database lacks": Bug(
        Parts(instead={fold: skips_what_it_lacks}), ["restore"]
    ),
    "a fold counts refused calls twice": Bug(Parts(instead={fold: refuses_twice}), ["store_after"]),
    "refused calls that the dead counted are left out": Bug(Parts(recovery=Deaf), ["kill"]),
    "an unsettled row that is folded again frees its hold": Bug(
        Parts(instead={fold: frees_again}), ["kill", "store_after"]
    ),
    "a journal's close frees unsettled holds": Bug(
        Parts(instead={close_journal: frees_at_the_close}), ["kill"]
    ),
    "a journal is closed that a restored database lacks": Bug(
        Parts(instead={close_journal: closes_what_it_lacks}), ["restore", "stop", "kill"]
    ),
    "a torn tail takes its neighbour with it": Bug(Parts(lens=drops_a_neighbour), ["kill"]),
    "damage ends a segment": Bug(Parts(lens=stops_at_damage), ["rot", "kill"]),
    "open calls are not carried into a new segment": Bug(Parts(journal=Forgetful), ["kill", "house"]),
    "what is written is taken for durable": Bug(Parts(journal=Hasty), ["power"]),
    "no room is reserved for ends": Bug(Parts(journal=Careless), ["full"]),
    "calls without an end get no row": Bug(Parts(recovery=Optimist), ["kill"]),
    "a failed synchronisation is tried again": Bug(Parts(disk=Stubborn), ["sync_eio", "power"]),
    "a living process is taken for dead": Bug(Parts(disk=Lockless), ["replay"]),
}
"""By what is wrong."""
