"""The folder: moves journal entries into the ledger, in small batches, until none are left.

Owns the pace and the patience: a database that is away is waited for, without bound in time
and with the journal's bound in memory. Does not own the transaction (`store/usage.py`).
"""

import asyncio
import logging
from collections.abc import Sequence

from tollway.domain.clock import Clock
from tollway.domain.errors import StoreRefused, StoreUnavailable
from tollway.domain.ledger import Record
from tollway.metering.journal import Journal
from tollway.store.database import Database
from tollway.store.usage import fold, register_journal

RECORDS_PER_BATCH = 500
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_log = logging.getLogger(__name__)


class Folder:
    """Folds one journal into one database."""

    def __init__(self, journal: Journal, database: Database, clock: Clock) -> None:
        self._journal = journal
        self._database = database
        self._clock = clock
        self._is_registered = False
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Fold for ever."""
        while True:
            await self._journal.ended()
            await self.drain()

    async def drain(self) -> None:
        """Fold until nothing waits, however long the database is away."""
        pause_s = _FIRST_PAUSE_S
        while self._journal.waiting:
            try:
                await self.fold_batch()
                pause_s = _FIRST_PAUSE_S
            except StoreUnavailable as error:
                _log.warning("%d calls wait to be stored: %s", self._journal.waiting, error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def fold_all(self) -> None:
        """Fold what is there now; StoreUnavailable if the database is away."""
        while self._journal.waiting:
            await self.fold_batch()

    async def fold_batch(self) -> None:
        """Fold one batch; a batch that failed, or whose answer was lost, is folded again, once.

        An entry that no database can hold is set aside alone: it must not stop all others.
        """
        async with self._one_at_a_time:
            if not self._is_registered:
                await self._database.write(register_journal, self._journal.id, self._clock.now_us())
                self._is_registered = True
            batch = self._journal.peek(RECORDS_PER_BATCH)
            try:
                await self._fold(batch)
            except StoreRefused:
                for record in batch:
                    await self._fold_or_set_aside(record)

    async def _fold(self, batch: Sequence[Record]) -> None:
        if batch:
            await self._database.write(fold, self._journal.id, batch, self._clock.now_us())
            self._journal.folded(batch[-1][0])

    async def _fold_or_set_aside(self, record: Record) -> None:
        try:
            await self._fold([record])
        except StoreRefused as error:
            offset, entry = record
            _log.error("a metered call could not be stored (%s); its entry: %r", error, entry)
            self._journal.folded(offset)
