"""The other end of the limits' wire: a lender that tests script, and calls that want something."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from tests.world.clock import TurningClock
from tollway.domain import errors
from tollway.domain.caller import Caller
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import AppId, JournalId, KeyId, OrgId
from tollway.domain.lease import Ask, Order, Term, Terms, term
from tollway.domain.limit import MINUTE_US, Cap, Kind, Level, Pot
from tollway.domain.money import Nano
from tollway.domain.standing import UNLIMITED_STANDING, Standing
from tollway.limits.limits import Limits
from tollway.limits.reservation import Reservation

ORG, APP, KEY = OrgId("org-1"), AppId("app-1"), KeyId("key-1")
IDS = {Level.ORG: ORG, Level.APP: APP, Level.KEY: KEY}

REQUESTS, TOKENS, PLAN, TRIAL, SPEND = (Pot(Level.ORG, ORG, kind) for kind in Kind)
APP_REQUESTS, APP_TOKENS, APP_SPEND = (
    Pot(Level.APP, APP, kind) for kind in (Kind.REQUESTS, Kind.TOKENS, Kind.SPEND)
)
KEY_REQUESTS, KEY_TOKENS, KEY_SPEND = (
    Pot(Level.KEY, KEY, kind) for kind in (Kind.REQUESTS, Kind.TOKENS, Kind.SPEND)
)

IN_ORDER = [
    REQUESTS,
    APP_REQUESTS,
    KEY_REQUESTS,
    TOKENS,
    APP_TOKENS,
    KEY_TOKENS,
    PLAN,
    TRIAL,
    SPEND,
    APP_SPEND,
    KEY_SPEND,
]
"""Pots, as they refuse."""

Limited = Mapping[Pot, int | None]


def caller(limited: Limited, standing: Standing = UNLIMITED_STANDING, key: KeyId = KEY) -> Caller:
    """The key of an app that has these limits, in this order."""
    return Caller(
        org_id=ORG,
        org="acme",
        org_is_active=True,
        app_id=APP,
        app="acme-app",
        app_is_active=True,
        key_id=key,
        key_is_active=True,
        benchmark_model=None,
        standing=standing,
        caps=tuple(Cap(pot, limit) for pot, limit in limited.items()),
    )


@dataclass(frozen=True, slots=True)
class Price:
    """So much for the prompt, and so much for each token of the completion; nano-dollars."""

    base: int = 0
    each: int = 1

    def of(self, completion_tokens: int) -> Nano:
        return Nano(self.base + self.each * completion_tokens)

    def tokens_within(self, nano: int) -> int:
        return (nano - self.base) // self.each


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A call; by default one of 10 tokens, and 10 nano-dollars, with a cap of its own."""

    prompt_tokens: int = 0
    choices: int = 1
    completion_tokens: int = 10
    least_tokens: int = 1
    is_stated: bool = True
    price: Price = field(default_factory=Price)


class Wishes(TypedDict, total=False):
    """What is not as by default in what is `Wanted`."""

    prompt_tokens: int
    choices: int
    completion_tokens: int
    least_tokens: int
    is_stated: bool
    price: Price


class Bank:
    """A database that lends what it is told that there is, to one process; it can fail in any way."""

    def __init__(self, limits: Limited) -> None:
        self.limits = dict(limits)
        self.spent: Counter[Pot] = Counter()
        self.lent: Counter[tuple[Pot, int]] = Counter()
        self.elsewhere: Counter[Pot] = Counter()
        """What other processes have."""
        self.processes, self.rank = 1, 0
        self.orders: list[Order] = []
        self.is_away = False
        self.is_deaf = False
        """Whether it carries out orders, and its answers are lost."""
        self.is_silent = False
        """Whether it lets callers wait until they give up."""
        self.gate = asyncio.Event()
        self.gate.set()
        """What an order waits for before it is carried out."""
        self.gets_back: Counter[Pot] = Counter()
        """What others give back after the next order."""
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """What happens while an order is on its way."""
        self._told: dict[int, Terms] = {}

    async def __call__(self, order: Order) -> Terms:
        self.orders.append(order)
        await self.gate.wait()
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.is_away:
            raise StoreUnavailable("the database is away")
        if self.is_silent:
            raise TimeoutError
        if order.number not in self._told:
            self._told[order.number] = self._carry_out(order)
        if self.is_deaf:
            raise StoreUnavailable("the connection broke")
        return self._told[order.number]

    def _carry_out(self, order: Order) -> Terms:
        terms = [self._term(ask) for ask in order.asks]
        for pot, amount in self.gets_back.items():
            self.elsewhere[pot] -= amount
        self.gets_back.clear()
        return Terms(terms=tuple(terms), processes=self.processes, rank=self.rank)

    def _term(self, ask: Ask) -> Term:
        pot = ask.pot
        self.lent[pot, ask.minute_us] -= ask.given_back
        limit = self.limits.get(pot)
        if limit is None:
            found = term(ask, None)
        else:
            spent = 0 if pot.kind.is_of_a_minute else self.spent[pot]
            there = self.lent[pot, ask.minute_us] + self.elsewhere[pot]
            left = limit - spent - there
            resets_us = ask.minute_us + MINUTE_US if pot.kind.is_of_a_minute else None
            found = term(ask, limit, left=left, elsewhere=self.elsewhere[pot], resets_us=resets_us)
        self.lent[pot, ask.minute_us] += found.granted
        return found

    def fold(self, pot: Pot, amount: int) -> None:
        """A row that cost this much: it is spent, and so not lent any more."""
        self.spent[pot] += amount
        self.lent[pot, 0] -= amount

    @contextmanager
    def held(self) -> Iterator[None]:
        """Orders that arrive wait."""
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()


@dataclass(slots=True)
class Till:
    """The limits of one process, with all around them."""

    limited: dict[Pot, int | None]
    standing: Standing = UNLIMITED_STANDING
    clock: TurningClock = field(default_factory=TurningClock)
    bank: Bank = field(init=False)
    limits: Limits = field(init=False)
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        self.bank = Bank(self.limited)
        self.limits = Limits(self.bank, self.clock, JournalId("journal-1"))
        self.caller = caller(self.limited, self.standing)

    async def reserve(self, **wishes: Unpack[Wishes]) -> Reservation:
        """One call's reservation."""
        return await self.limits.reserve(self.caller, Wanted(**wishes))

    async def spend(self, **wishes: Unpack[Wishes]) -> Reservation:
        """A call that is made, and costs what it may cost at most."""
        made = await self.reserve(**wishes)
        made.settle(made.held, made.held_tokens)
        return made

    async def spend_all(self, wanted: Wanted | None = None) -> int:
        """What such calls cost together, one after the other until a limit refuses."""
        spent = 0
        while True:
            try:
                made = await self.limits.reserve(self.caller, wanted or Wanted())
            except errors.Limited:
                return spent
            made.settle(made.held, made.held_tokens)
            spent += made.held

    def in_hand(self, pot: Pot) -> int:
        """What the process can spend of it without asking."""
        desk = self.limits._desks.get(ORG)  # noqa: SLF001 - nobody is told
        return desk.purse(pot).free if desk else 0

    def change(self, pot: Pot, limit: int | None) -> None:
        """Another limit, as the feed of changes tells it."""
        self.bank.limits[pot] = self.limited[pot] = limit
        self.caller = caller(self.limited, self.standing)
        self.limits.forget({ORG})
