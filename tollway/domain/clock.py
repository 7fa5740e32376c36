"""Time: whole microseconds since the epoch, UTC, asked of a `Clock` that tests may turn.

Owns windows of time; does not own waiting.
"""

import time
from datetime import UTC, datetime
from typing import Protocol

US_PER_S = 1_000_000
US_PER_MS = 1_000


class Clock(Protocol):
    """Where time comes from."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000


def moment(us: int) -> datetime:
    """Microseconds since the epoch as an aware date-time, UTC."""
    seconds, rest = divmod(us, US_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def month_start_us(us: int) -> int:
    """The first microsecond of the calendar month (UTC) that `us` lies in."""
    first = moment(us).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(first.timestamp()) * US_PER_S


def next_month_start_us(us: int) -> int:
    """The first microsecond of the calendar month (UTC) after the one that `us` lies in."""
    return month_start_us(month_start_us(us) + 32 * 86_400 * US_PER_S)
