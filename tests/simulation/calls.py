"""Calls, the vendor that is asked, and the book in which the simulation keeps what really happened."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from uuid import UUID

from tests.simulation.faults import Faults
from tollway.domain.body import BodyPiece, Part
from tollway.domain.clock import Clock
from tollway.domain.errors import MeteringUnavailable
from tollway.domain.ids import AppId, JournalId, KeyId, OrgId, RequestId
from tollway.domain.ledger import NOTHING, Entry, Outcome, Start
from tollway.domain.money import NANO_PER_USD, Nano
from tollway.domain.price import Price, compile_price, cost_of
from tollway.domain.refusal import Refused
from tollway.domain.usage import Unit
from tollway.limits.refused import RefusedCounts
from tollway.metering.journal import Fsync, Journal

ORGS = (OrgId("org-1"), OrgId("org-2"))
_FILLING_BYTES = (0, 0, 300, 2_000, 6_000)
_MORE_BYTES = (0, 0, 2_000, 10_000)
"""Of an end, besides what its start took: the journal has room for 12 KiB."""
_LONGEST_ANSWERS_S = (0.01, 0.2, 2.0)
_ATTEMPTS = 3
_BODY_BYTES = (0, 0, 100, 5_000)
_TOO_MANY = {Unit.INPUT: 2**62, Unit.CACHE_READ: 2**62}
"""Their sum leaves 64 bits: no database takes the row."""

Key = tuple[RequestId, int]


def _price(source: str, **nano: int) -> Price:
    return compile_price(
        source, {Unit(unit): ((-1, Fraction(each, NANO_PER_USD)),) for unit, each in nano.items()}
    )


PRICES: Mapping[str, Price] = {
    "demo/small": _price("small", input=150, output=600, request=7),
    "demo/large": _price("large", input=2_500, output=10_000),
}


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """One attempt, as whoever sees everything knows it."""

    start: Start
    journal: JournalId
    is_admitted: bool = False
    """`start` returned."""
    bill: dict[Unit, int] | None = None
    """What the vendor counted."""
    entry: Entry | None = None
    """What `end` was asked to write."""
    has_ended: bool = False
    """`end` returned."""
    offset: int | None = None
    """Where the end was written first."""
    is_answered: bool = False
    """The client has the answer, and whoever waited for the disk was told that all is well."""
    is_start_kept: bool = False
    """That there was a call outlives the machine."""
    is_end_kept: bool = False
    """How it ended does."""
    was_unwritten: bool = False
    """Its process was gone before any disk took its end."""
    may_be_forgotten: bool = False
    """A fault came that may cost what was not stored yet."""
    is_lost: bool = False
    """What told of it has rotted, or went before a restored database had it again; or no row can hold it."""
    has_verdict: bool = False
    """Somebody stored that its end would never be known."""

    def __str__(self) -> str:
        entry = self.entry
        names = [name for name in self.__slots__ if getattr(self, name) is True]
        return (
            f"{self.start.request_id}/{self.start.attempt} of journal {self.journal}, offset {self.offset},"
            f" {entry.outcome if entry else 'open'}, {', '.join(names)}"
        )


@dataclass(slots=True, kw_only=True)
class Refusal:
    """Calls that were refused for a reason of their own, as whoever sees everything knows it."""

    journal: JournalId
    count: int = 0
    is_told: bool = False
    """The journal took it, and no write failed."""
    is_kept: bool = False
    """It outlives the machine."""
    is_lost: bool = False
    """A fault came that may cost it."""


class Book:
    """All calls, in the order in which they began."""

    def __init__(self) -> None:
        self.calls: dict[Key, Call] = {}
        self.by_journal: defaultdict[JournalId, list[Call]] = defaultdict(list)
        self.num_open: defaultdict[JournalId, int] = defaultdict(int)
        self.bodies: set[tuple[str, int, str, int, bytes]] = set()
        """Pieces that were to be kept, as their rows are."""
        self.refusals: dict[str, Refusal] = {}
        """By the reason."""
        self.ended: defaultdict[JournalId, list[Call]] = defaultdict(list)

    def begin(self, call: Call) -> None:
        """A call is about to be written."""
        self.calls[call.start.key] = call
        self.by_journal[call.journal].append(call)

    def keep(self, journal: JournalId) -> None:
        """All that this journal tells now outlives the machine."""
        for call in self.by_journal[journal]:
            call.is_start_kept |= call.is_admitted
            call.is_end_kept |= call.has_ended

    def lose_process(self, journal: JournalId, num_unwritten: int) -> None:
        """Its process is gone, with so many ends that no disk took."""
        for call in self.ended[journal][-num_unwritten:] if num_unwritten else ():
            call.was_unwritten = True

    def keep_refusals(self, journal: JournalId) -> None:
        """What this journal took of them now outlives the machine."""
        for refusal in self.refusals.values():
            refusal.is_kept |= refusal.journal == journal and refusal.is_told

    def lose_refusals(self, journal: JournalId | None = None) -> None:
        """What of this journal, or of any, is not stored may be gone: it is never told again."""
        for refusal in self.refusals.values():
            refusal.is_lost |= journal in (None, refusal.journal) and not refusal.is_kept

    def lose_power(self) -> None:
        """The machine is gone, and with it what was not stored."""
        for call in self.calls.values():
            call.may_be_forgotten = True
        self.lose_refusals()

    def may_forget(self, journal: JournalId) -> None:
        """What this journal has that is not stored may be gone."""
        for call in self.by_journal[journal]:
            call.may_be_forgotten = True


class _Told:
    """A journal; what it takes is noted."""

    def __init__(self, journal: Journal, book: Book) -> None:
        self._journal = journal
        self._book = book

    def refused(self, counts: Iterable[Refused]) -> bool:
        """As the journal says."""
        told = list(counts)
        is_told = self._journal.refused(told)
        for each in told:
            self._book.refusals[each.code].is_told |= is_told
        return is_told


class Client:
    """Whoever calls through one process, and the vendor behind it."""

    def __init__(
        self, journal: Journal, fsync: Fsync, book: Book, clock: Clock, random: Random, faults: Faults
    ) -> None:
        self._journal = journal
        self._is_durable = fsync == "group"
        self._book = book
        self._clock = clock
        self._random = random
        self._faults = faults

    def refuse(self, counts: RefusedCounts) -> None:
        """Some calls are refused for a reason of their own; mostly the journal is told at once."""
        reason = f"reason-{len(self._book.refusals):06}"
        refusal = Refusal(journal=self._journal.id, count=self._random.randint(1, 3))
        self._book.refusals[reason] = refusal
        org = self._random.choice(ORGS)
        for _ in range(refusal.count):
            counts.count(org, "acme-app", reason)
        if self._random.random() < 0.2:
            return
        num_failed = self._faults.happened["write_eio"]
        counts.flush(_Told(self._journal, self._book), self._clock.now_us())
        if self._faults.happened["write_eio"] > num_failed:
            self._book.lose_refusals(self._journal.id)

    async def request(self) -> None:
        """One request, with as many attempts as it takes."""
        request_id = RequestId(str(UUID(int=self._random.getrandbits(128))))
        for attempt in range(1, _ATTEMPTS + 1):
            if await self._attempt(request_id, attempt):
                return

    async def _attempt(self, request_id: RequestId, attempt: int) -> bool:
        """One attempt, the way the gateway does it; whether there is no need for another."""
        call = Call(start=self._start(request_id, attempt), journal=self._journal.id)
        self._book.begin(call)
        try:
            self._journal.start(call.start)
        except MeteringUnavailable:
            return True
        call.is_admitted = True
        self._book.num_open[call.journal] += 1
        try:
            return await self._ask(call)
        except asyncio.CancelledError:
            if call.entry is None:
                self._end(call, Outcome.ESTIMATED, self._units())
            raise

    async def _ask(self, call: Call) -> bool:
        try:
            await self._journal.durable()
        except MeteringUnavailable:
            self._end(call, Outcome.FAILED, {})
            return True
        call.is_start_kept |= self._is_durable
        self._keep(call, Part.REQUEST)
        await self._time_passes()
        if self._random.random() < 0.15:
            self._end(call, Outcome.FAILED, {})
            return False
        call.bill = self._units()
        await self._time_passes()
        self._keep(call, Part.RESPONSE)
        if self._random.random() < 0.1:
            self._end(call, Outcome.ESTIMATED, self._units())
        else:
            self._end(call, Outcome.SETTLED, call.bill)
        try:
            await self._journal.durable()
        except MeteringUnavailable:
            return True
        call.is_answered = True
        call.is_end_kept |= self._is_durable
        return True

    async def _time_passes(self) -> None:
        longest_s = self._random.choice(_LONGEST_ANSWERS_S)
        await asyncio.sleep(longest_s * self._random.random())

    def _keep(self, call: Call, part: Part) -> None:
        """A piece of a body, for some calls."""
        start, size = call.start, self._random.choice(_BODY_BYTES)
        if size:
            data = self._random.randbytes(size)
            self._book.bodies.add((start.request_id, start.attempt, part.value, 0, data))
            self._journal.body(
                BodyPiece(
                    org_id=start.org_id,
                    request_id=start.request_id,
                    attempt=start.attempt,
                    part=part,
                    at=0,
                    data=data,
                    written_us=self._clock.now_us(),
                )
            )

    def _units(self) -> dict[Unit, int]:
        draw = self._random.randint
        return {Unit.INPUT: draw(1, 999), Unit.OUTPUT: draw(1, 999), Unit.REQUEST: 1}

    def _start(self, request_id: RequestId, attempt: int) -> Start:
        return Start(
            request_id=request_id,
            attempt=attempt,
            org_id=self._random.choice(ORGS),
            app_id=AppId("app-1"),
            app="acme-app",
            key_id=KeyId("key-1"),
            provider="demo",
            model=self._random.choice(list(PRICES)),
            streamed=False,
            labels={"filling": "x" * self._random.choice(_FILLING_BYTES)},
            held=Nano(self._random.randint(1, 10**9)),
            started_us=self._clock.now_us(),
        )

    def _end(self, call: Call, outcome: Outcome, units: dict[Unit, int]) -> None:
        if self._faults.happens("refused"):
            units, call.is_lost = _TOO_MANY, True
        start = call.start
        price = PRICES[start.model]
        cost = NOTHING if units is _TOO_MANY else cost_of(units, price)
        call.entry = Entry(
            request_id=start.request_id,
            attempt=start.attempt,
            final=outcome is not Outcome.FAILED,
            outcome=outcome,
            status=502 if outcome is Outcome.FAILED else 200,
            org_id=start.org_id,
            app_id=start.app_id,
            app=start.app,
            key_id=start.key_id,
            provider=start.provider,
            model=start.model,
            service_tier="x" * self._random.choice(_MORE_BYTES) or None,
            labels=start.labels,
            units=units,
            cost=cost,
            vendor_cost=cost,
            started_us=start.started_us,
            ended_us=self._clock.now_us(),
        )
        self._journal.end(call.entry, [price])
        call.has_ended = True
        if not self._journal.unwritten:
            call.offset = self._journal.next_offset - 1
        self._book.num_open[call.journal] -= 1
        self._book.ended[call.journal].append(call)
