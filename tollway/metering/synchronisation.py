"""One synchronisation of a journal with its disk: what it is about, and who waits for it.

Owns running it on a thread, counting it and telling its outcome; does not own what follows from a
failure (`journal.py`).
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tollway.domain.errors import MeteringUnavailable
from tollway.metering.disk import Segment
from tollway.metering.frames import Kind

Records = list[tuple[Kind, bytes]]
Waiters = list[asyncio.Future[None]]


@dataclass(slots=True)
class Synchronised:
    """How often it was done, how often that failed, and the seconds that it took in all."""

    times: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Synchronisation:
    """`replaced`: segments that are complete, to be closed after it. `unsynced`: what is lost if it fails."""

    replaced: Sequence[Segment]
    current: Segment
    unsynced: Records
    waiters: Waiters
    counted: Synchronised

    def begin(self) -> asyncio.Future[OSError | None]:
        """Run it on a thread; its result is what went wrong."""
        return asyncio.get_running_loop().run_in_executor(None, self._run)

    def _run(self) -> OSError | None:
        began_s = time.monotonic()
        try:
            for segment in (*self.replaced, self.current):
                segment.sync()
        except OSError as error:
            self.counted.failures += 1
            return error
        finally:
            self.counted.times += 1
            self.counted.seconds += time.monotonic() - began_s
        return None


def tell(waiters: Iterable[asyncio.Future[None]], error: MeteringUnavailable | None) -> None:
    """End the waiting of those who still wait: it is done, or it failed."""
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
