"""A clock that stands still until a test turns it."""

from tollway.domain.clock import US_PER_S

NOON_US = 1_773_144_000 * US_PER_S
"""2026-03-10, 12:00 UTC."""


class TurningClock:
    """Time as a test wants it."""

    def __init__(self, now_us: int = NOON_US) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return self._now_us

    def now_s(self) -> float:
        """Seconds since the epoch, for the receivers."""
        return self._now_us / US_PER_S

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_us += int(seconds * US_PER_S)
