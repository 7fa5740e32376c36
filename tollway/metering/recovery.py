"""Recovery: what processes that died left in their journals becomes rows.

A journal whose lock is free has no process any more: it is folded to its end, its torn tail is
stepped over, and each call that was still open becomes an unsettled row. Then it is closed, and
kept for some days, so that a restored database can be brought up to date. Owns the journals of
the dead on this disk; does not own this process's journal (`folder.py`).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tollway.domain.clock import Clock
from tollway.domain.errors import JournalUnreadable, StoreUnavailable
from tollway.domain.ids import JournalId, RequestId
from tollway.domain.ledger import Entry, Start, unsettled
from tollway.metering.disk import Disk
from tollway.metering.folder import RECORDS_PER_BATCH, fold_batch, open_reader
from tollway.metering.reader import Piece, Reader
from tollway.store.database import Database
from tollway.store.deployment import renew_instance
from tollway.store.journals import JournalState, close_journal, position_of, states_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A journal on this disk: its bytes, and whether its process lives."""

    size: int
    is_alive: bool


class Recovery:
    """Folds the journals on one disk that nobody writes any more."""

    def __init__(self, disk: Disk, database: Database, clock: Clock, *, own: JournalId | None = None) -> None:
        self._disk = disk
        self._database = database
        self._clock = clock
        self._own = own
        self._unreadable: set[JournalId] = set()
        self._lacking: set[JournalId] = set()

    @property
    def num_unreadable(self) -> int:
        """Journals here that were given up, since they cannot be read."""
        return len(self._unreadable)

    async def notice_restored(self) -> Mapping[JournalId, JournalState]:
        """What the database knows of the journals of others here; if it knew more before, it was restored."""
        ids = [id_ for id_ in self._disk.journals() if id_ != self._own]
        states = await self._database.read(states_of, ids)
        # What is closed is whole, and there may be days of it: its mark is not read each time.
        known_to = {journal: 0 for journal in ids if journal not in states}
        known_to |= {id_: state.folded_to for id_, state in states.items() if state.closed_us is None}
        lacking = {journal for journal, upto in known_to.items() if self._disk.marked_folded(journal) > upto}
        if lacking - self._lacking:  # not again while it is brought up to date, or where it cannot be
            await self.renew_instance()
        self._lacking = lacking
        return states

    async def renew_instance(self) -> None:
        """Let the series of metrics begin anew: receivers have seen more than a restored database knows."""
        instance = await self._database.write(renew_instance, self._clock.now_us())
        _log.warning("the database was restored: metrics are of the instance %s from now on", instance)

    async def recover(self) -> list[JournalId]:
        """Fold and close the journals of the dead; returns which. StoreUnavailable."""
        return [journal async for journal, _ in self.replay(only_dead=True)]

    async def replay(self, *, only_dead: bool = False) -> AsyncIterator[tuple[JournalId, int]]:
        """Fold what each journal here has and the ledger lacks; yields each with its number of records.

        Journals of living processes are folded as far as they are written, but not closed.
        """
        states = await self.notice_restored()
        ids = [id_ for id_ in self._disk.journals() if id_ != self._own and id_ not in self._unreadable]
        for journal in ids:
            state = states.get(journal)
            if state is not None and state.closed_us is not None:
                continue
            lock = None
            try:
                lock = self._disk.adopt(journal)
                if lock is None and only_dead:
                    continue
                if state is None and lock is not None and self._disk.is_blank(journal):
                    # Its process died before it wrote a byte: no call can be in it.
                    self._disk.remove(journal)
                    continue
                yield journal, await self._fold(journal, is_dead=lock is not None)
            except (JournalUnreadable, OSError) as error:  # one must not stop all others
                self._unreadable.add(journal)
                _log.error("journal %s: %s", journal, error)
            finally:
                if lock is not None:
                    lock.release()

    def here(self) -> Mapping[JournalId, Lying]:
        """The journals that lie on this disk."""
        return {id_: self._look_at(id_) for id_ in self._disk.journals()}

    async def unfolded(self) -> Iterator[Entry]:
        """The entries of journals here that are not in the ledger yet, read as they are asked for."""
        ids = self._disk.journals()
        return self._unfolded(ids, await self._database.read(states_of, ids))

    def _unfolded(
        self, journals: Iterable[JournalId], states: Mapping[JournalId, JournalState]
    ) -> Iterator[Entry]:
        for journal in journals:
            state = states.get(journal)
            folded_to = state.folded_to if state else 0
            try:
                reader = Reader(self._disk, journal, folded_to)
            except JournalUnreadable:
                continue
            while (piece := reader.read(RECORDS_PER_BATCH)) is not None:
                yield from (entry for at, entry in piece.entries if at >= folded_to)

    async def remove_old(self, closed_before_us: int) -> list[JournalId]:
        """Remove the journals that were closed before then; returns which."""
        await asyncio.to_thread(self._disk.sweep, closed_before_us)
        ids = [id_ for id_ in self._disk.journals() if id_ != self._own]
        removed = []
        for journal, state in (await self._database.read(states_of, ids)).items():
            if state.closed_us is not None and state.closed_us < closed_before_us:
                await asyncio.to_thread(self._disk.remove, journal)
                removed.append(journal)
        return removed

    def _look_at(self, journal: JournalId) -> Lying:
        lock = self._disk.adopt(journal)
        if lock is not None:
            lock.release()
        return Lying(size=self._disk.size_of(journal), is_alive=lock is None)

    async def _fold(self, journal: JournalId, *, is_dead: bool) -> int:
        """Fold a journal to its end; returns how many records were new. Closes it if it is dead."""
        now_us = self._clock.now_us()
        begun_at = folded_to = await self._database.write(position_of, journal, now_us)
        # One segment earlier: the head of the one that holds the position may itself be torn.
        reader = await open_reader(
            self._database, self._disk, journal, folded_to, back=1, is_growing=not is_dead
        )
        folded_to = max(folded_to, reader.oldest)
        open_: dict[tuple[RequestId, int], Start] = {}
        while (piece := await asyncio.to_thread(reader.read, RECORDS_PER_BATCH)) is not None:
            open_.update((start.key, start) for start in piece.starts)
            for _, entry in piece.entries:
                open_.pop(entry.key, None)
            folded_to = await self._move(journal, folded_to, piece)
        if reader.damaged_bytes:
            _log.warning("journal %s: %d bytes are torn or damaged", journal, reader.damaged_bytes)
        if is_dead:
            with contextlib.suppress(OSError):  # the room is given back later, with the journal
                self._disk.trim(journal, reader.number, reader.whole_bytes)
                self._disk.mark_folded(journal, folded_to)
            await self._close(journal, folded_to, list(open_.values()))
        return folded_to - begun_at

    async def _close(self, journal: JournalId, folded_to: int, open_: Sequence[Start]) -> None:
        """Calls that are open still get rows, numbered as if they came behind the journal's end."""
        now_us = self._clock.now_us()
        for begin in range(0, len(open_), RECORDS_PER_BATCH):
            starts = open_[begin : begin + RECORDS_PER_BATCH]
            rows = [(folded_to + at, unsettled(start, now_us)) for at, start in enumerate(starts)]
            piece = Piece(upto=folded_to + len(rows), entries=rows)
            folded_to = await self._move(journal, folded_to, piece)
        await self._database.write(close_journal, journal, now_us, folded_to=folded_to)
        if open_:
            _log.warning("journal %s: %d calls have no end and are unsettled", journal, len(open_))

    async def _move(self, journal: JournalId, first: int, piece: Piece) -> int:
        batch = piece.batch(journal, first)
        if batch is None:
            return first
        folded_to = await fold_batch(self._database, batch, self._clock)
        if folded_to < batch.upto:
            raise StoreUnavailable("the database was restored to an earlier state meanwhile")
        return folded_to
