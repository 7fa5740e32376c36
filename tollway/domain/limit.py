"""Limits: the pots that a call takes from, and what a call may cost them.

A pot is one limit of one spender: an organisation, one of its apps, or a key of that. Owns what
pots there are and the order in which they refuse; does not own what is in them (`limits/`,
`store/leases.py`).
"""

from enum import IntFlag, StrEnum
from typing import NamedTuple

from tollway.domain.clock import US_PER_S

MINUTE_US = 60 * US_PER_S
SHARE = 8
"""Near a limit, one call takes at most this part of what is left, and a process this much ahead."""


class Level(StrEnum):
    """Whose limit it is."""

    ORG = "organisation"
    APP = "app"
    KEY = "key"


class Kind(StrEnum):
    """What is limited, in the order in which calls are refused."""

    REQUESTS = "requests"
    """per clock minute"""
    TOKENS = "tokens"
    """per clock minute, prompts and completions"""
    PLAN = "plan"
    """tokens per cycle"""
    TRIAL = "trial"
    """nano-dollars, once"""
    SPEND = "spend"
    """nano-dollars per cycle"""

    @property
    def is_of_a_minute(self) -> bool:
        """Whether the pot is filled anew each minute."""
        return self in (Kind.REQUESTS, Kind.TOKENS)


class Pot(NamedTuple):
    """One limit of one spender; `id` is the organisation's, the app's or the key's."""

    level: Level
    id: str
    kind: Kind


class Cap(NamedTuple):
    """A pot and what fits into it: requests, tokens or nano-dollars; None: the database knows."""

    pot: Pot
    limit: int | None


class Leased(IntFlag):
    """From which leases a call took: the fold takes what it cost from the same."""

    NOTHING = 0
    ORG_SPEND = 1
    APP_SPEND = 2
    KEY_SPEND = 4
    PLAN = 8
    TRIAL = 16


LEASED = {
    (Level.ORG, Kind.SPEND): Leased.ORG_SPEND,
    (Level.APP, Kind.SPEND): Leased.APP_SPEND,
    (Level.KEY, Kind.SPEND): Leased.KEY_SPEND,
    (Level.ORG, Kind.PLAN): Leased.PLAN,
    (Level.ORG, Kind.TRIAL): Leased.TRIAL,
}
"""The flag of each pot that is settled by rows; the others are of a minute."""


def minute_of(us: int) -> int:
    """The start of the clock minute that holds this moment, microseconds since the epoch."""
    return us - us % MINUTE_US
