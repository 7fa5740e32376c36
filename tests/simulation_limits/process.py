"""One start of one process: the production's limits, and what goes on around them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.database import Instead
from tests.simulation.scheduler import Killed, Life, SkewedClock
from tests.simulation_limits.book import Call
from tests.simulation_limits.invariants import check_leases
from tests.simulation_limits.journal import Journal
from tests.simulation_limits.plan import PLANS, Spender
from tollway.domain.errors import BadRequest, Limited, LimitsUnavailable, StoreUnavailable, TollwayError
from tollway.domain.ids import JournalId, OrgId, RequestId
from tollway.domain.lease import Order, Terms
from tollway.domain.ledger import Batch, Entry, Outcome, Start, unsettled
from tollway.domain.limit import Pot, minute_of
from tollway.domain.money import Nano
from tollway.domain.price import Cost
from tollway.domain.usage import Unit
from tollway.gateway.need import Need
from tollway.limits.limits import TICK_S, Limits
from tollway.limits.purse import Purse
from tollway.limits.reservation import Reservation
from tollway.store.journals import close_journal, position_of, register_journal
from tollway.store.leases import exchange
from tollway.store.usage import fold

if TYPE_CHECKING:
    from tests.simulation_limits.history import History

_STIRRED_S = 3.5 * TICK_S
_IDLE_S = 10.0
_DRAIN_S = 2.0
_DELAYS_S = (0.0, 0.001, 0.02, 0.3)
_POLL_S = 0.25
_PIECE = 8


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What processes are made of; a test puts a faulty part in its place."""

    limits: type[Limits] = Limits
    instead: Callable[["History"], Instead] = field(default=lambda _: {})
    """Transactions, by those in whose place they stand."""


class Process:
    """A process that lives until it stops, or is killed."""

    def __init__(self, history: "History", name: str) -> None:
        self.life = Life(name)
        self.accepts = True
        self.is_cut = False
        """Whether it has lost its connection to the database."""
        self.stale: list[tuple[int, Pot, int | None]] = []
        """Earlier limits that it may still go by, and since which change they are not in force."""
        self.journal = Journal(JournalId(f"journal-{len(history.journals)}"))
        self.journal.owner = self.life
        history.journals.append(self.journal)
        self._history = history
        self._loop = history.loop
        self._clock = SkewedClock(self._loop, 0)
        self.limits = history.parts.limits(self._lend, self._clock, self.journal.id)
        self.folded_to = 0
        self._callers = {
            spender.key: history.book.caller(spender)
            for tenant in history.plan.tenants
            for spender in tenant.keys
        }
        self._heard: dict[OrgId, int] = {}
        self._expected: set[OrgId] = set()
        self._stirred_s = 0.0
        self._stir = asyncio.Event()
        self._calls: list[asyncio.Task[None]] = []
        history.server.transact(register_journal, self.journal.id, "simulated", self._clock.now_us())
        self._tasks = [self._spawn(self._tidy()), self._spawn(self._fold())]

    @property
    def is_reachable(self) -> bool:
        """Whether it runs, and the database answers it."""
        return self.life.is_alive and not (self.is_cut or self.life.is_paused or self._history.server.is_away)

    def begin_call(self, spender: Spender, need: Need) -> None:
        """Let somebody call."""
        self._calls.append(self._spawn(self._guarded(self.call, spender, need)))

    def leave(self) -> None:
        """One of those who wait for an answer goes away."""
        waiting = [task for task in self._calls if not task.done()]
        if waiting:
            self._history.random.choice(waiting).cancel()

    def reconnect(self) -> None:
        """The database can be reached again."""
        self.is_cut = False

    def hear(self, org: OrgId) -> None:
        """Something of this organisation changed."""
        if org not in self._expected:
            self._expected.add(org)
            self._spawn(self._hear(org))

    def stop(self) -> None:
        """Stop as after SIGTERM."""
        if self.accepts:
            self.accepts = False
            self._spawn(self._guarded(self._stop))

    def recover(self, journal: Journal) -> None:
        """Fold what a dead one has left."""
        journal.owner = self.life
        self._spawn(self._guarded(self._recover, journal))

    def stir(self) -> None:
        """There may be something to tidy soon."""
        self._stirred_s = self._loop.time()
        self._stir.set()

    def fold_now(self) -> None:
        """Let it fold what there is."""
        self._spawn(self._guarded(self.fold_once))

    async def call(
        self, spender: Spender, need: Need, longest_s: float | None = None, part: float | None = None
    ) -> str | None:
        """One call from its reservation to its end; the code of a refusal.

        `part`: what it costs, of the most that it may.
        """
        history, draw = self._history, self._history.random
        self.stir()
        received_us = self._clock.now_us()
        caller = self._callers[spender.key]
        try:
            with await self.limits.reserve(caller, need) as reservation:
                now_us = self._clock.now_us()
                if any(purse.is_share for purse in self._purses(spender.org)):
                    history.book.inexact.add(minute_of(now_us))
                call = Call(
                    id=RequestId(f"call-{len(history.book.calls)}"),
                    spender=spender,
                    pots=[cap.pot for cap in caller.caps],
                    worst=(1, reservation.held_tokens, reservation.held),
                    minute_us=minute_of(now_us),
                    journal=self.journal.id,
                    funding=reservation.funding,
                )
                history.book.admit(call, now_us, history.living)
                if (part is None and draw.random() < 0.03) or history.befalls("at_the_start"):
                    history.book.release(call)
                    if draw.random() < 0.5 and history.befalls("at_the_start"):
                        history.loop.kill(self.life)
                        raise Killed
                    raise BadRequest("simulated: labels that cannot be kept")
                start = self._start(call, reservation, received_us)
                self.journal.records.append(start)
                wait_s = draw.random() * (history.plan.longest_call_s if longest_s is None else longest_s)
                try:
                    if wait_s:
                        await asyncio.sleep(wait_s)
                finally:
                    if self.life.is_alive:
                        self._end(call, start, need, reservation, part)
        except TollwayError as error:
            history.book.counts[error.code] += 1
            if not isinstance(error, Limited | LimitsUnavailable | BadRequest):
                raise
            return error.code
        history.book.counts["ended"] += 1
        return None

    def _purses(self, org: OrgId) -> Iterable[Purse]:
        return self.limits._desks[org].purses.values()  # noqa: SLF001 - the simulation looks inside

    def _start(self, call: Call, reservation: Reservation, received_us: int) -> Start:
        spender = call.spender
        return Start(
            request_id=call.id,
            org_id=spender.org,
            app_id=spender.app,
            app=spender.app,
            key_id=spender.key,
            provider="demo",
            model="small",
            streamed=False,
            held=reservation.held,
            held_tokens=reservation.held_tokens,
            leased=reservation.leased,
            funding=reservation.funding,
            started_us=received_us,
        )

    def _end(
        self, call: Call, start: Start, need: Need, reservation: Reservation, part: float | None
    ) -> None:
        history = self._history
        if part is None:
            part = history.random.choice((0.0, history.random.random(), 1.0))
        prompt = int(need.prompt_tokens * part)
        most = need.completion_tokens if reservation.cap is None else reservation.cap * need.choices
        completion = int(most * part)
        nano = int(need.price.of(completion) * part)
        cost = Cost(
            version="",
            by_unit={Unit.INPUT: Nano(nano // 2), Unit.OUTPUT: Nano(nano - nano // 2)},
            prompt=Nano(nano // 2),
            completion=Nano(nano - nano // 2),
        )
        entry = Entry(
            request_id=start.request_id,
            outcome=Outcome.SETTLED,
            status=200,
            org_id=start.org_id,
            app_id=start.app_id,
            app=start.app,
            key_id=start.key_id,
            provider=start.provider,
            model=start.model,
            units={Unit.INPUT: prompt, Unit.OUTPUT: completion},
            cost=cost,
            vendor_cost=cost,
            funding=start.funding,
            started_us=start.started_us,
            ended_us=self._clock.now_us(),
            leased=start.leased,
        )
        self.journal.records.append(entry)
        history.book.end(call, nano, prompt + completion, entry.ended_us)
        if history.befalls("at_the_end"):
            history.loop.kill(self.life)
            raise Killed
        reservation.settle(entry.charged, entry.consumed)
        self.stir()

    async def fold_once(self) -> None:
        """Fold what there is."""
        upto = len(self.journal.records)
        if self.folded_to < upto:
            batch = self.journal.batch(self.folded_to, upto)
            self.folded_to = await self._ask(fold, batch, self._clock.now_us())

    async def _lend(self, order: Order) -> Terms:
        terms: Terms = await self._ask(exchange, order.org_id, order, PLANS, self._clock.now_us())
        return terms

    async def _ask(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the transaction
        """Let the database do something. It is done at one moment, whoever still waits for it then."""
        history, draw, loop = self._history, self._history.random, self._loop
        if not self.is_reachable or history.befalls("never"):
            await asyncio.sleep(draw.choice((0.0, 0.1, 4.0)))
            raise StoreUnavailable("simulated: away")
        answer: asyncio.Future[Any] = loop.create_future()
        own = copy_context()

        def tell(set_outcome: Callable[[Any], None], outcome: object) -> None:
            if not answer.done():
                set_outcome(outcome)

        def do() -> None:
            if not self.life.is_alive:
                return
            try:
                outcome = self._do(work, *args, **kwargs)
            except StoreUnavailable as error:
                tell(answer.set_exception, error)
                return
            if history.befalls("lost"):
                lost = StoreUnavailable("simulated: the answer is lost")
                loop.call_later(draw.choice((0.0, 3.0)), tell, answer.set_exception, lost, context=own)
            else:
                loop.call_later(self._wait_s(), tell, answer.set_result, outcome, context=own)

        wait_s = self._wait_s()
        if history.befalls("late"):
            wait_s += draw.random() * 20
        loop.call_later(wait_s, do, context=Context())
        return await answer

    def _do(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the transaction
        outcome = self._history.server.transact(work, *args, **kwargs)
        if work is fold and outcome >= args[0].upto:
            for _, entry in args[0].entries:
                self._history.book.fold(entry)
        check_leases(self._history)
        return outcome

    def _wait_s(self) -> float:
        draw = self._history.random
        return 0.0 if self._history.is_calm else draw.random() * draw.choice(_DELAYS_S)

    async def _fold(self) -> None:
        while True:
            await asyncio.sleep(self._history.random.expovariate(1 / self._history.plan.fold_s))
            await self._guarded(self.fold_once)

    async def _tidy(self) -> None:
        while True:
            await self.limits.tidy()
            self._digest()
            if self.stale or self._loop.time() - self._stirred_s < _STIRRED_S:
                await asyncio.sleep(TICK_S)
            else:
                self._stir.clear()
                timer = self._loop.call_later(_IDLE_S, self._stir.set)
                await self._stir.wait()
                timer.cancel()

    def _digest(self) -> None:
        """Forget about limits that it does not go by any more."""
        if self.stale:
            desks = self.limits._desks  # noqa: SLF001 - the simulation looks inside
            done = {
                org: version
                for org, version in self._heard.items()
                if org not in desks or not desks[org].is_recalled
            }
            orgs = self._history.book.orgs
            self.stale = [each for each in self.stale if done.get(orgs[each[1]], -1) < each[0]]

    async def _hear(self, org: OrgId) -> None:
        await asyncio.sleep(self._history.random.random() * _POLL_S)
        while not self.is_reachable:  # noqa: ASYNC110 - time is free here
            await asyncio.sleep(_POLL_S)
        self._expected.remove(org)
        book = self._history.book
        for tenant in self._history.plan.tenants:
            for spender in tenant.keys:
                if spender.org == org:
                    self._callers[spender.key] = book.caller(spender)
        self.limits.forget([org])
        self._heard[org] = book.version[org]
        self.stir()

    async def _stop(self) -> None:
        self._history.note(f"{self.life.name} stops")
        running = [task for task in self._calls if not task.done()]
        if running:
            await asyncio.wait(running, timeout=_DRAIN_S)
        for tasks in (self._calls, self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self.fold_once()
            if not self.journal.open():
                await self._close(self.journal.id, self.folded_to)
        finally:
            if self.life.is_alive:
                self._history.note(f"{self.life.name} has stopped")
                self._loop.kill(self.life)

    async def _recover(self, journal: Journal) -> None:
        """As `metering/recovery.py` does it."""
        try:
            now_us = self._clock.now_us()
            at = await self._ask(position_of, journal.id, now_us)
            while at < len(journal.records):
                batch = journal.batch(at, min(at + _PIECE, len(journal.records)))
                at = await self._ask(fold, batch, self._clock.now_us())
            now_us = self._clock.now_us()
            rows = [(at + more, unsettled(start, now_us)) for more, start in enumerate(journal.open())]
            if rows:
                batch = Batch(journal=journal.id, first=at, upto=at + len(rows), entries=rows)
                at = await self._ask(fold, batch, now_us)
            await self._close(journal.id, at)
        finally:
            journal.owner = None

    async def _close(self, journal: JournalId, folded_to: int) -> None:
        await self._ask(close_journal, journal, self._clock.now_us(), folded_to=folded_to)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self._loop.spawn(self.life, work)

    async def _guarded(self, work: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:  # noqa: ANN401 - as the work
        try:
            await work(*args)
        except StoreUnavailable:
            pass
        except Exception as error:  # noqa: BLE001 - nothing else may happen
            self._history.violate(f"{self.life.name} met {error!r}")
