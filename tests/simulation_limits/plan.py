"""What a seed decides beforehand: limits, processes, and what may go wrong at all."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from random import Random

from tests.world.clock import NOON_US
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.limit import MINUTE_US, Kind, Level, Pot
from tollway.domain.plan import Plan as Tier

EVENTS = ("kill", "stop", "pause", "cut", "away", "limit", "leave")
"""What may befall processes, database, limits and callers from outside."""
FAULTS = ("never", "lost", "late", "at_the_start", "at_the_end")
"""An order is not carried out, is but its answer is lost, or it is after its process gave up
waiting; a process is killed before it has written a call's start, or just after its end."""
FINALES = ("rest", "use", "rate")

_MONTH_ENDS_US = NOON_US + (21 * 24 + 12) * 3600 * US_PER_S
_PLENTY = 1_000_000
PLAN_TOKENS = 1_500
PLANS: Mapping[str, Tier] = {"STARTUP": Tier(max_tokens=PLAN_TOKENS)}

LIMITS: Mapping[Kind, tuple[int, ...]] = {
    Kind.REQUESTS: (3, 8, 20),
    Kind.TOKENS: (300, 1_000, 3_000),
    Kind.SPEND: (3_000, 8_000, 20_000, 60_000),
}
"""What a call may cost is some hundreds to thousands, and up to some hundred tokens."""


@dataclass(frozen=True, kw_only=True)
class Spender:
    """A key and whose it is."""

    org: OrgId
    app: AppId
    key: KeyId

    def pots(self, kind: Kind) -> list[Pot]:
        """Those of one kind that its calls may take from."""
        ids = {Level.ORG: self.org, Level.APP: self.app, Level.KEY: self.key}
        return [Pot(level, id_, kind) for level, id_ in ids.items()]


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """An organisation as it begins."""

    org: OrgId
    keys: tuple[Spender, ...]
    tier: str | None
    near_limit: str
    max_in_flight: int | None
    limits: Mapping[Pot, int | None]
    granted: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a seed decides beforehand."""

    began_us: int
    num_processes: int
    num_calls: int
    num_events: int
    lasts_s: float
    calmness: float
    """How often time passes between two events."""
    longest_call_s: float
    fold_s: float
    fault_rate: float
    faults: tuple[str, ...]
    events: tuple[str, ...]
    tenants: tuple[Tenant, ...]
    finale: str

    @classmethod
    def of(cls, random: Random, likely: Collection[str]) -> "Plan":
        """Each fault is in some seeds only, so that what needs calm is seen too; `likely` are in all."""
        rate = random.choice((0.0, 0.2, 0.5))

        def some(kinds: Collection[str]) -> tuple[str, ...]:
            return tuple(kind for kind in kinds if random.random() < rate or kind in likely)

        lasts_s = random.choice((0.5, 2.0, 6.0))
        half_us = int(lasts_s / 2 * US_PER_S)
        finales = [kind for kind in FINALES if kind in likely] or random.choices(FINALES, (20, 2, 1))
        return cls(
            began_us=random.choice((NOON_US, NOON_US + MINUTE_US - half_us, _MONTH_ENDS_US - half_us)),
            num_processes=random.choice((1, 2, 2, 2, 3)),
            num_calls=random.randint(3, 10),
            num_events=random.randint(1, 6),
            lasts_s=lasts_s,
            calmness=random.choice((0.2, 0.5, 0.9)),
            longest_call_s=random.choice((0.0, 0.1, 1.0, 4.0)),
            fold_s=random.choice((0.5, 2.0, 8.0)),
            fault_rate=random.choice((0.05, 0.2)),
            faults=some(FAULTS),
            events=some(EVENTS),
            tenants=tuple(_tenant(random, number) for number in range(random.choice((1, 1, 1, 1, 2)))),
            finale=finales[0],
        )


def _tenant(random: Random, number: int) -> Tenant:
    org = OrgId(f"org-{number}")
    keys = tuple(
        Spender(org=org, app=AppId(f"{org}-app-{app}"), key=KeyId(f"{org}-app-{app}-key-{key}"))
        for app, key in random.choice((((0, 0),), ((0, 0), (0, 1)), ((0, 0), (1, 0))))
    )
    pots = sorted({pot for spender in keys for kind in LIMITS for pot in spender.pots(kind)})
    limits: dict[Pot, int | None] = dict.fromkeys(pots)
    for pot in random.sample(pots, random.choice((0, 1, 1, 2))):
        limits[pot] = random.choice(LIMITS[pot.kind])
    own = Pot(Level.ORG, org, Kind.SPEND)
    if limits[own] is None and random.random() < 0.6:
        limits[own] = random.choice(LIMITS[Kind.SPEND])
    rate = Pot(Level.ORG, org, Kind.REQUESTS)
    limits[rate] = limits[rate] or _PLENTY
    return Tenant(
        org=org,
        keys=keys,
        tier=random.choice((None, None, None, "_TRIAL_", "STARTUP")),
        near_limit=random.choice(("refuse", "refuse", "shorten")),
        max_in_flight=random.choice((None, None, None, 3)),
        limits=limits,
        granted=random.choice(LIMITS[Kind.SPEND]),
    )
