"""Prices, compiled to integers, and what a usage costs at one.

A rate is nano-dollars per unit as a whole numerator over the price's one denominator, so that
any decimal price is exact and a cost is rounded once (half to even), then split over its units.
Owns the arithmetic; does not own where prices come from (`providers/prices.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from math import lcm

from tollway.domain.money import NANO_PER_USD, Nano, split
from tollway.domain.usage import PROMPT_SIDE, Unit, Usage, prompt_tokens

Steps = tuple[tuple[int, Fraction], ...]
"""Dollars per unit by prompt size: (over this many prompt tokens, rate), ascending, first at -1.

The step that a call reaches applies to all its tokens, as vendors bill.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model's units cost at one time; `version` names its source and its content."""

    version: str
    denominator: int
    rates: Mapping[Unit, tuple[tuple[int, int], ...]]


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


def _rate_at(size: int, steps: tuple[tuple[int, int], ...]) -> int:
    rate = steps[0][1]
    for over, step in steps[1:]:
        if size > over:
            rate = step
    return rate
