"""What may go wrong with a vendor's answer, how often, and which of it a request meets.

Owns the names of faults, their default rates and the dealing; does not own how a fault is played
(`demo/faulty.py`) or what is billed under it (`demo/bill.py`).
Promise: a fate depends on the seed and the request's own identity, not on when it arrived among
others; and a rate that is changed leaves latencies, cuts and tokens as they were.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from random import Random

_REMEMBERED = 65_536
"""Identities whose repeats are told apart; of those seen longest ago the count begins anew."""

_MAX_REASONING_TOKENS = 64


class Fault(StrEnum):
    """How an answer goes wrong; a request meets one at most."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    DROPPED_UNBILLED = "dropped_unbilled"
    DROPPED_BILLED = "dropped_billed"
    CUT_BODY = "cut_body"
    TRUNCATED_STREAM = "truncated_stream"
    BROKEN_EVENT = "broken_event"
    USAGE_MISSING = "usage_missing"


class Trait(StrEnum):
    """What an answer may have besides; each is drawn by itself."""

    CACHED_TOKENS = "cached_tokens"
    REASONING_TOKENS = "reasoning_tokens"
    SERVICE_TIER = "service_tier"


UNBILLED = frozenset({Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.UNAVAILABLE, Fault.DROPPED_UNBILLED})
_OF_STREAMS = frozenset({Fault.TRUNCATED_STREAM, Fault.BROKEN_EVENT})
_OF_WHOLE_ANSWERS = frozenset({Fault.CUT_BODY})

Rates = Mapping[Fault | Trait, float]
"""Shares of requests, 0 to 1; what is not named is 0."""

Bounds = tuple[float, float]
"""Lowest and highest, in seconds."""

NO_FAULTS: Rates = {}
DEFAULT_FAULTS: Rates = {
    Fault.RATE_LIMITED: 0.03,
    Fault.SERVER_ERROR: 0.02,
    Fault.UNAVAILABLE: 0.01,
    Fault.DROPPED_UNBILLED: 0.01,
    Fault.DROPPED_BILLED: 0.01,
    Fault.CUT_BODY: 0.02,
    Fault.TRUNCATED_STREAM: 0.02,
    Fault.BROKEN_EVENT: 0.02,
    Fault.USAGE_MISSING: 0.02,
    Trait.CACHED_TOKENS: 0.3,
    Trait.REASONING_TOKENS: 0.3,
    Trait.SERVICE_TIER: 0.1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How often, and within which latencies. ValueError for rates that cannot be."""

    rates: Rates = field(default_factory=lambda: DEFAULT_FAULTS)
    first_byte_s: Bounds = (0.0, 0.0)
    between_chunks_s: Bounds = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name, rate in self.rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"{name}={rate:g}: a rate is between 0 and 1")
        for streamed, kind in ((False, "whole answers"), (True, "streams")):
            total = math.fsum(self.rates.get(fault, 0.0) for fault in faults_of(streamed=streamed))
            if total > 1:
                raise ValueError(f"the faults of {kind} add up to {total:g}; lower them to 1 at most")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What one request meets. `cut` and `cached_share` are shares in [0, 1); reasoning is per choice."""

    fault: Fault | None
    first_byte_s: float
    between_chunks_s: float
    cut: float
    cached_share: float | None
    reasoning_tokens: int
    service_tier: str


class Fates:
    """Deals fates; a request that comes again, as retries do, is dealt the next one of its identity."""

    def __init__(self, seed: int, mix: Mix) -> None:
        self._seed = seed
        self._mix = mix
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def deal(self, identity: bytes, *, streamed: bool) -> Fate:
        """The fate of a request that is recognised by these bytes."""
        key = sha256(identity).digest()
        repeats = self._seen.pop(key, 0)
        self._seen[key] = repeats + 1
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        source = sha256(b"%d %d %s" % (self._seed, repeats, key)).digest()
        return _drawn(Random(source), self._mix, streamed=streamed)  # noqa: S311 - it has to be replayed


def faults_of(*, streamed: bool) -> tuple[Fault, ...]:
    """The faults that a stream, or a whole answer, can meet."""
    strange = _OF_WHOLE_ANSWERS if streamed else _OF_STREAMS
    return tuple(fault for fault in Fault if fault not in strange)


def _drawn(random: Random, mix: Mix, *, streamed: bool) -> Fate:
    # Each draw is made whether it is used or not, so that rates do not shift what comes after.
    at, first, between, cut, cached, share, reasoning, thought, tier = (random.random() for _ in range(9))
    rates = mix.rates
    return Fate(
        fault=_fault_at(at, rates, streamed=streamed),
        first_byte_s=_within(mix.first_byte_s, first),
        between_chunks_s=_within(mix.between_chunks_s, between),
        cut=cut,
        cached_share=share if cached < rates.get(Trait.CACHED_TOKENS, 0) else None,
        reasoning_tokens=(
            1 + int(thought * _MAX_REASONING_TOKENS)
            if reasoning < rates.get(Trait.REASONING_TOKENS, 0)
            else 0
        ),
        service_tier="flex" if tier < rates.get(Trait.SERVICE_TIER, 0) else "default",
    )


def _fault_at(at: float, rates: Rates, *, streamed: bool) -> Fault | None:
    for fault in faults_of(streamed=streamed):
        at -= rates.get(fault, 0)
        if at < 0:
            return fault
    return None


def _within(bounds: Bounds, share: float) -> float:
    low, high = bounds
    return low + share * (high - low)
