"""Where prices come from: the public price list of `genai-prices`, or the configuration.

Owns turning either into a compiled `Price`; does not own the arithmetic (`domain/price.py`).
The list's prices depend on the day, the hour and the service tier, so a price is asked for
with a time and kept for that minute; on the hot path it is a dictionary look-up.
"""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

import genai_prices
from genai_prices.data_snapshot import DataSnapshot, find_provider_by_id, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from tollway.domain.clock import US_PER_S, moment
from tollway.domain.price import Price, Steps, compile_price
from tollway.domain.usage import Unit

_PER_MILLION = 1_000_000
_PER_THOUSAND = 1_000
_MINUTE_US = 60 * US_PER_S

_LISTED: Mapping[Unit, tuple[int, tuple[str, ...]]] = {
    # Units per price, and the price keys to look for: a unit without a price of its own costs
    # what the wider unit costs that the vendor counts it in.
    Unit.INPUT: (_PER_MILLION, ("input_mtok",)),
    Unit.CACHE_READ: (_PER_MILLION, ("cache_read_mtok", "input_mtok")),
    Unit.CACHE_WRITE_5M: (_PER_MILLION, ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok")),
    Unit.CACHE_WRITE_1H: (_PER_MILLION, ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok")),
    Unit.INPUT_AUDIO: (_PER_MILLION, ("input_audio_mtok", "input_mtok")),
    Unit.OUTPUT: (_PER_MILLION, ("output_mtok",)),
    Unit.REASONING: (_PER_MILLION, ("output_reasoning_mtok", "output_mtok")),
    Unit.OUTPUT_AUDIO: (_PER_MILLION, ("output_audio_mtok", "output_mtok")),
    Unit.REQUEST: (_PER_THOUSAND, ("requests_kcount",)),
    Unit.WEB_SEARCH: (_PER_THOUSAND, ("web_searches_kcount",)),
}

_COUNTED_KEYS = frozenset(key for _, keys in _LISTED.values() for key in keys)


class PriceSource(Protocol):
    """One model's prices over time."""

    def at(self, now_us: int, service_tier: str | None) -> Price:
        """The price in force at this time for this service tier."""
        ...


class FixedPrice:
    """A price from the configuration: one for all times and tiers."""

    def __init__(self, price: Price) -> None:
        self._price = price

    def at(self, now_us: int, service_tier: str | None) -> Price:  # noqa: ARG002 - the same for all
        """The price."""
        return self._price


class ListedPrice:
    """A model of the public price list, as one of its providers offers it."""

    def __init__(self, model: ModelInfo, provider: Provider) -> None:
        self._model = model
        self._minute = -1
        self._by_tier: dict[str | None, Price] = {}
        # A provider that offers another's model need not have that one's service tiers.
        is_own = any(model is own for own in provider.models)
        variants = (model.price_variants or []) if is_own else []
        self._tiers = {variant.when.get("service_tier") for variant in variants}

    def at(self, now_us: int, service_tier: str | None) -> Price:
        """The price in force at this time for this service tier; an unknown tier is the standard one."""
        if now_us // _MINUTE_US != self._minute:
            self._minute = now_us // _MINUTE_US
            self._by_tier = {}
        tier = service_tier if service_tier in self._tiers else None
        price = self._by_tier.get(tier)
        if price is None:
            context = {"service_tier": tier} if tier else None
            price = compile_listed(self._model.get_prices(moment(now_us), context))
            self._by_tier[tier] = price
        return price


class PriceList:
    """The public price list, as installed."""

    def __init__(self) -> None:
        self._snapshot: DataSnapshot = get_snapshot()

    def provider(self, name: str) -> Provider | None:
        """The list's provider of this name."""
        return find_provider_by_id(self._snapshot.providers, name)

    def model(self, provider: Provider, name: str) -> ModelInfo | None:
        """The list's model that `name` (or a dated version of it) means at this provider."""
        return provider.find_model(name, all_providers=self._snapshot.providers)


def is_counted(model: ModelInfo) -> bool:
    """Whether the list prices something of the model that is counted here.

    A model that is sold by the hour or the page only, or of which the list says nothing, would
    else be given away; whoever knows it to be free can say so under [[models]].
    """
    prices = (
        [model.prices] if isinstance(model.prices, ModelPrice) else [each.prices for each in model.prices]
    )
    named = {key for price in prices for key, value in vars(price).items() if value is not None}
    return not named.isdisjoint(_COUNTED_KEYS)


def compile_listed(listed: ModelPrice) -> Price:
    """A price of the list, compiled."""
    dollars = {}
    for unit, (per, keys) in _LISTED.items():
        price = next((found for key in keys if (found := getattr(listed, key)) is not None), None)
        if price is not None:
            dollars[unit] = _steps(price, per)
    return compile_price(f"genai-prices/{genai_prices.__version__}", dollars)


def compile_configured(*, input_usd: str, output_usd: str, cached_input_usd: str | None) -> Price:
    """A price of the configuration, dollars per million tokens as decimal text, compiled."""
    cached = input_usd if cached_input_usd is None else cached_input_usd
    by_side = {
        Unit.INPUT: input_usd,
        Unit.CACHE_READ: cached,
        Unit.CACHE_WRITE_5M: input_usd,
        Unit.CACHE_WRITE_1H: input_usd,
        Unit.INPUT_AUDIO: input_usd,
        Unit.OUTPUT: output_usd,
        Unit.REASONING: output_usd,
        Unit.OUTPUT_AUDIO: output_usd,
    }
    return compile_price(
        "configuration", {unit: _steps(Decimal(text), _PER_MILLION) for unit, text in by_side.items()}
    )


def _steps(price: Decimal | TieredPrices, per: int) -> Steps:
    if isinstance(price, Decimal):
        return ((-1, Fraction(price) / per),)
    above = tuple((tier.start, Fraction(tier.price) / per) for tier in price.tiers)
    return ((-1, Fraction(price.base) / per), *above)
