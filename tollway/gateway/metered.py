"""Around one vendor call: reserve before, record after, exactly once.

Ending is a plain function on purpose: with no await there is nothing that a client who hangs
up, or a server that stops, can interrupt. What the vendor billed, we meter, at the prices and the
rate card that were in force when the call began. Owns the entry of one attempt; does not own
prices (`domain/price.py`) or the journal.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from tollway.domain.body import KEEPS_BODIES, KEEPS_NO_LOG, Part
from tollway.domain.caller import Caller
from tollway.domain.clock import Clock
from tollway.domain.errors import MeteringUnavailable, ModelNotFound, NotPriced, TollwayError
from tollway.domain.labels import parse_labels
from tollway.domain.ledger import NOTHING, Entry, Outcome, Start
from tollway.domain.price import Cost, Price, cost_of
from tollway.domain.rate_card import rated
from tollway.domain.traffic import Traffic
from tollway.domain.usage import Unit, Usage
from tollway.gateway.call import Call
from tollway.gateway.kept import KeptBody
from tollway.gateway.wire import Chat
from tollway.limits.reservation import Reservation
from tollway.metering.estimate import estimate
from tollway.metering.journal import Journal
from tollway.providers.catalog import Catalog, Route

CLIENT_GONE = 499
"""The status of a call that was given up before its answer was complete, as nginx names it."""


@dataclass(frozen=True, slots=True)
class Meter:
    """What every tally needs."""

    journal: Journal
    catalog: Catalog
    clock: Clock
    body_max_bytes: int
    traffic: Traffic = field(default_factory=Traffic)


class _Amounts(NamedTuple):
    """What a usage costs, and the prices that say so."""

    cost: Cost = NOTHING
    vendor_cost: Cost = NOTHING
    rate_card: str | None = None
    benchmark: Cost | None = None
    prices: tuple[Price, ...] = ()


class Tally:
    """One attempt, from its start to its one end.

    BadRequest for labels that cannot be kept, MeteringUnavailable if the call cannot be recorded.
    From then on what was reserved is settled here.
    """

    def __init__(
        self,
        meter: Meter,
        call: Call,
        caller: Caller,
        route: Route,
        asked: Chat,
        reservation: Reservation,
    ) -> None:
        self._meter = meter
        self._reservation = reservation
        self._caller = caller
        self._route = route
        self._prompt_bytes = asked.prompt_bytes
        self._text_bytes = 0
        self._usage: Usage | None = None
        self._service_tier: str | None = None
        self._first_token_us: int | None = None
        self._is_searched = False
        self._started_us = call.received_us
        self._benchmark = self._find_benchmark()
        labels = parse_labels(call.labels)
        is_private = caller.privacy_level == KEEPS_NO_LOG
        self._start = Start(
            request_id=call.request_id,
            org_id=caller.org_id,
            app_id=caller.app_id,
            app=caller.app,
            key_id=caller.key_id,
            provider=route.provider,
            model=route.model,
            streamed=asked.stream,
            end_user=None if is_private else asked.end_user,
            labels={} if is_private else labels,
            is_private=is_private,
            held=reservation.held,
            held_tokens=reservation.held_tokens,
            leased=reservation.leased,
            funding=reservation.funding,
            started_us=call.received_us,
        )
        self.is_open = True
        meter.journal.start(self._start)
        self._response: KeptBody | None = None
        if caller.privacy_level == KEEPS_BODIES:
            self._kept(Part.REQUEST).add_all(asked.body)
            self._response = self._kept(Part.RESPONSE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An error on the way ends the call; without one, whoever has the answer ends it."""
        if error is None or not self.is_open:
            return
        match error:
            case TollwayError():
                self.failed(error.status, error.code)
            case asyncio.CancelledError():
                self.given_up()
            case _:
                self.failed(TollwayError.status, TollwayError.code)

    async def begun(self) -> None:
        """Wait, where the setting asks for it, until the start outlives the machine. MeteringUnavailable."""
        await self._meter.journal.durable()

    async def recorded(self) -> None:
        """The same for the end, once there is one. The answer is the client's, whatever the disk says."""
        if not self.is_open:
            with contextlib.suppress(MeteringUnavailable):  # logged by the journal
                await self._meter.journal.durable()

    def count(self, usage: Usage | None, service_tier: str | None, text_bytes: int) -> None:
        """Take note of what an answer, or one event of a stream, says; the last usage counts."""
        self._text_bytes += text_bytes
        if usage is not None:
            self._usage = usage
        if service_tier is not None:
            self._service_tier = service_tier
        if text_bytes and self._start.streamed and self._first_token_us is None:
            self._first_token_us = self._meter.clock.now_us() - self._start.started_us

    def searched(self) -> None:
        """Take note that the vendor searched the web; where it reports a count, that holds."""
        self._is_searched = True

    def passed(self, data: bytes) -> None:
        """Take note of what the client is sent, before the end; it is kept if the organisation asks so."""
        if self._response is not None:
            self._response.add(data)

    def answered(self, status: int) -> Entry:
        """End: the client gets the vendor's complete answer."""
        return self._end(Outcome.SETTLED, status, None)

    def failed(self, status: int, code: str) -> Entry:
        """End: the answer failed. It costs what the vendor reported, else nothing."""
        return self._end(Outcome.FAILED, status, code)

    def given_up(self, status: int = CLIENT_GONE, code: str = "client_gone") -> Entry:
        """End: we read no further, for nobody waits or a bound is passed; what came is estimated."""
        return self._end(Outcome.ESTIMATED, status, code)

    def _end(self, outcome: Outcome, status: int, code: str | None) -> Entry:
        self.is_open = False
        usage = self._usage
        if usage is not None and outcome is Outcome.ESTIMATED:
            outcome = Outcome.SETTLED
        elif usage is None and outcome is Outcome.FAILED:
            usage = {}
        elif usage is None:
            usage = estimate(self._prompt_bytes, self._text_bytes, self._reservation.completion_tokens)
            outcome = Outcome.ESTIMATED
        if self._is_searched and usage:
            usage = {Unit.WEB_SEARCH: 1, **usage}
        amounts = self._amounts(usage)
        start = self._start
        entry = Entry(
            request_id=start.request_id,
            attempt=start.attempt,
            outcome=outcome,
            status=status,
            error_code=code,
            org_id=start.org_id,
            app_id=start.app_id,
            app=start.app,
            key_id=start.key_id,
            provider=start.provider,
            model=start.model,
            service_tier=self._service_tier,
            streamed=start.streamed,
            end_user=start.end_user,
            labels=start.labels,
            is_private=start.is_private,
            funding=start.funding,
            units=dict(usage),
            cost=amounts.cost,
            vendor_cost=amounts.vendor_cost,
            rate_card=amounts.rate_card,
            benchmark_model=self._benchmark.model if self._benchmark and amounts.benchmark else None,
            benchmark=amounts.benchmark,
            started_us=start.started_us,
            ended_us=self._meter.clock.now_us(),
            first_token_us=self._first_token_us,
            leased=start.leased,
            overrun=amounts.cost.total > start.held,
        )
        if self._response is not None:
            self._response.flush()
        self._meter.journal.end(entry, amounts.prices)
        self._reservation.settle(entry.charged, entry.consumed)
        self._meter.traffic.vendor_calls[start.provider, status, code] += 1
        return entry

    def _kept(self, part: Part) -> KeptBody:
        meter = self._meter
        return KeptBody(meter.journal, meter.clock, self._start, part, meter.body_max_bytes)

    def _amounts(self, usage: Usage) -> _Amounts:
        """Costs of a usage: the vendor's, the organisation's, and the benchmark's by the same card."""
        if not usage:
            return _Amounts(benchmark=NOTHING if self._benchmark else None)
        asked = self._route.prices.at(self._started_us, self._service_tier)
        paid, card = self._rated(asked, self._route)
        vendor_cost = cost_of(usage, asked)
        cost = vendor_cost if paid is asked else cost_of(usage, paid)
        if self._benchmark is None or paid.is_unpriced:  # nothing is saved against an unknown cost
            return _Amounts(cost, vendor_cost, card, None, (paid, asked))
        instead = self._benchmark.prices.at(self._started_us, self._service_tier)
        instead, _ = self._rated(instead, self._benchmark)
        return _Amounts(cost, vendor_cost, card, cost_of(usage, instead), (paid, asked, instead))

    def _rated(self, price: Price, route: Route) -> tuple[Price, str | None]:
        return rated(price, route.model, self._caller.rate_cards, self._started_us)

    def _find_benchmark(self) -> Route | None:
        """What savings are measured against; None if there is nothing, or it has no price any more."""
        if self._caller.benchmark_model is None:
            return None
        try:
            found = self._meter.catalog.benchmark(self._caller.benchmark_model)
            return None if found.prices.at(self._started_us, None).is_unpriced else found
        except (ModelNotFound, NotPriced):
            return None
