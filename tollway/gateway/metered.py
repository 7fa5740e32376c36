"""Around one vendor call: reserve before, record after, exactly once.

Ending is a plain function on purpose: with no await there is nothing that a client who hangs
up, or a server that stops, can interrupt. What the vendor billed, we meter. Owns the entry of
one attempt; does not own prices (`domain/price.py`) or the journal.
"""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tollway.domain.caller import Caller
from tollway.domain.clock import Clock
from tollway.domain.errors import ModelNotFound, NotPriced, TollwayError
from tollway.domain.labels import parse_labels
from tollway.domain.ledger import NOTHING, Entry, Outcome, Start
from tollway.domain.price import Cost, cost_of
from tollway.domain.usage import Usage
from tollway.gateway.call import Call
from tollway.gateway.wire import Chat
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


class Tally:
    """One attempt, from its start to its one end.

    BadRequest for labels that cannot be kept, MeteringUnavailable if the call cannot be recorded.
    """

    def __init__(self, meter: Meter, call: Call, caller: Caller, route: Route, asked: Chat) -> None:
        self._meter = meter
        self._caller = caller
        self._route = route
        self._end_user = asked.end_user
        self._labels = parse_labels(call.labels)
        self._prompt_bytes = asked.prompt_bytes
        self._text_bytes = 0
        self._usage: Usage | None = None
        self._service_tier: str | None = None
        self._first_token_us: int | None = None
        self._start = Start(
            request_id=call.request_id,
            org_id=caller.org_id,
            app_id=caller.app_id,
            app=caller.app,
            key_id=caller.key_id,
            provider=route.provider,
            model=route.model,
            streamed=asked.stream,
            started_us=call.received_us,
        )
        self.is_open = True
        meter.journal.start(self._start)

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

    def count(self, usage: Usage | None, service_tier: str | None, text_bytes: int) -> None:
        """Take note of what an answer, or one event of a stream, says; the last usage counts."""
        self._text_bytes += text_bytes
        if usage is not None:
            self._usage = usage
        if service_tier is not None:
            self._service_tier = service_tier
        if text_bytes and self._start.streamed and self._first_token_us is None:
            self._first_token_us = self._meter.clock.now_us() - self._start.started_us

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
            usage = estimate(self._prompt_bytes, self._text_bytes)
            outcome = Outcome.ESTIMATED
        cost = self._price(self._route, usage)
        benchmark = self._benchmark()
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
            end_user=self._end_user,
            labels=self._labels,
            units=dict(usage),
            cost=cost,
            vendor_cost=cost,
            benchmark_model=benchmark.model if benchmark else None,
            benchmark=self._price(benchmark, usage) if benchmark else None,
            started_us=start.started_us,
            ended_us=self._meter.clock.now_us(),
            first_token_us=self._first_token_us,
        )
        self._meter.journal.end(entry)
        return entry

    def _price(self, route: Route, usage: Usage) -> Cost:
        if not usage:
            return NOTHING
        return cost_of(usage, route.prices.at(self._start.started_us, self._service_tier))

    def _benchmark(self) -> Route | None:
        """What the app's savings are measured against; None if there is none, or no longer."""
        if self._caller.benchmark_model is None:
            return None
        try:
            return self._meter.catalog.benchmark(self._caller.benchmark_model)
        except (ModelNotFound, NotPriced):
            return None
