"""Who may call: one reservation from all limits that apply, or a refusal that says which and why.

Promise: what admitted calls may cost at most never exceeds a limit, whatever the number of
processes. While purses hold enough, nothing waits; else one order for all that lacks goes to the
database (`store/leases.py`). Without it, processes spend what they hold; then dollars are refused,
and a minute's limit is shared evenly from the next full minute on. Owns the order of refusals and
when to borrow and give back; does not own SQL: whoever lends is handed in.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping

from tollway.domain.caller import Caller
from tollway.domain.clock import US_PER_S, Clock
from tollway.domain.errors import Limited, LimitsUnavailable, StoreRefused, StoreUnavailable, TollwayError
from tollway.domain.ids import AppId, JournalId, KeyId, OrgId
from tollway.domain.lease import Ask, Order, Terms
from tollway.domain.limit import Kind, minute_of
from tollway.domain.standing import require_subscribed
from tollway.limits.account import RATE_LIMIT_HEADERS, Account, Desk
from tollway.limits.purse import NANO, TOKENS, Amounts, Purse
from tollway.limits.refusal import refuse, refuse_more_at_once, refuse_unasked
from tollway.limits.refused import RefusedCounts
from tollway.limits.reservation import Need, Reservation, amounts_of

Lender = Callable[[Order], Awaitable[Terms]]
"""Carries out an order; StoreUnavailable if it is not known whether it was."""

ORDER_S = 5.0
"""Longest wait for an answer; the order is said again with the next."""
RETRY_US = US_PER_S
RECALL_S = 0.35
"""How long others get to give back what a call lacks: longer than the feed of changes takes to tell them."""
TICK_S = 0.1
_IDLE_SCARCE_US = US_PER_S // 10
_IDLE_US = 30 * US_PER_S
_LOOK_US = US_PER_S
"""How long a desk is left alone where nothing is missed."""
_TRIES = 3
_MAX_ACCOUNTS = 10_000
"""Of one organisation."""

_log = logging.getLogger(__name__)


class _Away(Exception):  # noqa: N818 - not an error: a state of the other end
    """The database did not answer."""


class Limits:
    """The limits of all organisations, as this process holds them."""

    def __init__(self, lender: Lender, clock: Clock, journal: JournalId) -> None:
        self._lender = lender
        self._clock = clock
        self._journal = journal
        self._number = 0
        self._desks: dict[OrgId, Desk] = {}
        self._processes = 1
        self._rank = 0
        self._away_since_us: int | None = None
        self._retry_us = 0
        self.refused = RefusedCounts()
        self.refusals: Counter[str] = Counter()
        """Calls that were refused since the start, by the error's code."""
        self.num_orders = 0
        """Sent since the start; the same again counts again."""
        self.num_failed_orders = 0
        """Of these, those that were not carried out, or not answered."""

    @property
    def trouble(self) -> str | None:
        """What does not hold as usual; None while all does."""
        if self._away_since_us is None:
            return None
        return (
            "the database does not answer: what is in hand is spent, then limits in dollars refuse, and "
            f"each minute's are shared evenly by {self._processes} processes"
        )

    @property
    def num_organisations(self) -> int:
        """Organisations of which this process has something, or had it a moment ago."""
        return len(self._desks)

    def in_hand(self) -> Counter[Kind]:
        """What this process may let through without asking: requests, tokens or nano-dollars, by kind."""
        minute_us = minute_of(self._clock.now_us())
        held: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))
        for desk in self._desks.values():
            for purse in desk.purses.values():
                if not purse.is_of_a_minute or purse.minute_us == minute_us:
                    held[purse.pot.kind] += max(0, purse.free)
        return held

    async def reserve(self, caller: Caller, need: Need) -> Reservation:
        """Take what the call may cost from every limit that applies. A Limited, or LimitsUnavailable."""
        account = self._account(caller)
        try:
            return await self._reserve(account, need)
        except (Limited, LimitsUnavailable) as error:
            error.headers = (*error.headers, *account.headers())
            if isinstance(error, Limited):
                self.count_refused(caller.org_id, caller.app, error.code)
            else:
                self.refusals[error.code] += 1
            raise

    def count_refused(self, org: OrgId, app: str, code: str) -> None:
        """A call of this organisation's app was refused."""
        self.refusals[code] += 1
        self.refused.count(org, app, code)

    def tell(self, caller: Caller, error: TollwayError) -> None:
        """Add what the limits say to an error's headers, unless they say it already."""
        if not any(name.startswith(RATE_LIMIT_HEADERS) for name, _ in error.headers):
            error.headers = (*error.headers, *self._account(caller).headers())

    async def _reserve(self, account: Account, need: Need) -> Reservation:
        standing = account.caller.standing
        require_subscribed(standing, self._clock.now_us())
        desk = account.desk
        if standing.max_in_flight is not None and desk.in_flight >= standing.max_in_flight:
            refuse_more_at_once(standing.max_in_flight)
        desk.in_flight += 1
        try:
            most = amounts_of(need, need.completion_tokens)
            if account.take(most):
                return Reservation(account, most, need.completion_tokens)
            async with desk.one_at_a_time:
                return await self._borrow(account, need)
        except BaseException:
            desk.in_flight -= 1
            raise

    async def _borrow(self, account: Account, need: Need) -> Reservation:
        """Ask for what lacks. A call that may be shortened is, where its worst case does not fit."""
        is_flexible = not need.is_stated or account.caller.standing.near_limit == "shorten"
        most = amounts_of(need, need.completion_tokens)
        least = amounts_of(need, need.least_tokens) if is_flexible else most
        has_waited = False
        account.desk.used_us = self._clock.now_us()
        for _ in range(_TRIES):
            if account.take(most):  # another's order has brought it
                return Reservation(account, most, need.completion_tokens)
            minute_us = minute_of(self._clock.now_us())
            sizes = await self._sizes(account, least, most)
            if minute_of(self._clock.now_us()) != minute_us:
                continue  # what was answered is of a minute that is over
            short = _short(sizes, least)
            if short is None:
                taken = _take_within(account, need, sizes)
                if taken is not None:
                    return taken
            elif has_waited or short.is_of_a_minute or not short.elsewhere:
                refuse(short, least[short.column], self._clock.now_us())
            else:
                has_waited = True
                await asyncio.sleep(RECALL_S)
                short.open()
        # Others of this process took it meanwhile, each time.
        sizes = {purse: purse.free for purse in account.purses}
        short = _short(sizes, least)
        taken = None if short is not None else _take_within(account, need, sizes)
        if taken is None:
            purse = short or account.purses[0]
            refuse(purse, least[purse.column], self._clock.now_us())
        return taken

    async def _sizes(self, account: Account, least: Amounts, most: Amounts) -> dict[Purse, int]:
        """What the call may take from each purse that lacks; less than `least` where that is refused."""
        now_us = self._clock.now_us()
        lacking = [purse for purse in account.purses if purse.free < most[purse.column]]
        if lacking and lacking[0].is_shut(least[lacking[0].column], now_us):
            refuse(lacking[0], least[lacking[0].column], now_us)
        asked = [purse for purse in lacking if not purse.is_share]
        sizes = {purse: purse.free for purse in lacking}
        try:
            if asked:
                await self._ask_again(account.desk)
                asks = tuple(purse.ask(least[purse.column], most[purse.column], now_us) for purse in asked)
                terms = await self._send(account.desk, self._order(account.desk, asks, account.caller))
                sizes.update((purse, term.size) for purse, term in zip(asked, terms.terms, strict=True))
        except _Away:
            sizes = {purse: self._in_hand(purse, least[purse.column]) for purse in lacking}
        return sizes

    def _in_hand(self, purse: Purse, least: int) -> int:
        """What a call may take while the database is away; LimitsUnavailable if that is too little."""
        now_us = self._clock.now_us()
        minute_us = minute_of(now_us)
        is_full_minute = self._away_since_us is not None and minute_us > self._away_since_us
        if purse.is_of_a_minute and is_full_minute and not purse.is_share:
            purse.is_share = True
            limit = purse.limit or 0
            purse.free += limit // self._processes + (self._rank < limit % self._processes)
        if purse.free < least and not purse.is_share:
            refuse_unasked(purse, now_us)
        return purse.free

    def _order(self, desk: Desk, asks: tuple[Ask, ...], caller: Caller | None = None) -> Order:
        self._number += 1
        return Order(
            number=self._number,
            journal=self._journal,
            org_id=desk.org,
            app_id=caller.app_id if caller else AppId(""),
            key_id=caller.key_id if caller else KeyId(""),
            asks=asks,
        )

    async def _ask_again(self, desk: Desk) -> None:
        """Say the order again whose answer was lost. _Away while nobody answers."""
        if self._away_since_us is not None and self._clock.now_us() < self._retry_us:
            raise _Away
        if desk.pending is not None:
            await self._send(desk, desk.pending)

    async def _send(self, desk: Desk, order: Order) -> Terms:
        desk.look_us = 0
        self.num_orders += 1
        desk.pending = order  # until its answer is here, also if whoever waits for it leaves
        try:
            async with asyncio.timeout(ORDER_S):
                terms = await self._lender(order)
        except StoreRefused:  # it was not carried out, and would not be the next time
            self.num_failed_orders += 1
            desk.pending = None
            raise
        except (StoreUnavailable, TimeoutError) as error:
            self.num_failed_orders += 1
            self.lost(error)
            self._retry_us = self._clock.now_us() + RETRY_US
            raise _Away from None
        if desk.pending is not order:  # what it brought was dropped while it was on its way
            raise _Away
        desk.pending = None
        if self._away_since_us is not None:
            self._away_since_us = None
            _log.warning("limits: the database answers again")
        self._processes, self._rank = terms.processes, terms.rank
        for ask, term in zip(order.asks, terms.terms, strict=True):
            desk.purse(ask.pot).take_in(ask, term, self._clock.now_us())
        return terms

    def lost(self, error: Exception) -> None:
        """The database does not answer, whoever asked: each full minute from now on is shared evenly."""
        if self._away_since_us is None:
            self._away_since_us = self._clock.now_us()
            _log.warning("limits: the database does not answer: %s", error)

    def found(self) -> None:
        """It answers somebody else. While something is held, limits ask for themselves (`tidy`)."""
        if not self._desks:
            self._away_since_us = None

    def forget(self, org_ids: Collection[OrgId] | None) -> None:
        """These organisations' limits changed, or others need what this process has (None: of all)."""
        for org in list(self._desks) if org_ids is None else org_ids:
            if org in self._desks:
                self._desks[org].recall()

    def drop(self) -> None:
        """The database knows nothing any more of what this process holds: it holds nothing."""
        for desk in self._desks.values():
            desk.pending = None
            for purse in desk.purses.values():
                purse.empty()

    async def tidy(self) -> None:
        """Give back what is asked for, or lies idle; forget organisations of which nothing is held."""
        now_us = self._clock.now_us()
        due = [desk for desk in self._desks.values() if desk.look_us <= now_us]
        for desk in sorted(due, key=lambda desk: not desk.is_recalled):  # others wait for those
            if desk.one_at_a_time.locked():
                continue
            try:
                async with desk.one_at_a_time:
                    await self._give_back(desk)
            except _Away:
                return
            if desk.is_blank and desk.used_us < now_us - _IDLE_US:
                del self._desks[desk.org]
            elif not (self._processes > 1 and desk.is_scarce()):
                desk.look_us = now_us + _LOOK_US

    async def _give_back(self, desk: Desk) -> None:
        await self._ask_again(desk)
        now_us = self._clock.now_us()
        is_recalled, desk.is_recalled = desk.is_recalled, False
        if is_recalled:
            for purse in desk.purses.values():
                purse.recall()
        asks = tuple(
            purse.give_back()
            for purse in desk.purses.values()
            if purse.is_lent(now_us) and (is_recalled or purse.owed or self._is_idle(purse, now_us))
        )
        if asks or self._away_since_us is not None:  # whether the database is back, nobody else may ask
            await self._send(desk, self._order(desk, asks))

    def _is_idle(self, purse: Purse, now_us: int) -> bool:
        """Whether others can rather use what is in hand: at once, if that is much of what there is."""
        is_missed = self._processes > 1 and purse.is_scarce()
        return now_us - purse.used_us > (_IDLE_SCARCE_US if is_missed else _IDLE_US)

    def _account(self, caller: Caller) -> Account:
        desk = self._desks.get(caller.org_id)
        if desk is None:
            desk = self._desks[caller.org_id] = Desk(caller.org_id)
        found = desk.accounts.get(caller.key_id)
        if found is not None and found.caller is caller:
            return found
        if len(desk.accounts) >= _MAX_ACCOUNTS:
            del desk.accounts[next(iter(desk.accounts))]
        account = desk.accounts[caller.key_id] = Account(caller, desk, self._clock)
        return account


def _short(sizes: Mapping[Purse, int], least: Amounts) -> Purse | None:
    """The first purse from which the call may not take enough."""
    return next((purse for purse, size in sizes.items() if size < least[purse.column]), None)


def _take_within(account: Account, need: Need, sizes: Mapping[Purse, int]) -> Reservation | None:
    """Take as much as the completion may be without passing any size; None if it is not there."""
    tokens = min(_tokens_within(need, purse, size) for purse, size in sizes.items())
    if tokens >= need.completion_tokens:
        most = amounts_of(need, need.completion_tokens)
        return Reservation(account, most, need.completion_tokens) if account.take(most) else None
    cap = tokens // need.choices
    tokens = cap * need.choices
    amounts = amounts_of(need, tokens)
    return Reservation(account, amounts, tokens, cap) if account.take(amounts) else None


def _tokens_within(need: Need, purse: Purse, size: int) -> int:
    if purse.column == TOKENS:
        return size - need.prompt_tokens
    if purse.column == NANO:
        return need.price.tokens_within(size)
    return need.completion_tokens
