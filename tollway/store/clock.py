"""The clock of all processes: the machine's, set right by the database's.

Clock minutes and cycles begin for every process at the same moment, whatever the machines' own
clocks say. A machine that may well agree with the database (its time lies within the question's
round trip) is left alone. Owns the difference; does not own when it is asked for (`world.py`).
"""

import logging

from sqlalchemy import Connection, text

from tollway.domain.clock import Clock, SystemClock
from tollway.store.database import Database, all_orgs

_TOLD_US = 100_000

_log = logging.getLogger(__name__)


class SharedClock:
    """The database's time, as far as it is known."""

    def __init__(self, database: Database, machine: Clock | None = None) -> None:
        self._database = database
        self._machine = machine or SystemClock()
        self.ahead_us = 0
        """What the database's clock is ahead of the machine's."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return self._machine.now_us() + self.ahead_us

    async def set_right(self) -> None:
        """Ask the database. StoreUnavailable."""
        before_us = self._machine.now_us()
        theirs_us = await self._database.read(_now_us)
        after_us = self._machine.now_us()
        if theirs_us is None or before_us <= theirs_us <= after_us:
            self.ahead_us = 0
            return
        self.ahead_us = theirs_us - (before_us + after_us) // 2
        if abs(self.ahead_us) > _TOLD_US:
            _log.warning("this machine's clock differs from the database's by %d ms", self.ahead_us // 1_000)


@all_orgs
def _now_us(db: Connection) -> int | None:
    """The server's clock; None where the database is a file, which has none."""
    if db.dialect.name != "postgresql":
        return None
    asked = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    return int(db.execute(asked).scalar_one())
