"""A purse: what this process has of one pot, and what it knows of the rest.

Owns one number that calls take from without waiting; does not own where it comes from
(`desk.py`). A purse of a clock minute is empty when the next begins.
"""

from tollway.domain.clock import US_PER_S
from tollway.domain.lease import Ask, Term
from tollway.domain.limit import MINUTE_US, SHARE, Kind, Pot

_QUICK_US = US_PER_S
_SLOW_US = 10 * US_PER_S
_LEAST_AHEAD = 8
_MAX_AHEAD = 1 << 16
SHUT_US = US_PER_S
"""How long a refusal is repeated without asking the database again."""

REQUESTS, TOKENS, NANO = range(3)
"""Where an amount is, among what a call takes."""
_COLUMN = {
    Kind.REQUESTS: REQUESTS,
    Kind.TOKENS: TOKENS,
    Kind.PLAN: TOKENS,
    Kind.TRIAL: NANO,
    Kind.SPEND: NANO,
}

Amounts = tuple[int, int, int]
"""What a call takes at most: requests, tokens, nano-dollars."""


class Purse:
    """`free` can be taken; it is below 0 after a call that cost more than was reserved for it."""

    __slots__ = (
        "_ahead",
        "_asked_us",
        "_shut_until_us",
        "column",
        "elsewhere",
        "emptied",
        "free",
        "is_of_a_minute",
        "is_share",
        "left",
        "limit",
        "minute_us",
        "owed",
        "pot",
        "recalled",
        "resets_us",
        "used_us",
    )

    def __init__(self, pot: Pot) -> None:
        self.pot = pot
        self.column = _COLUMN[pot.kind]
        self.is_of_a_minute = pot.kind.is_of_a_minute
        self.free = 0
        self.emptied = 0
        """How often what was in hand was forgotten: what calls took before that does not come back."""
        self.recalled = 0
        """How often what was in hand was asked for: what calls took before that is owed."""
        self.owed = 0
        """What came back from calls, and may not be taken again: the limit may be lower now."""
        self.limit: int | None = None
        """What fits into the pot, as far as this process knows."""
        self.left: int | None = None
        """What nobody had of it when the database was last asked."""
        self.elsewhere = 0
        """What other processes had then."""
        self.resets_us: int | None = None
        self.minute_us = 0
        self.is_share = False
        """Whether this minute's is an even share, since the database did not answer."""
        self.used_us = 0
        """When something was last taken."""
        self._shut_until_us = 0
        self._ahead = _LEAST_AHEAD
        self._asked_us = 0

    def turn(self, minute_us: int) -> None:
        """Another minute has begun: nothing is in hand of it, and nothing known."""
        self.empty()
        self.minute_us = minute_us
        self.elsewhere = 0
        self.resets_us = minute_us + MINUTE_US
        self.is_share = False

    def empty(self) -> None:
        """Nothing is in hand, nor comes back from the calls that are running, and nothing is known."""
        self.free = self.owed = 0
        self.left = None
        self.emptied += 1
        self.open()

    def ask(self, least: int, most: int, now_us: int) -> Ask:
        """What is asked for a call; the quicker the last came to its end, the more for those behind it."""
        since_us = now_us - self._asked_us
        if since_us < _QUICK_US:
            self._ahead = min(2 * self._ahead, _MAX_AHEAD)
        elif since_us > _SLOW_US:
            self._ahead = max(_LEAST_AHEAD, self._ahead // 2)
        self._asked_us = now_us
        return Ask(
            level=self.pot.level,
            id=self.pot.id,
            kind=self.pot.kind,
            minute_us=self.minute_us,
            in_hand=self.free,
            least=least,
            most=most,
            ahead=most * self._ahead,
        )

    def give_back(self) -> Ask:
        """All that is in hand or owed, which is out of it from now on."""
        given = self.free + self.owed
        self.free = self.owed = 0
        if self.left is not None:
            self.left += given
        return Ask(
            level=self.pot.level,
            id=self.pot.id,
            kind=self.pot.kind,
            minute_us=self.minute_us,
            given_back=given,
        )

    def take_in(self, ask: Ask, term: Term, now_us: int) -> None:
        """What the database answered. A minute that is over has nothing to say any more."""
        if ask.minute_us != self.minute_us:
            return
        self.free += term.granted
        if ask.most:
            self.limit, self.left, self.elsewhere = term.limit, term.left, term.elsewhere
            self.resets_us = term.resets_us
            if not term.size:
                self._shut_until_us = now_us + SHUT_US

    def is_shut(self, least: int, now_us: int) -> bool:
        """Whether asking for so much was refused just now."""
        return now_us < self._shut_until_us and least > self.free + max(0, self.left or 0)

    def open(self) -> None:
        """The limit may be another one: ask again."""
        self._shut_until_us = 0

    def recall(self) -> None:
        """The limit may be another one, or others miss what is in hand."""
        self.open()
        self.recalled += 1

    def is_lent(self, now_us: int) -> bool:
        """Whether there is something to give back."""
        is_over = self.minute_us not in (0, now_us - now_us % MINUTE_US)
        return self.free + self.owed > 0 and not self.is_share and not is_over

    def is_scarce(self) -> bool:
        """Whether what is in hand is much of what there is left, so that others may miss it."""
        return self.left is None or self.left <= SHARE * self.free

    def remaining(self) -> int:
        """What calls can still take, as far as this process knows; 0 where no limit is known."""
        limit = self.limit or 0
        if self.left is None:
            return max(0, self.free) if self.is_share else limit
        return min(limit, max(0, self.free + max(0, self.left)))
