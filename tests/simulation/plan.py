"""What a seed decides beforehand: sizes, times, and which faults may happen at all."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from tests.simulation.faults import Fault
from tests.world.clock import NOON_US
from tollway.domain.clock import US_PER_S
from tollway.metering.journal import Fsync

EVENTS = ("kill", "stop", "power", "away", "full", "restore", "house", "replay", "verdict", "rot")
"""What may befall processes, machine, disk and database from outside."""

_MONTH_ENDS_US = NOON_US + (21 * 24 + 12) * 3600 * US_PER_S
_TROUBLES: dict[Fault, tuple[float, ...]] = {
    "store_before": (0.05, 0.3),
    "store_after": (0.05, 0.3),
    "write_eio": (0.01, 0.05, 0.3),
    "sync_eio": (0.02, 0.2, 0.6),
    "add_eio": (0.05, 0.3, 0.8),
    "torn_read": (0.5,),
    "refused": (0.02,),
    "kill": (0.002, 0.02),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a seed decides beforehand."""

    fsync: Fsync
    segment_bytes: int
    max_bytes: int
    began_us: int
    num_processes: int
    num_calls: int
    lasts_s: float
    clocks_differ_s: int
    """By how much a process's clock may be wrong, either way."""
    chances: dict[Fault, float]
    events: tuple[str, ...]

    @classmethod
    def of(cls, random: Random, likely: Collection[str]) -> "Plan":
        """Each fault is in some seeds only, so that what needs calm is seen too; `likely` are in all."""
        rate = random.choice((0.1, 0.4, 0.7))

        def is_in(kind: str) -> bool:
            return random.random() < rate or kind in likely

        chances = {fault: random.choice(chances) for fault, chances in _TROUBLES.items() if is_in(fault)}
        lasts_s = random.choice((2.0, 5.0, 12.0))
        return cls(
            fsync=random.choice(("never", "interval", "group", "group")),
            segment_bytes=random.choice((4_096, 30_000, 60_000)),
            max_bytes=random.choice((200_000, 400_000, 4_000_000)),
            began_us=random.choice((NOON_US, _MONTH_ENDS_US - int(lasts_s / 2) * US_PER_S)),
            num_processes=random.randint(1, 3),
            num_calls=random.randint(5, 40),
            lasts_s=lasts_s,
            clocks_differ_s=random.choice((0, 0, 1, 1_500)),
            chances=chances,
            events=tuple(kind for kind in EVENTS if is_in(kind)),
        )
