"""A price as people write it: dollars by unit name, as decimal text, from a moment on.

Tokens are priced per million, calls and searches per thousand, audio by time per hour. A unit
that is not named costs what the wider unit does; `input` and `output` have to be named, so that
nothing is free by omission. Owns the names and what is refused; does not own where such a price
is kept (`store/price_list.py`, `store/rate_cards.py`).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

from tollway.domain.moment import parse_moment, us_of
from tollway.domain.money import NANO_PER_USD, parse_usd
from tollway.domain.price import Price, compile_price
from tollway.domain.usage import COMPLETION_TOKENS, PROMPT_TOKENS, Unit

MAX_PRICE_USD = 100_000
"""Per million tokens, per thousand or per hour; beyond, sums of a ledger would leave 64 bits."""

_OTHER_NAMES = {Unit.CACHE_READ: "cached_input", Unit.INPUT_AUDIO_SECONDS: "input_audio_hours"}
NAMES: Mapping[str, Unit] = {_OTHER_NAMES.get(unit, unit.value): unit for unit in Unit}
"""How people call a unit."""

WIDER: Mapping[Unit, Unit] = {
    Unit.CACHE_READ: Unit.INPUT,
    Unit.CACHE_WRITE_5M: Unit.INPUT,
    Unit.CACHE_WRITE_1H: Unit.INPUT,
    Unit.INPUT_AUDIO: Unit.INPUT,
    Unit.INPUT_IMAGE: Unit.INPUT,
    Unit.CACHE_READ_AUDIO: Unit.CACHE_READ,
    Unit.REASONING: Unit.OUTPUT,
    Unit.OUTPUT_AUDIO: Unit.OUTPUT,
    Unit.OUTPUT_IMAGE: Unit.OUTPUT,
}
"""Whose price a unit has that has none of its own; the others are then free."""

MAX_CHARS = 40
"""Of an amount; more is no price, and not worth reading."""

_REQUIRED = ("input", "output")
_END_US = us_of(datetime(2100, 1, 1, tzinfo=UTC))


def per(unit: Unit) -> int:
    """How many of a unit a price is for."""
    if unit is Unit.INPUT_AUDIO_SECONDS:
        return 3_600
    return 1_000_000 if unit in PROMPT_TOKENS | COMPLETION_TOKENS else 1_000


def faults(dollars: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What is wrong with such a price: (unit name, sentence); nothing if it can be compiled."""
    for name in _REQUIRED:
        if name not in dollars:
            yield name, 'is missing; write "0" if it is free'
    for name, text in dollars.items():
        if name not in NAMES:
            yield name, f"is not a unit; units are {', '.join(NAMES)}"
        elif not isinstance(text, str):
            yield name, 'write the amount as text, "3.00": other numbers do not hold money exactly'
        elif len(text) > MAX_CHARS:
            yield name, f"an amount has at most {MAX_CHARS} characters"
        else:
            try:
                is_possible = 0 <= parse_usd(text) <= parse_usd(str(MAX_PRICE_USD))
            except ValueError as error:
                yield name, str(error)
                continue
            if not is_possible:
                yield name, f"a price is between $0 and ${MAX_PRICE_USD:,}"


def compile_tariff(source: str, dollars: Mapping[str, str]) -> Price:
    """The price, compiled; it must have no faults."""
    named = {NAMES[name]: Fraction(Decimal(text)) for name, text in dollars.items()}
    rates = {}
    for unit in Unit:
        wider: Unit | None = unit
        while wider is not None and wider not in named:
            wider = WIDER.get(wider)
        if wider is not None:
            rates[unit] = ((-1, named[wider] / per(unit)),)
    return compile_price(source, rates)


def effective_us(when: object) -> int:
    """A date or date-time, or its ISO 8601 text, UTC where it says no zone, as microseconds; ValueError."""
    match when:
        case str():
            us = parse_moment(when)
        case datetime():
            us = us_of(when)
        case date():
            us = us_of(datetime(when.year, when.month, when.day, tzinfo=UTC))
        case _:
            raise ValueError("a date or date-time, as 2026-04-01T00:00:00Z")
    if not 0 <= us < _END_US:
        raise ValueError("a time between 1970 and 2100")
    return us


def dollars_of(price: Price) -> dict[Unit, list[tuple[int, Fraction]]]:
    """Dollars per million, thousand or hour of each unit: (over this many prompt tokens, dollars)."""
    whole = price.denominator * NANO_PER_USD
    return {
        unit: [(over, Fraction(rate * per(unit), whole)) for over, rate in steps]
        for unit, steps in price.rates.items()
    }
