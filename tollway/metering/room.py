"""The room of a journal: which segments there are on its disk, and the bytes that they may take.

Promise: together they take at most `max_bytes`, and what is not in the ledger never goes. Owns
allocating and removing segments; does not own what is written to them (`journal.py`).
"""

import contextlib
import errno
from collections.abc import Mapping

from tollway.domain.ids import JournalId
from tollway.metering.disk import Disk, Segment


class Room:
    """The segments of one journal, at most `max_bytes` in all."""

    def __init__(self, disk: Disk, journal: JournalId, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.folded_before = 0
        """Segments numbered below it are in the ledger: they may go when room is needed."""
        self._disk = disk
        self._journal = journal
        self._sizes: dict[int, int] = {}

    @property
    def sizes(self) -> Mapping[int, int]:
        """The bytes that each segment takes, by its number."""
        return self._sizes

    @property
    def next_number(self) -> int:
        """The number that the next segment gets."""
        return max(self._sizes, default=-1) + 1

    def allocate(self, number: int, size: int, max_bytes: int) -> Segment:
        """A new segment; OSError. What is in the ledger goes for it, oldest first, as far as it must."""
        removable = self._removable()
        while True:
            try:
                if sum(self._sizes.values()) + size > max_bytes:
                    raise OSError(errno.ENOSPC, f"the journal may take {max_bytes} bytes")
                segment = self._disk.add_segment(self._journal, number, size)
            except OSError as error:
                if error.errno != errno.ENOSPC or not removable:
                    raise
            else:
                self._sizes[number] = size
                return segment
            self.remove(removable.pop(0))

    def complete(self, number: int, size: int) -> None:
        """Nothing more goes into this segment: it takes so many bytes."""
        self._sizes[number] = size

    def remove(self, number: int) -> None:
        """Remove a segment; OSError."""
        self._disk.remove_segment(self._journal, number)
        del self._sizes[number]

    def drop(self, written_before_us: int) -> None:
        """Remove the segments that are in the ledger and were last written before then; OSError."""
        for number in self._removable():
            with contextlib.suppress(FileNotFoundError):  # somebody else removed it
                if self._disk.written_us(self._journal, number) >= written_before_us:
                    continue
            self.remove(number)

    def _removable(self) -> list[int]:
        return [number for number in sorted(self._sizes) if number < self.folded_before]
