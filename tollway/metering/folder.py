"""The folder: moves this process's journal into the ledger, in small batches, until nothing is left.

Owns the pace and the patience: a database that is away is waited for, without bound in time;
what waits is on the disk, not in memory. A database that was restored to an earlier state is
brought up to date from the journal. Does not own the transaction (`store/usage.py`), or journals
of processes that died (`recovery.py`).
"""

import asyncio
import contextlib
import logging
from operator import itemgetter

import msgspec

from tollway.domain.clock import Clock
from tollway.domain.errors import StoreRefused, StoreUnavailable
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Batch
from tollway.metering.disk import Disk
from tollway.metering.journal import Journal
from tollway.metering.reader import Reader
from tollway.store.database import Database
from tollway.store.journals import move_to, position_of
from tollway.store.usage import fold

RECORDS_PER_BATCH = 500
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_log = logging.getLogger(__name__)


async def fold_batch(database: Database, batch: Batch, clock: Clock) -> int:
    """Fold a batch; returns the offset that its journal is folded to.

    A record that no database can hold is set aside alone: it must not stop all others.
    """
    try:
        return await database.write(fold, batch, clock.now_us())
    except StoreRefused:
        if batch.bodies:  # they may be left out, and no record may be for their sake
            return await fold_batch(database, msgspec.structs.replace(batch, bodies=()), clock)
        singles = _singly(batch)
        if not singles:
            return await database.write(fold, msgspec.structs.replace(batch, prices=()), clock.now_us())
        if len(singles) == 1:
            for _, entry in batch.entries:
                _log.exception("a metered call could not be stored; its entry: %r", entry)
            for _, refused in batch.refusals:
                _log.exception("refused calls could not be counted: %r", refused)
            return await fold_batch(database, _without_records(batch, batch.first), clock)
    first = batch.first
    for offset, single in singles:
        one = msgspec.structs.replace(single, first=first, upto=offset + 1)
        folded_to = await fold_batch(database, one, clock)
        if folded_to < first:  # the database was restored
            return folded_to
        first = folded_to
    return await fold_batch(database, _without_records(batch, first), clock)


def _singly(batch: Batch) -> list[tuple[int, Batch]]:
    """Each record alone, in order, with its offset and with the prices of all."""
    alone = _without_records(batch, batch.first)
    singles = [(at, msgspec.structs.replace(alone, entries=[(at, entry)])) for at, entry in batch.entries]
    singles += [(at, msgspec.structs.replace(alone, refusals=[(at, each)])) for at, each in batch.refusals]
    return sorted(singles, key=itemgetter(0))


def _without_records(batch: Batch, first: int) -> Batch:
    """What moves the journal's position to the batch's end, from `first` on, and becomes no row."""
    return msgspec.structs.replace(batch, first=first, entries=(), refusals=())


class Folder:
    """Folds one journal into one database."""

    def __init__(self, journal: Journal, disk: Disk, database: Database, clock: Clock) -> None:
        self._journal = journal
        self._disk = disk
        self._database = database
        self._clock = clock
        self._reader: Reader | None = None
        self._folded_to = 0
        self._read_to = (0, 0)
        self._oldest_us: int | None = None
        self.num_rows = 0
        """Entries that this process brought into the ledger."""
        self.is_damaged = False
        """Whether records of the journal cannot be read: their calls are settled by its recovery."""
        self._one_at_a_time = asyncio.Lock()
        self._was_restored = False
        self._marked = 0

    @property
    def folded_to(self) -> int:
        """The offset below which all is in the ledger, as far as this process knows."""
        return self._folded_to

    @property
    def waiting(self) -> int:
        """Records that are not in the ledger yet."""
        return self._journal.next_offset - self._folded_to

    @property
    def waiting_bytes(self) -> int:
        """What these take in the journal."""
        number, at = self._read_to
        last, end = self._journal.extent
        before = sum(size for each, size in self._journal.room.sizes.items() if number <= each < last)
        return max(0, before + end - at)

    @property
    def lag_us(self) -> int:
        """How long the oldest ended call has waited that was read, and is not in the ledger yet."""
        return 0 if self._oldest_us is None else max(0, self._clock.now_us() - self._oldest_us)

    async def run(self) -> None:
        """Fold for ever."""
        while True:
            await self._journal.ended()
            await self.drain()

    async def drain(self) -> None:
        """Fold until nothing waits, however long the database is away."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self.fold_all()
            except StoreUnavailable as error:
                _log.warning("%d records wait to be stored: %s", self.waiting, error)
            else:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def fold_all(self) -> None:
        """Fold what is there now; StoreUnavailable if the database is away."""
        while await self.fold_some():
            pass

    async def fold_some(self) -> bool:
        """Fold the next records; whether there were any.

        What failed, or whose confirmation was lost, is read and folded again, once.
        """
        async with self._one_at_a_time:
            reader = self._reader or await self._new_reader()
            self._reader = None
            piece = await asyncio.to_thread(reader.read, RECORDS_PER_BATCH, self._journal.extent)
            if reader.damaged_bytes and not self.is_damaged:
                self.is_damaged = True
                _log.error("this process's journal %s is damaged on the disk", self._journal.id)
            batch = None if piece is None else piece.batch(self._journal.id, self._folded_to)
            if batch is not None:
                self._oldest_us = min((entry.ended_us for _, entry in batch.entries), default=self._oldest_us)
                folded_to = await fold_batch(self._database, batch, self._clock)
                is_behind, self._folded_to = folded_to < batch.upto, folded_to
                if is_behind:  # the database was restored
                    self._was_restored = True
                    return True
                self._oldest_us = None
                self.num_rows += len(batch.entries)
                self._journal.folded(reader.number - 1)
            self._reader = reader
            self._read_to = reader.number, reader.whole_bytes
            return piece is not None

    async def catch_up(self) -> bool:
        """If the database was restored to an earlier state, fold again what it lacks; whether it was."""
        async with self._one_at_a_time:
            folded_to = await self._database.write(position_of, self._journal.id, self._clock.now_us())
            is_restored = self._was_restored or folded_to < self._folded_to
            self._was_restored = False
            if not is_restored:
                return False
            _log.warning("the database was restored: what it lacks is folded again")
            self._folded_to = folded_to
            self._reader = None
        await self.fold_all()
        return True

    async def mark(self) -> None:
        """Note on the disk how far the ledger has the journal, so that a restored database is noticed."""
        if self._marked != self._folded_to:
            self._marked = self._folded_to
            with contextlib.suppress(OSError):  # a disk without room: the next mark may be taken
                await asyncio.to_thread(self._disk.mark_folded, self._journal.id, self._marked)

    async def _new_reader(self) -> Reader:
        reader = await open_reader(self._database, self._disk, self._journal.id, self._folded_to)
        self._folded_to = max(self._folded_to, reader.oldest)
        self._journal.folded(reader.number - 1)
        return reader


async def open_reader(
    database: Database,
    disk: Disk,
    journal: JournalId,
    folded_to: int,
    *,
    back: int = 0,
    is_growing: bool = False,
) -> Reader:
    """A way through a journal from the offset that it is folded to; what was removed is given up."""
    reader = await asyncio.to_thread(Reader, disk, journal, folded_to, back=back, is_growing=is_growing)
    if reader.oldest > folded_to:
        _log.error("%d records of journal %s are gone", reader.oldest - folded_to, journal)
        await database.write(move_to, journal, reader.oldest)
    return reader
