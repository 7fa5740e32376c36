"""Where prices come from: the configuration, what was imported, the public list of `genai-prices`.

Owns turning each into a compiled `Price`; does not own the arithmetic (`domain/price.py`).
The list's prices depend on the day, the hour and the service tier, so a price is asked for
with a time and kept for that minute; on the hot path it is a dictionary look-up.
"""

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

import genai_prices
from genai_prices.data_snapshot import DataSnapshot, find_provider_by_id, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from tollway.domain.clock import US_PER_S, moment
from tollway.domain.errors import NotPriced
from tollway.domain.price import History, Price, Steps, compile_price, dearest
from tollway.domain.tariff import compile_tariff
from tollway.domain.usage import Unit

_PER_MILLION = 1_000_000
_PER_THOUSAND = 1_000
_PER_HOUR = 3_600
_MINUTE_US = 60 * US_PER_S
_MAX_REMEMBERED_MINUTES = 64
"""Times tiers; several, because calls that began in the last minute end in this one."""

_LISTED: Mapping[Unit, tuple[int, tuple[str, ...]]] = {
    # Units per price, and the price keys to look for: a unit without a price of its own costs
    # what the wider unit costs that the vendor counts it in.
    Unit.INPUT: (_PER_MILLION, ("input_mtok",)),
    Unit.CACHE_READ: (_PER_MILLION, ("cache_read_mtok", "input_mtok")),
    Unit.CACHE_WRITE_5M: (_PER_MILLION, ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok")),
    Unit.CACHE_WRITE_1H: (_PER_MILLION, ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok")),
    Unit.INPUT_AUDIO: (_PER_MILLION, ("input_audio_mtok", "input_mtok")),
    Unit.INPUT_IMAGE: (_PER_MILLION, ("input_image_mtok", "input_mtok")),
    Unit.CACHE_READ_AUDIO: (
        _PER_MILLION,
        ("cache_audio_read_mtok", "cache_read_mtok", "input_audio_mtok", "input_mtok"),
    ),
    Unit.OUTPUT: (_PER_MILLION, ("output_mtok",)),
    Unit.REASONING: (_PER_MILLION, ("output_reasoning_mtok", "output_mtok")),
    # Outside of what the vendor calls its output: free, unless it has a price of its own.
    Unit.CITATION: (_PER_MILLION, ("output_citation_mtok",)),
    Unit.OUTPUT_AUDIO: (_PER_MILLION, ("output_audio_mtok", "output_mtok")),
    Unit.OUTPUT_IMAGE: (_PER_MILLION, ("output_image_mtok", "output_mtok")),
    Unit.REQUEST: (_PER_THOUSAND, ("requests_kcount",)),
    Unit.WEB_SEARCH: (_PER_THOUSAND, ("web_searches_kcount",)),
    Unit.INPUT_AUDIO_SECONDS: (_PER_HOUR, ("input_audio_hours",)),
}

_COUNTED_KEYS = frozenset(
    # What is sold by the hour alone is no model to chat with, and reports no seconds in this dialect.
    key
    for unit, (_, keys) in _LISTED.items()
    if unit is not Unit.INPUT_AUDIO_SECONDS
    for key in keys
)


class PriceSource(Protocol):
    """One model's prices over time."""

    def at(self, now_us: int, service_tier: str | None) -> Price:
        """The price in force at this time for this service tier; NotPriced if there is none yet."""
        ...

    def dearest_at(self, now_us: int) -> Price:
        """One that nothing costs less at than at this time in any service tier; NotPriced, as above."""
        ...


class FixedPrice:
    """One price for all times and tiers: of the configuration, or that none is known."""

    def __init__(self, price: Price) -> None:
        self._price = price

    def at(self, now_us: int, service_tier: str | None) -> Price:  # noqa: ARG002 - the same for all
        """The price."""
        return self._price

    def dearest_at(self, now_us: int) -> Price:  # noqa: ARG002 - the same for all
        """The price."""
        return self._price


class ImportedPrice:
    """Imported prices, each from its time on and for all tiers; `before` holds until the first."""

    def __init__(self, model: str, history: History, before: PriceSource | None) -> None:
        self._model = model
        self._starts = [start_us for start_us, _ in history]
        self._prices = [price for _, price in history]
        self._before = before

    def at(self, now_us: int, service_tier: str | None) -> Price:
        """The price in force at this time; NotPriced before the first, where nothing else is known."""
        return self._imported(now_us) or self._held_before().at(now_us, service_tier)

    def dearest_at(self, now_us: int) -> Price:
        """The same, or the dearest of what held before."""
        return self._imported(now_us) or self._held_before().dearest_at(now_us)

    def _imported(self, now_us: int) -> Price | None:
        index = bisect_right(self._starts, now_us) - 1
        return self._prices[index] if index >= 0 else None

    def _held_before(self) -> PriceSource:
        if self._before is None:
            raise NotPriced(f"{self._model!r} has no price yet: the one imported holds later", param="model")
        return self._before


class ListedPrice:
    """A model of the public price list, as one of its providers offers it."""

    def __init__(self, model: ModelInfo, provider: Provider) -> None:
        self._model = model
        self._by_minute: dict[tuple[int, str | None], Price] = {}
        self._dearest: tuple[int, Price] | None = None
        # A provider that offers another's model need not have that one's service tiers.
        is_own = any(model is own for own in provider.models)
        variants = (model.price_variants or []) if is_own else []
        self._tiers = {variant.when.get("service_tier") for variant in variants}

    def at(self, now_us: int, service_tier: str | None) -> Price:
        """The price in force at this time for this service tier; an unknown tier is the standard one."""
        minute = now_us // _MINUTE_US
        tier = service_tier if service_tier in self._tiers else None
        price = self._by_minute.get((minute, tier))
        if price is None:
            context = {"service_tier": tier} if tier else None
            price = compile_listed(self._model.get_prices(moment(now_us), context))
            if len(self._by_minute) >= _MAX_REMEMBERED_MINUTES:
                self._by_minute.clear()
            self._by_minute[minute, tier] = price
        return price

    def dearest_at(self, now_us: int) -> Price:
        """The dearest rates of all service tiers at this time."""
        minute = now_us // _MINUTE_US
        if self._dearest is None or self._dearest[0] != minute:
            self._dearest = minute, dearest([self.at(now_us, tier) for tier in {None, *self._tiers}])
        return self._dearest[1]


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
    dollars = {"input": input_usd, "output": output_usd}
    if cached_input_usd is not None:
        dollars["cached_input"] = cached_input_usd
    return compile_tariff("configuration", dollars)


def _steps(price: Decimal | TieredPrices, per: int) -> Steps:
    if isinstance(price, Decimal):
        return ((-1, Fraction(price) / per),)
    above = tuple((tier.start, Fraction(tier.price) / per) for tier in price.tiers)
    return ((-1, Fraction(price.base) / per), *above)
