"""A body that is kept while it passes: written to the journal piece by piece, up to a cap.

Owns the cap and the size of pieces; does not own whether bodies are kept (the organisation's
privacy level), or what of them is read later. Less than a piece is held in memory.
"""

from tollway.domain.body import BodyPiece, Part
from tollway.domain.clock import Clock
from tollway.domain.ledger import Start
from tollway.metering.journal import Journal

PIECE_BYTES = 16 * 1024


class KeptBody:
    """One body of one attempt; at most `max_bytes` of it are kept."""

    def __init__(self, journal: Journal, clock: Clock, start: Start, part: Part, max_bytes: int) -> None:
        self._journal = journal
        self._clock = clock
        self._start = start
        self._part = part
        self._left_bytes = max_bytes
        self._at = 0
        self._piece = bytearray()

    def add(self, data: bytes) -> None:
        """The next bytes that pass."""
        kept = memoryview(data)[: self._left_bytes]
        self._left_bytes -= len(kept)
        self._piece += kept
        while len(self._piece) >= PIECE_BYTES:
            self._write(PIECE_BYTES)

    def add_all(self, data: bytes) -> None:
        """A body that is there at once."""
        self.add(data)
        self.flush()

    def flush(self) -> None:
        """Nothing more passes."""
        if self._piece:
            self._write(len(self._piece))

    def _write(self, size: int) -> None:
        self._journal.body(
            BodyPiece(
                org_id=self._start.org_id,
                request_id=self._start.request_id,
                attempt=self._start.attempt,
                part=self._part,
                at=self._at,
                data=bytes(self._piece[:size]),
                written_us=self._clock.now_us(),
            )
        )
        del self._piece[:size]
        self._at += size
