"""One history: what a seed lets happen to some processes and the limits that they share."""

import asyncio
from collections import Counter
from collections.abc import Collection
from random import Random

from tests.simulation.history import Violation, replayable
from tests.simulation.scheduler import Loop
from tests.simulation_limits.book import Book
from tests.simulation_limits.finale import rate, use
from tests.simulation_limits.invariants import check_at_rest, check_lent
from tests.simulation_limits.journal import Journal
from tests.simulation_limits.plan import LIMITS, Plan, Spender
from tests.simulation_limits.process import Parts, Process
from tests.simulation_limits.server import Server, change_limit, grant
from tollway.domain.ids import OrgId
from tollway.domain.limit import Kind, Level
from tollway.domain.price import WorstCase
from tollway.gateway.need import Need

_NANO = (1, 5, 20)
_AWAY_S = (0.5, 3.0, 100.0)
_PAUSES_S = (0.5, 5.0, 70.0, 200.0)
_UNTIL_IDLE_S = 45.0
_REST_S = 6.0


class History:
    """What happens under one seed."""

    def __init__(self, seed: int, parts: Parts, likely: Collection[str]) -> None:
        self.random = Random(seed)  # noqa: S311 - chance that comes again is what is asked for
        self.parts = parts
        self.plan = Plan.of(self.random, likely)
        self.loop = Loop(self.random, self.plan.began_us)
        self.book = Book(self.plan.tenants, self.violate)
        self.journals: list[Journal] = []
        self.processes: list[Process] = []
        self.notes: list[str] = [str(self.plan)]
        self.befallen: Counter[str] = Counter()
        """How often which event or fault happened."""
        self.is_calm = False
        self._faults = self.plan.faults
        self._violations: list[str] = []
        self._seen = 0
        self.server = Server(self.plan.tenants, parts.instead(self))
        self.server.watch = self._told
        self._told()
        self.loop.watch = self._watch

    def run(self) -> None:
        """Let it happen; Violation."""
        try:
            self.loop.run(self._happen())
        finally:
            self.server.close()

    @property
    def living(self) -> list[Process]:
        """Processes that run."""
        return [process for process in self.processes if process.life.is_alive]

    def note(self, what: str) -> None:
        """Remember it for whoever looks into a failure."""
        self.notes.append(f"{self.loop.time():8.3f} {what}")

    def violate(self, what: str) -> None:
        """What may never happen has happened; told after this step."""
        self._violations.append(what)

    def befalls(self, fault: str) -> bool:
        """Whether it does this time."""
        if fault not in self._faults or self.random.random() >= self.plan.fault_rate:
            return False
        self.befallen[fault] += 1
        self.note(fault)
        return True

    def _watch(self) -> None:
        found = self._violations + self.loop.errors
        if found:
            raise Violation("; ".join(found))

    def _told(self) -> None:
        """The feed of changes: every process is told soon."""
        for seq, org in self.server.rows(
            "SELECT seq, org_id FROM changes WHERE seq > ? ORDER BY seq", self._seen
        ):
            self._seen = seq
            for process in self.living:
                process.hear(OrgId(org))

    async def _happen(self) -> None:
        plan, draw = self.plan, self.random
        for number in range(plan.num_processes):
            self.processes.append(Process(self, f"process {number}"))
        num_left, num_events = plan.num_calls, plan.num_events
        pause_s = plan.lasts_s / (plan.num_calls + 5) / plan.calmness
        keys = [key for tenant in plan.tenants for key in tenant.keys]
        while num_left or self.loop.time() < plan.lasts_s:
            if draw.random() < plan.calmness:
                await asyncio.sleep(draw.expovariate(1 / pause_s))
            if draw.random() < 0.15:
                self._revive()
            if num_left and draw.random() < 0.75:
                num_left -= 1
                self._call(draw.choice(keys))
            elif num_events and plan.events:
                num_events -= 1
                self._befall(draw.choice(plan.events))
        await self._end_well()

    def _call(self, spender: Spender) -> None:
        process = self.random.choice(self.processes)
        if process.life.is_alive and process.accepts:
            process.begin_call(spender, self._need())

    def _need(self) -> Need:
        draw = self.random
        prompt, per_token = draw.randint(0, 30), draw.choice(_NANO)
        choices = draw.choice((1, 1, 2))
        denominator = draw.choice((1, 3))
        return Need(
            prompt_tokens=prompt,
            choices=choices,
            completion_tokens=choices * draw.choice((5, 16, 50, 100)),
            is_stated=draw.random() < 0.5,
            can_be_capped=draw.random() < 0.9,
            price=WorstCase(
                per_token * prompt * denominator + draw.randint(0, 9), per_token * denominator, denominator
            ),
        )

    def _revive(self) -> None:
        """Start what is dead, and let somebody look after journals of the dead."""
        for process in self.processes:
            if not process.life.is_alive:
                self.processes.remove(process)
                self.processes.append(Process(self, process.life.name))
                break
        reachable = [process for process in self.living if process.is_reachable and process.accepts]
        for journal in self._left_behind():
            if reachable and not (journal.owner and journal.owner.is_alive):
                self.random.choice(reachable).recover(journal)

    def _left_behind(self) -> list[Journal]:
        """Journals that are not closed, and whose processes are gone."""
        alive = [process.journal for process in self.living]
        rows = self.server.rows("SELECT id FROM journals WHERE closed_us IS NULL")
        waiting = {id_ for (id_,) in rows}
        return [each for each in self.journals if each.id in waiting and each not in alive]

    def _befall(self, kind: str) -> None:
        """One event, if it can happen now."""
        draw = self.random
        process = draw.choice(self.processes)
        match kind:
            case "kill" if process.life.is_alive and draw.random() < 0.5:
                self.note(f"{process.life.name} is killed")
                self.loop.kill(process.life)
            case "stop" if process.life.is_alive and process.accepts and draw.random() < 0.5:
                process.stop()
            case "pause" if process.life.is_alive:
                self._pause(process)
            case "cut" if not process.is_cut:
                process.is_cut = True
                self.note(f"{process.life.name} is cut off")
                self.loop.call_later(draw.choice(_AWAY_S) * draw.random(), process.reconnect)
            case "away" if not self.server.is_away:
                self.server.is_away = True
                self.note("the database is away")
                self.loop.call_later(draw.choice(_AWAY_S) * draw.random(), self._return)
            case "limit":
                self._change_limit()
            case "leave" if process.life.is_alive:
                process.leave()
            case _:
                return
        self.befallen[kind] += 1

    def _pause(self, process: Process) -> None:
        """It sleeps for a moment, or for minutes, and does not know."""
        if not process.life.is_paused:
            for_s = self.random.choice(_PAUSES_S) * self.random.random()
            self.note(f"{process.life.name} is paused for {for_s:.3f} s")
            process.life.is_paused = True
            self.loop.call_later(for_s, self._wake, process)

    def _return(self) -> None:
        self.server.is_away = False

    def _wake(self, process: Process) -> None:
        process.life.is_paused = False

    def _change_limit(self) -> None:
        draw, book = self.random, self.book
        tenant = draw.choice(self.plan.tenants)
        pots = [pot for pot in book.limits if book.orgs[pot] == tenant.org and pot.kind is not Kind.PLAN]
        if draw.random() < 0.5:
            pots = [pot for pot in pots if book.in_flight[pot]] or pots
        limited = [pot for pot in pots if book.limits[pot] is not None]
        pot = draw.choice(limited if limited and draw.random() < 0.8 else pots)
        now = book.limits[pot]
        if pot.kind is Kind.TRIAL:
            amount = draw.choice((-1, 1)) * draw.choice(LIMITS[Kind.SPEND])
            book.change(tenant.org, pot, (now or 0) + amount, self.living)
            self.server.transact(grant, tenant.org, amount, f"grant {book.version}")
        else:
            used = book.total(pot, self.loop.now_us())
            certain = used - book.in_flight[pot]
            lower = [max(each, 1) for each in (used, (used + certain) // 2, certain)]
            limit = draw.choice((*LIMITS[pot.kind], (now or 0) * 2 or 1, None, *lower, *lower))
            if pot.kind is Kind.REQUESTS and pot.level is Level.ORG and limit is None:
                limit = 1_000_000
            book.change(tenant.org, pot, limit, self.living)
            self.server.transact(change_limit, tenant.org, pot, limit)
        self.note(f"{pot} has {book.limits[pot]} instead of {now}")
        for _ in range(draw.randint(0, 3)):
            soon_s = draw.random() * (self.plan.longest_call_s + 1)
            self.loop.call_later(soon_s, self._call, draw.choice(tenant.keys))

    async def _end_well(self) -> None:
        """No more faults: calls end, the dead are recovered, all is folded; then what holds is looked at."""
        self.note("all is well")
        self._faults = ()
        self.is_calm = True
        self.server.is_away = False
        for process in self.processes:
            process.is_cut = False
            process.life.is_paused = False
        await asyncio.sleep(self.plan.longest_call_s + _REST_S)
        self._revive()
        while self._left_behind() or not all(each.life.is_alive and each.accepts for each in self.processes):
            await asyncio.sleep(_REST_S)
            self._revive()
        await self._fold_all()
        check_lent(self)
        match self.plan.finale:
            case "use":
                await use(self)
            case "rate":
                await rate(self)
        await asyncio.sleep(_UNTIL_IDLE_S)
        await self._fold_all()
        check_at_rest(self)
        self._watch()

    async def _fold_all(self) -> None:
        for process in self.living:
            process.stir()
            process.fold_now()
        await asyncio.sleep(1)


def simulate(seed: int, parts: Parts | None = None, likely: Collection[str] = ()) -> History:
    """Let a seed's history happen, with some events and faults surely in it. Violation."""
    history = History(seed, parts or Parts(), likely)
    with replayable("tests.simulation_limits", seed, history.notes):
        history.run()
    return history
