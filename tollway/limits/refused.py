"""Refused calls, counted in memory until the journal has them.

Promise: a count is told to the journal once, and forgotten only when it took it. Bounded: by
apps that are known and codes that are ours, and by `MAX_COUNTS` while nothing can be written;
what is of more sorts than that is not counted. Owns counts that are not told yet; does not own
who is refused, or when counts are told.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from tollway.domain.ids import OrgId
from tollway.domain.refusal import Refused

MAX_COUNTS = 4096
COUNTS_PER_WRITE = 256
"""So few that they find room in any journal that takes calls."""


class Told(Protocol):
    """Who is told: a journal."""

    def refused(self, counts: Iterable[Refused]) -> bool:
        """Write these; False if nothing was written, and they are to be told again."""
        ...


class RefusedCounts:
    """Counts of this process's refused calls, by organisation, app and code."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[OrgId, str, str]] = Counter()

    def count(self, org: OrgId, app: str, code: str) -> None:
        """One more call of the app with this slug was refused."""
        key = (org, app, code)
        if key in self._counts or len(self._counts) < MAX_COUNTS:
            self._counts[key] += 1

    def flush(self, journal: Told, now_us: int) -> None:
        """Tell what was counted, and forget what was written; what was not is told the next time."""
        while self._counts:
            told = list(islice(self._counts.items(), COUNTS_PER_WRITE))
            refused = [
                Refused(org_id=org, app=app, code=code, count=count, at_us=now_us)
                for (org, app, code), count in told
            ]
            if not journal.refused(refused):
                return
            for key, _ in told:
                del self._counts[key]
