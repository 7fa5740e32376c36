"""The book: what really was admitted and what it really cost, kept by whoever sees everything."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tests.simulation_limits.plan import PLANS, Spender, Tenant
from tollway.domain.caller import Caller
from tollway.domain.clock import month_start_us
from tollway.domain.ids import JournalId, OrgId, RequestId
from tollway.domain.ledger import Entry
from tollway.domain.limit import Kind, Level, Pot, minute_of
from tollway.domain.standing import TRIAL_FUNDING
from tollway.limits.purse import Amounts
from tollway.store.limits import caps_of, standing_of

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from tests.simulation_limits.process import Process

_COLUMN = {Kind.REQUESTS: 0, Kind.TOKENS: 1, Kind.PLAN: 1, Kind.TRIAL: 2, Kind.SPEND: 2}
_LONGEST_RECALL_S = 3.0


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """One call that was admitted."""

    id: RequestId
    spender: Spender
    pots: list[Pot]
    """That it takes from."""
    worst: Amounts
    minute_us: int
    journal: JournalId
    funding: str | None
    is_open: bool = True
    """Whether it is in flight, or nobody has explained yet how it ended."""
    is_folded: bool = False


class Book:
    """All calls that were admitted, and what limits are and were."""

    def __init__(self, tenants: Iterable[Tenant], violate: Callable[[str], None]) -> None:
        self.limits: dict[Pot, int | None] = {}
        self.version: Counter[OrgId] = Counter()
        """How often limits of each organisation have changed."""
        self.in_flight: Counter[Pot] = Counter()
        """The worst cases of calls that are open."""
        self.ended: Counter[tuple[Pot, int]] = Counter()
        """What calls that took from a pot have cost: by its cycle, or its minute (at most)."""
        self.taken: Counter[tuple[JournalId, Pot, int]] = Counter()
        """What each process must have a lease of, but for what is in its purses: the worst cases of
        its calls in flight, and what others have cost that are not folded yet; of a minute, all."""
        self.calls: dict[RequestId, Call] = {}
        self.charged: Counter[tuple[Any, ...]] = Counter()
        """What all rows come to, as the totals of the database name it."""
        self.inexact: set[int] = set()
        """Minutes in which a process shared out limits by itself."""
        self.counts: Counter[str] = Counter()
        self.orgs: dict[Pot, OrgId] = {}
        """Whose each pot is."""
        self._tenants = {tenant.org: tenant for tenant in tenants}
        self._violate = violate
        for tenant in self._tenants.values():
            self.limits.update(tenant.limits)
            if tenant.tier and tenant.tier in PLANS:
                self.limits[Pot(Level.ORG, tenant.org, Kind.PLAN)] = PLANS[tenant.tier].tokens_cap
            if tenant.tier == "_TRIAL_":
                self.limits[Pot(Level.ORG, tenant.org, Kind.TRIAL)] = tenant.granted
            self.orgs.update((pot, tenant.org) for pot in self.limits if pot not in self.orgs)

    def caller(self, spender: Spender) -> Caller:
        """What a process finds out about a key now."""
        tenant = self._tenants[spender.org]
        row: dict[str, Any] = {
            f"{pot.level.name.lower()}_{kind.value}": self.limits[pot]
            for kind in (Kind.REQUESTS, Kind.TOKENS, Kind.SPEND)
            for pot in spender.pots(kind)
        }
        row |= {"subscription_tier": tenant.tier, "trial_end": None, "subscription_pause_reason": None}
        row |= {"near_limit": tenant.near_limit, "max_in_flight": tenant.max_in_flight}
        view = cast("RowMapping", row)
        return Caller(
            org_id=spender.org,
            org=spender.org,
            org_is_active=True,
            app_id=spender.app,
            app=spender.app,
            app_is_active=True,
            key_id=spender.key,
            key_is_active=True,
            benchmark_model=None,
            standing=standing_of(view),
            caps=caps_of(view, spender.org, spender.app, spender.key, PLANS),
        )

    def change(self, org: OrgId, pot: Pot, limit: int | None, processes: Iterable["Process"]) -> None:
        """A limit is another one from now on."""
        self.version[org] += 1
        for process in processes:
            process.stale.append((self.version[org], pot, self.limits[pot]))
        self.limits[pot] = limit

    def highest(self, pot: Pot, processes: Iterable["Process"]) -> int | None:
        """The highest limit that some process may still go by; None if that is none."""
        found = [self.limits[pot]]
        for process in processes:
            found += [old for _, each, old in process.stale if each == pot]
        return None if None in found else max(each for each in found if each is not None)

    def admit(self, call: Call, now_us: int, processes: list["Process"]) -> None:
        """Note a call that was let through; it is a violation if it may cost more than is left."""
        self.calls[call.id] = call
        for pot in call.pots:
            amount = call.worst[_COLUMN[pot.kind]]
            self._take(call, pot, amount)
            if pot.kind.is_of_a_minute:
                self.ended[pot, call.minute_us] += amount
            else:
                self.in_flight[pot] += amount
            limit = self.highest(pot, processes)
            total = self.total(pot, now_us)
            is_exact = not pot.kind.is_of_a_minute or call.minute_us not in self.inexact
            if amount and limit is not None and total > limit and is_exact:
                self._violate(f"{call.id} was admitted: {total} of {limit} in {pot}")

    def total(self, pot: Pot, now_us: int) -> int:
        """What is used of a pot, or may be."""
        return self.ended[pot, window_of(pot, now_us)] + self.in_flight[pot]

    def spent(self, pot: Pot, now_us: int) -> int:
        """What all rows have used of a pot, also those of calls from before it was limited."""
        org, start_us = self.orgs[pot], month_start_us(now_us)
        match pot.kind:
            case Kind.TRIAL:
                return self.charged[org, "trial_nano"]
            case Kind.PLAN:
                names = ("tokens", "held_tokens")
            case _ if pot.level is not Level.ORG:
                return self.charged[org, pot.id, start_us, "cost_nano"]
            case _:
                names = ("cost", "held")
        return sum(self.charged[org, start_us, name] for name in names)

    def release(self, call: Call) -> None:
        """The vendor was never asked."""
        call.is_open = False
        for pot in call.pots:
            amount = call.worst[_COLUMN[pot.kind]]
            self._take(call, pot, -amount)
            if pot.kind.is_of_a_minute:
                self.ended[pot, call.minute_us] -= amount
            else:
                self.in_flight[pot] -= amount

    def end(self, call: Call, cost: int, tokens: int, ended_us: int) -> None:
        """It has cost so much."""
        call.is_open = False
        used = (1, tokens, cost)
        for pot in call.pots:
            column = _COLUMN[pot.kind]
            if not pot.kind.is_of_a_minute:
                self.in_flight[pot] -= call.worst[column]
                self.ended[pot, window_of(pot, ended_us)] += used[column]
                self._take(call, pot, used[column] - call.worst[column])
            elif minute_of(ended_us) == call.minute_us:
                self.ended[pot, call.minute_us] += used[column] - call.worst[column]
                self._take(call, pot, used[column] - call.worst[column])
        self._charge(call, ended_us, cost=cost, tokens=tokens)

    def fold(self, entry: Entry) -> None:
        """It is a row now. An unsettled one says that its end will never be known: it costs the worst."""
        call = self.calls[entry.request_id]
        if call.is_folded:
            return
        call.is_folded = True
        used = (1, entry.consumed, entry.charged)
        for pot in call.pots:
            if not pot.kind.is_of_a_minute:
                self._take(call, pot, -(used if entry.is_known else call.worst)[_COLUMN[pot.kind]])
        if call.is_open:
            self.counts["unsettled"] += 1
            call.is_open = False
            for pot in call.pots:
                if not pot.kind.is_of_a_minute:
                    amount = call.worst[_COLUMN[pot.kind]]
                    self.in_flight[pot] -= amount
                    self.ended[pot, window_of(pot, entry.ended_us)] += amount
            self._charge(call, entry.ended_us, held=call.worst[2], held_tokens=call.worst[1])

    def _take(self, call: Call, pot: Pot, amount: int) -> None:
        window = call.minute_us if pot.kind.is_of_a_minute else 0
        self.taken[call.journal, pot, window] += amount

    def _charge(self, call: Call, ended_us: int, **amounts: int) -> None:
        spender, start_us = call.spender, month_start_us(ended_us)
        for name, amount in amounts.items():
            self.charged[spender.org, start_us, name] += amount
        nano = amounts.get("cost", 0) + amounts.get("held", 0)
        for id_ in (spender.app, spender.key):
            self.charged[spender.org, id_, start_us, "cost_nano"] += nano
        if call.funding == TRIAL_FUNDING:
            self.charged[spender.org, "trial_nano"] += nano


def window_of(pot: Pot, now_us: int) -> int:
    """The start of what a limit is for: the minute, the cycle, or 0 for ever."""
    match pot.kind:
        case Kind.REQUESTS | Kind.TOKENS:
            return minute_of(now_us)
        case Kind.TRIAL:
            return 0
        case _:
            return month_start_us(now_us)
