"""Prices, compiled to integers, and what a usage costs at one.

A rate is nano-dollars per unit as a whole numerator over the price's one denominator, so that
any decimal price is exact and a cost is rounded once (half to even), then split over its units.
Owns the arithmetic; does not own where prices come from (`providers/prices.py`) or what an
organisation pays instead (`rate_card.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from math import lcm
from typing import Any, NamedTuple

from tollway.domain.money import NANO_PER_USD, Nano, split
from tollway.domain.usage import (
    COMPLETION_TOKENS,
    PROMPT_SIDE,
    PROMPT_TOKENS,
    Unit,
    Usage,
    prompt_tokens,
)

_REMEMBERED_PRICES = 4096

UNBOUNDED_TOKENS = 2**62
"""How many tokens fit where they cost nothing."""

Steps = tuple[tuple[int, Fraction], ...]
"""Dollars per unit by prompt size: (over this many prompt tokens, rate), ascending, first at -1.

The step that a call reaches applies to all its tokens, as vendors bill.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model's units cost at one time; `version` names its source and its content."""

    version: str
    denominator: int
    rates: Mapping[Unit, tuple[tuple[int, int], ...]] = field(hash=False)

    @property
    def is_unpriced(self) -> bool:
        """Whether it only says that nothing is known of what the model costs."""
        return not self.rates


History = tuple[tuple[int, Price], ...]
"""A model's prices, each from its time on: (microseconds since the epoch, price), ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a usage costs. `by_unit` sums to `total`; `prompt` + `completion` = `total`, always."""

    version: str
    by_unit: Mapping[Unit, Nano]
    prompt: Nano
    completion: Nano

    @property
    def total(self) -> Nano:
        """The sum of both sides."""
        return Nano(self.prompt + self.completion)


def compile_price(source: str, dollars: Mapping[Unit, Steps]) -> Price:
    """Put all rates over one denominator; the version is `source@` and a digest of the rates."""
    nano = {unit: [(over, rate * NANO_PER_USD) for over, rate in steps] for unit, steps in dollars.items()}
    denominator = lcm(*(rate.denominator for steps in nano.values() for _, rate in steps))
    rates = {
        unit: tuple((over, int(rate * denominator)) for over, rate in nano[unit]) for unit in sorted(nano)
    }
    digest = sha256(repr((denominator, [(str(u), r) for u, r in rates.items()])).encode()).hexdigest()
    return Price(version=f"{source}@{digest[:12]}", denominator=denominator, rates=rates)


def unpriced(model: str) -> Price:
    """What stands in the place of a price where a model without one is let through."""
    return Price(version=f"unpriced/{model}", denominator=1, rates={})


def scaled(price: Price, factor: Decimal) -> Price:
    """The price with each rate times `factor` (≥ 0), exactly; the very same where that changes nothing."""
    return price if factor == 1 or price.is_unpriced else _scaled(price, factor)


@lru_cache(_REMEMBERED_PRICES)
def _scaled(price: Price, factor: Decimal) -> Price:
    """Its version names the factor and the price."""
    numerator, denominator = factor.as_integer_ratio()
    return Price(
        version=f"markup/{factor.normalize():f}*{price.version}",
        denominator=price.denominator * denominator,
        rates={
            unit: tuple((over, rate * numerator) for over, rate in steps)
            for unit, steps in price.rates.items()
        },
    )


def dearest(prices: Sequence[Price]) -> Price:
    """A price at which nothing costs less than at any of these, at any step; at least one is given."""
    whole = lcm(*(price.denominator for price in prices))
    rates: dict[Unit, int] = {}
    for price in prices:
        for unit, steps in price.rates.items():
            highest = max(rate for _, rate in steps) * (whole // price.denominator)
            rates[unit] = max(rates.get(unit, 0), highest)
    return Price(
        version="dearest of " + ", ".join(price.version for price in prices),
        denominator=whole,
        rates={unit: ((-1, rate),) for unit, rate in rates.items()},
    )


def rates_of(price: Price) -> dict[str, Any]:
    """The rates as JSON can hold them: whole numbers as text, since they may be of any size."""
    return {
        "denominator": str(price.denominator),
        "rates": {
            unit.value: [[over, str(rate)] for over, rate in steps] for unit, steps in price.rates.items()
        },
    }


def price_from(version: str, rates: Mapping[str, Any]) -> Price:
    """The price of which `rates_of` made these."""
    return Price(
        version=version,
        denominator=int(rates["denominator"]),
        rates={
            Unit(unit): tuple((over, int(rate)) for over, rate in steps)
            for unit, steps in rates["rates"].items()
        },
    )


def cost_of(usage: Usage, price: Price) -> Cost:
    """What `usage` costs at `price`; a unit that the price does not name costs nothing."""
    size = prompt_tokens(usage)
    units = []
    numerators = []
    for unit, count in usage.items():
        steps = price.rates.get(unit)
        if count and steps:
            units.append(unit)
            numerators.append(count * _rate_at(size, steps))
    parts = split(numerators, price.denominator)
    prompt = sum(part for unit, part in zip(units, parts, strict=True) if unit in PROMPT_SIDE)
    return Cost(
        version=price.version,
        by_unit=dict(zip(units, parts, strict=True)),
        prompt=Nano(prompt),
        completion=Nano(sum(parts) - prompt),
    )


class WorstCase(NamedTuple):
    """The most nano-dollars that a call can cost, linear in its completion tokens."""

    base: int
    per_token: int
    denominator: int

    def of(self, completion_tokens: int) -> Nano:
        """The most with so many completion tokens; rounded up."""
        return Nano(-(-(self.base + self.per_token * completion_tokens) // self.denominator))

    def tokens_within(self, nano: int) -> int:
        """The most completion tokens that surely cost no more; -1 if the call without any may cost more."""
        left = nano * self.denominator - self.base
        if left < 0:
            return -1
        return left // self.per_token if self.per_token else UNBOUNDED_TOKENS


def worst_case(
    price: Price, prompt_tokens: int, *, other_tokens: int = 0, searches: int = 0, audio_seconds: int = 0
) -> WorstCase:
    """The worst case of a call, whatever units its tokens turn out to be.

    `other_tokens` may turn out on either side, and lie outside of the completion that is asked for.
    The fee for the call is in it.
    """
    prompt, completion, fee, search, second = _dearest(price)
    return WorstCase(
        base=prompt * prompt_tokens
        + max(prompt, completion) * other_tokens
        + search * searches
        + second * audio_seconds
        + fee,
        per_token=completion,
        denominator=price.denominator,
    )


@lru_cache(_REMEMBERED_PRICES)
def _dearest(price: Price) -> tuple[int, int, int, int, int]:
    """The highest rate, at any step, of a token in, a token out, the call, a search, a second of audio."""

    def highest(units: frozenset[Unit]) -> int:
        return max((rate for unit in units for _, rate in price.rates.get(unit, ())), default=0)

    return (
        highest(PROMPT_TOKENS),
        highest(COMPLETION_TOKENS),
        highest(frozenset({Unit.REQUEST})),
        highest(frozenset({Unit.WEB_SEARCH})),
        highest(frozenset({Unit.INPUT_AUDIO_SECONDS})),
    )


def _rate_at(size: int, steps: tuple[tuple[int, int], ...]) -> int:
    rate = steps[0][1]
    for over, step in steps[1:]:
        if size > over:
            rate = step
    return rate
