"""What a process and the database say to each other about leases.

An order asks for slices of pots and gives some back; terms answer it. An order has a number, so
that one whose answer was lost is answered again and not carried out twice.
"""

import msgspec

from tollway.domain.ids import AppId, JournalId, KeyId, OrgId
from tollway.domain.limit import SHARE, Kind, Level, Pot


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """For one pot: a call wants `most` and can do with `least`; `ahead` more for those behind it.

    `in_hand` is what the process has of it and can use for the call (below 0 after a call that cost
    more than was reserved), `given_back` what it returns.
    All in the pot's unit; `minute_us` is 0 where the pot is not of a minute.
    """

    level: Level
    id: str
    kind: Kind
    minute_us: int = 0
    in_hand: int = 0
    least: int = 0
    most: int = 0
    ahead: int = 0
    given_back: int = 0

    @property
    def pot(self) -> Pot:
        """Which one."""
        return Pot(self.level, self.id, self.kind)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Asks of one process for one organisation, and the app and key that asked."""

    number: int
    journal: JournalId
    org_id: OrgId
    app_id: AppId
    key_id: KeyId
    asks: tuple[Ask, ...]


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one ask. `size`: what the call may take; 0 if `least` does not fit.

    `left` is what nobody has of `limit`, after this, and `elsewhere` what other processes have;
    `limit` is None where there is none. `resets_us`: when it is full again.
    """

    granted: int
    size: int
    limit: int | None
    left: int = 0
    elsewhere: int = 0
    resets_us: int | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an order, in the order of its asks; this process is number `rank` of `processes`."""

    terms: tuple[Term, ...]
    processes: int = 1
    rank: int = 0


def term(
    ask: Ask, limit: int | None, *, left: int = 0, elsewhere: int = 0, resets_us: int | None = None
) -> Term:
    """What an ask gets where `left` of `limit` is with nobody; `left` may be negative.

    What does not fit gets a share of all there is; what fits brings a share ahead, so that slices
    shrink to a single call as the rest does.
    """
    if limit is None:
        wanted = ask.most + ask.ahead
        return Term(granted=max(0, wanted - ask.in_hand), size=ask.most, limit=None)
    there_is = left + ask.in_hand
    size, wanted = 0, ask.in_hand
    if there_is >= ask.most:
        size = ask.most
        wanted = ask.most + min(ask.ahead, (there_is - ask.most) // SHARE)
    elif there_is >= ask.least:
        size = wanted = max(ask.least, min(ask.most, there_is // SHARE))
    granted = max(0, wanted - ask.in_hand)
    return Term(
        granted=granted,
        size=size,
        limit=limit,
        left=left - granted,
        elsewhere=elsewhere,
        resets_us=resets_us,
    )
