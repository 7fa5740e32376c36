"""What passes through this process, counted: requests, calls to vendors, and how long they took.

Promise: counting never waits and never fails, and its memory is bounded: by our own routes, by
classes of status, and by vendors that the operator configured. Owns the numbers; does not own their
names outside (`control/metrics.py`).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

from tollway.domain.clock import US_PER_S
from tollway.domain.series import DURATION_BUCKETS_S

OVERHEAD_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

_UNANSWERED = 500
"""What a request counts as that ended without an answer."""
_CLASSES = 10
"""Of status; more than HTTP has, whatever an application sends."""


class Histogram:
    """Durations by upper bound (seconds, rising); above the last bound lies one more bucket."""

    __slots__ = ("_bounds_us", "bounds_s", "counts", "sum_us")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_us = 0
        self._bounds_us = [round(bound * US_PER_S) for bound in bounds_s]

    def add(self, us: int) -> None:
        """One more; a clock that was set back makes it no less than 0."""
        us = max(us, 0)
        self.counts[bisect_left(self._bounds_us, us)] += 1
        self.sum_us += us


class Passage:
    """The requests of one route. They are counted without a dictionary: it is done for each one."""

    __slots__ = ("answered", "duration", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self.answered = [0] * _CLASSES
        """By class of status: 2 for 200 and all that begins like it."""
        self.duration = Histogram(DURATION_BUCKETS_S)
        """From a request's head to the end of its answer."""

    def ended(self, status: int, us: int) -> None:
        """One that was in flight was answered, or given up; `status` 0: nothing was sent."""
        self.in_flight -= 1
        self.answered[(status or _UNANSWERED) // 100] += 1
        self.duration.add(us)


class Traffic:
    """Since the start of this process."""

    def __init__(self) -> None:
        self.chat = Passage()
        self.models = Passage()
        self.control = Passage()
        """Whatever is not inference."""
        self.overhead = Histogram(OVERHEAD_BUCKETS_S)
        """From a chat request's last byte to the vendor being asked."""
        self.vendor_calls: Counter[tuple[str, int, str | None]] = Counter()
        """That ended: by vendor, status and our error code, None for an answer."""

    @property
    def passages(self) -> Mapping[str, Passage]:
        """By the name of the route."""
        return {"chat": self.chat, "models": self.models, "control": self.control}
