"""Server-sent events, cut out of a byte stream as they become complete.

Owns where one event ends and the next begins; does not own what is inside.
"""

import re
from itertools import pairwise

from tollway.domain.errors import VendorError

MAX_EVENT_BYTES = 16 * 1024 * 1024

_END = re.compile(rb"\r?\n\r?\n")
_MAX_END_BYTES = 4
_DATA = re.compile(rb"^data: ?(.*?)\r?$", re.MULTILINE)


class EventSplitter:
    """Feed it bytes; it gives back whole events, each with the blank line that ends it."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes. VendorError for one that is too large to hold."""
        # An event may come in thousands of chunks: it is neither copied nor searched anew for each.
        searched = max(0, len(self._rest) - _MAX_END_BYTES + 1)
        self._rest += chunk
        ends = [end.end() for end in _END.finditer(self._rest, searched)]
        events = [bytes(self._rest[start:end]) for start, end in pairwise((0, *ends))]
        if ends:
            del self._rest[: ends[-1]]
        if len(self._rest) > MAX_EVENT_BYTES:
            raise VendorError("the vendor sent an event that is larger than is accepted here")
        return events

    def rest(self) -> bytes:
        """What is left of an event that never ended."""
        return bytes(self._rest)


def data_of(event: bytes) -> bytes:
    """The payload of an event: its data lines, joined by line feeds."""
    if event.startswith(b"data: ") and event.count(b"\n") == 2:
        return event[6:].rstrip()
    return b"\n".join(_DATA.findall(event))
