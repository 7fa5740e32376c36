"""A rate card: what an organisation is charged, where that is not what the vendor asks.

A card holds from its moment until the next one's. Its price list wins over its markup; a markup
scales the vendor's price exactly, so that a cost is always some units at some price, and never
a multiplied amount. Owns which price applies; does not own the rows (`store/rate_cards.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tollway.domain.money import NANO_PER_USD, parse_usd
from tollway.domain.price import Price, scaled
from tollway.domain.tariff import MAX_CHARS, compile_tariff, faults

MAX_MARKUP = 10
MAX_MODELS = 2_000
NO_MARKUP = Decimal(1)

Tariffs = Mapping[str, Mapping[str, str]]
"""Prices by model, as people write them (`tariff.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """One card, in force from `effective_us` on. `prices`: by our name for the model."""

    id: str
    effective_us: int
    markup: Decimal
    prices: Mapping[str, Price]


def rated(price: Price, model: str, cards: Sequence[RateCard], at_us: int) -> tuple[Price, str | None]:
    """What the organisation pays where the vendor asks `price`, and the card that says so, if any.

    `cards` ascend in time; `at_us` is the start of the call.
    """
    card = None
    for later in cards:
        if later.effective_us > at_us:
            break
        card = later
    if card is None:
        return price, None
    own = card.prices.get(model)
    if own is not None:
        return own, card.id
    paid = scaled(price, card.markup)
    return paid, None if paid is price else card.id


def rate_card(id_: str, effective_us: int, markup: str | None, prices: Tariffs | None) -> RateCard:
    """The card of what is stored; it must have no faults."""
    return RateCard(
        id=id_,
        effective_us=effective_us,
        markup=NO_MARKUP if markup is None else parse_markup(markup),
        prices={model: compile_tariff("rate-card", dollars) for model, dollars in (prices or {}).items()},
    )


def parse_markup(text: str) -> Decimal:
    """A factor as decimal text, `"1.25"`; ValueError."""
    if len(text) > MAX_CHARS:
        raise ValueError(f"a markup has at most {MAX_CHARS} characters")
    try:
        billionths = parse_usd(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a decimal number with at most nine decimals") from None
    if not 0 <= billionths <= MAX_MARKUP * NANO_PER_USD:
        raise ValueError(f'a markup is a factor between 0 and {MAX_MARKUP}: "1.25" charges a quarter more')
    return Decimal(billionths).scaleb(-9)


def price_faults(prices: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a card's prices: (model, unit name, sentence)."""
    for model, dollars in prices.items():
        for name, sentence in faults(dollars):
            yield model, name, sentence
