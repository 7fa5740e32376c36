"""An account: the purses that the calls of one key take from, in the order in which they refuse.

Owns taking from all at once or from none, and what answers say of it; does not own borrowing
(`limits.py`). Everything here is synchronous and small: it runs for every call.
"""

import asyncio
from collections.abc import Sequence

from tollway.domain.caller import Caller
from tollway.domain.clock import US_PER_S, Clock
from tollway.domain.ids import KeyId, OrgId
from tollway.domain.lease import Order
from tollway.domain.limit import LEASED, MINUTE_US, Kind, Leased, Pot
from tollway.limits.purse import Amounts, Purse

Header = tuple[bytes, bytes]

RATE_LIMIT_HEADERS = b"x-ratelimit-"
_NAMES = {
    kind: tuple(RATE_LIMIT_HEADERS + f"{what}-{kind}".encode() for what in ("limit", "remaining", "reset"))
    for kind in (Kind.REQUESTS, Kind.TOKENS)
}


class Desk:
    """What this process has of one organisation's pots, and its one conversation with the database."""

    def __init__(self, org: OrgId) -> None:
        self.org = org
        self.purses: dict[Pot, Purse] = {}
        self.accounts: dict[KeyId, Account] = {}
        self.in_flight = 0
        self.one_at_a_time = asyncio.Lock()
        self.pending: Order | None = None
        """An order whose answer is not known: the next says it again."""
        self.is_recalled = False
        """Whether its limits changed, or others miss what it has."""
        self.used_us = 0
        """When a call last took something, or lacked it."""
        self.look_us = 0
        """When there may be something to give back."""

    def purse(self, pot: Pot) -> Purse:
        """The purse of a pot; an empty one if there was none."""
        found = self.purses.get(pot)
        if found is None:
            found = self.purses[pot] = Purse(pot)
        return found

    def recall(self) -> None:
        """Its limits changed, or others miss what it has."""
        self.is_recalled = True
        self.look_us = 0

    def is_scarce(self) -> bool:
        """Whether others may miss what is in hand."""
        return any(purse.free > 0 and purse.is_scarce() for purse in self.purses.values())

    @property
    def is_blank(self) -> bool:
        """Whether nothing would be lost with it."""
        return (
            not self.in_flight
            and self.pending is None
            and not self.one_at_a_time.locked()
            and not any(
                (purse.free or purse.owed) and not purse.is_of_a_minute for purse in self.purses.values()
            )
        )


class Account:
    """One key's way to the purses of its organisation, its app and itself."""

    def __init__(self, caller: Caller, desk: Desk, clock: Clock) -> None:
        self.caller = caller
        self.desk = desk
        self._clock = clock
        self.purses: Sequence[Purse] = [desk.purse(cap.pot) for cap in caller.caps]
        for purse, cap in zip(self.purses, caller.caps, strict=True):
            if cap.limit is not None:
                purse.limit = cap.limit
        self._told = [
            (_NAMES[kind], purses)
            for kind in _NAMES
            if (purses := [purse for purse in self.purses if purse.pot.kind is kind])
        ]
        self.funding = caller.standing.funding
        self.leased = Leased.NOTHING
        for cap in caller.caps:
            self.leased |= LEASED.get((cap.pot.level, cap.pot.kind), Leased.NOTHING)

    def take(self, amounts: Amounts) -> bool:
        """Take from all purses at once, or from none; whether it was there."""
        now_us = self._clock.now_us()
        self.turn(now_us)
        for purse in self.purses:
            if purse.free < amounts[purse.column]:
                return False
        for purse in self.purses:
            purse.free -= amounts[purse.column]
            purse.used_us = now_us
        self.desk.used_us = now_us
        return True

    def turn(self, now_us: int) -> None:
        """Begin another minute where it has begun."""
        minute_us = now_us - now_us % MINUTE_US
        for purse in self.purses:
            if purse.is_of_a_minute and purse.minute_us != minute_us:
                purse.turn(minute_us)

    def headers(self) -> list[Header]:
        """What is left of the minute, in OpenAI's words; of several limits, the one that has least left."""
        now_us = self._clock.now_us()
        self.turn(now_us)
        resets = b"%ds" % (60 - now_us // US_PER_S % 60)
        told: list[Header] = []
        for (limit_name, remaining_name, reset_name), purses in self._told:
            remaining, limit = min((purse.remaining(), purse.limit or 0) for purse in purses)
            told.append((limit_name, b"%d" % limit))
            told.append((remaining_name, b"%d" % remaining))
            told.append((reset_name, resets))
        return told
