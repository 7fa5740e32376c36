"""A reservation: what one call took from every limit that applies, until it is known what it cost.

It is settled exactly once, or released if the vendor was never asked; what it took too much goes
back into the purses at once. Owns this exchange of the worst case for the truth; does not own
whether a call fits (`limits.py`).
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from tollway.domain.errors import TollwayError
from tollway.domain.limit import Leased
from tollway.domain.money import Nano
from tollway.limits.account import Account
from tollway.limits.purse import NANO, REQUESTS, TOKENS, Amounts

Header = tuple[bytes, bytes]


class Prices(Protocol):
    """What a number of completion tokens costs at most, with all else that a call may cost."""

    def of(self, completion_tokens: int) -> Nano:
        """In nano-dollars."""
        ...

    def tokens_within(self, nano: int) -> int:
        """The most tokens that cost no more; below 0 if none do."""
        ...


class Need(Protocol):
    """What a call may consume at most (`gateway/need.py`). All tokens are of all choices together."""

    @property
    def prompt_tokens(self) -> int:
        """At most."""
        ...

    @property
    def choices(self) -> int:
        """How many answers are asked for."""
        ...

    @property
    def completion_tokens(self) -> int:
        """At most."""
        ...

    @property
    def least_tokens(self) -> int:
        """What the completion may be shortened to."""
        ...

    @property
    def is_stated(self) -> bool:
        """Whether the client stated the cap itself."""
        ...

    @property
    def price(self) -> Prices:
        """What it may cost."""
        ...


def amounts_of(need: Need, completion_tokens: int) -> Amounts:
    """What the call takes at most if its completion is capped to this."""
    return 1, need.prompt_tokens + completion_tokens, need.price.of(completion_tokens)


class Reservation:
    """What was taken, of `completion_tokens` at most.

    `cap`: the tokens of each choice that the vendor is told, None for no change.
    """

    def __init__(
        self, account: Account, amounts: Amounts, completion_tokens: int, cap: int | None = None
    ) -> None:
        self._account = account
        self.completion_tokens = completion_tokens
        self._amounts = amounts
        self._taken = [(purse, purse.emptied, purse.recalled) for purse in account.purses]
        self.cap = cap
        self.held = Nano(amounts[NANO])
        self.held_tokens = amounts[TOKENS]
        self.is_open = True

    @property
    def leased(self) -> Leased:
        """The leases that rows of this call are taken from."""
        return self._account.leased

    @property
    def funding(self) -> str | None:
        """What pays for the call."""
        return self._account.funding

    @property
    def headers(self) -> Sequence[Header]:
        """What the limits say to the client now."""
        told = self._account.headers()
        if self.cap is not None:
            told.append((b"tollway-max-tokens", str(self.cap).encode()))
        return told

    def settle(self, charged: int, consumed: int) -> None:
        """The call cost so many nano-dollars, and so many tokens. Only the first time counts."""
        self._return((self._amounts[REQUESTS], consumed, charged))

    def release(self) -> None:
        """The call was never made. Only the first time counts, and none after `settle`."""
        self._return((0, 0, 0))

    def _return(self, used: Amounts) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._account.desk.in_flight -= 1
        for purse, emptied, recalled in self._taken:
            rest = self._amounts[purse.column] - used[purse.column]
            if purse.emptied != emptied:
                continue
            if purse.recalled == recalled or rest < 0:
                purse.free += rest
            else:
                purse.owed += rest
                self._account.desk.look_us = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An error before the call was recorded releases it; every error tells what the limits say."""
        if error is not None:
            self.release()
        if isinstance(error, TollwayError):
            error.headers = (*error.headers, *self.headers)
