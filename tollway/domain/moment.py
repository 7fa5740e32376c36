"""Moments as people write them: ISO 8601, in UTC where nothing else is said.

Owns the way from text and date-times to microseconds since the epoch, and to text; does not own
windows of time (`domain/clock.py`, `domain/cycle.py`).
"""

from datetime import UTC, datetime, timedelta

from tollway.domain.clock import moment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def us_of(at: datetime) -> int:
    """Microseconds since the epoch, exactly; a date-time without a zone is UTC."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def parse_moment(text: str) -> int:
    """`2026-03-01`, `2026-03-01T12:00:00Z` … as microseconds since the epoch; ValueError."""
    try:
        return us_of(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date or date-time: 2026-03-01 or 2026-03-01T12:00:00Z") from None


def iso(us: int) -> str:
    """Microseconds since the epoch as `2026-03-01T12:00:00.000000Z`: always as long, so that text sorts."""
    return moment(us).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
