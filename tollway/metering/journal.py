"""The journal: where a call is written before the vendor is asked and before the client is answered.

Promise: a call that `start` admitted has room for its `end`, and what `end` accepted reaches
the ledger unless the process dies first. It is held in memory, bounded; when the database is
slow the room runs out and new calls are refused (503), never finished ones. Owns the order
and the offsets of entries; does not own how they are stored (`metering/folder.py`).
"""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from itertools import islice

from tollway.domain.errors import MeteringUnavailable
from tollway.domain.ids import JournalId, RequestId
from tollway.domain.ledger import Entry, Record, Start


class Journal:
    """One journal of one start of one process. `max_records` bounds calls not yet folded."""

    def __init__(self, id_: JournalId, max_records: int) -> None:
        self.id = id_
        self._max_records = max_records
        self._open: dict[tuple[RequestId, int], Start] = {}
        self._records: deque[Record] = deque()
        self._next_offset = 0
        self._ended = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether a new call may start."""
        return len(self._open) + len(self._records) < self._max_records

    @property
    def waiting(self) -> int:
        """Entries that are not in the ledger yet."""
        return len(self._records)

    @property
    def open(self) -> Collection[Start]:
        """Calls that have started and not ended."""
        return self._open.values()

    def start(self, start: Start) -> None:
        """Reserve room for a call's end, before the vendor is called. MeteringUnavailable if none is left."""
        if not self.has_room:
            raise MeteringUnavailable(
                "usage cannot be recorded at the moment, so no new call is made; try again shortly"
            )
        self._open[start.request_id, start.attempt] = start

    def end(self, entry: Entry) -> None:
        """Record how a started call ended, before its answer's last byte. Never refuses, never waits.

        A call ends once: KeyError for one that has not started, or has ended.
        """
        del self._open[entry.request_id, entry.attempt]
        self._records.append((self._next_offset, entry))
        self._next_offset += 1
        self._ended.set()

    async def ended(self) -> None:
        """Wait until there is something to fold."""
        await self._ended.wait()

    def peek(self, limit: int) -> Sequence[Record]:
        """The oldest entries that are not folded, in order; they stay until `folded`."""
        return list(islice(self._records, limit))

    def folded(self, offset: int) -> None:
        """Forget everything up to and including `offset`: it is in the ledger."""
        while self._records and self._records[0][0] <= offset:
            self._records.popleft()
        if not self._records:
            self._ended.clear()
