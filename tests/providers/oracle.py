"""What genai-prices itself charges for a usage.

Its counts overlap (a cached token is an input token too), ours are disjoint; `theirs` converts.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, localcontext

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider
from genai_prices.types import Usage as TheirUsage

from tollway.domain.clock import US_PER_S
from tollway.domain.usage import Unit, Usage, completion_tokens, prompt_tokens

PROVIDERS = {provider.id: provider for provider in get_snapshot().providers}
NO_WIDER_PRICE = {Unit.CITATION: "output_citation_mtok", Unit.INPUT_AUDIO_SECONDS: "input_audio_hours"}


def standard_prices(model: ModelInfo) -> list[ModelPrice]:
    return [model.prices] if isinstance(model.prices, ModelPrice) else [each.prices for each in model.prices]


def keys_of(model: ModelInfo) -> set[str]:
    prices = standard_prices(model) + [variant.prices for variant in model.price_variants or ()]
    return {key for price in prices for key, value in vars(price).items() if value is not None}


def theirs(usage: Usage) -> TheirUsage:
    """The same in their counts, of which each includes what is narrower."""

    def total(*units: Unit) -> int:
        return sum(usage.get(unit, 0) for unit in units)

    return TheirUsage(
        input_tokens=prompt_tokens(usage),
        cache_read_tokens=total(Unit.CACHE_READ, Unit.CACHE_READ_AUDIO),
        cache_write_tokens=total(Unit.CACHE_WRITE_5M, Unit.CACHE_WRITE_1H),
        cache_write_5m_tokens=total(Unit.CACHE_WRITE_5M),
        cache_write_1h_tokens=total(Unit.CACHE_WRITE_1H),
        input_audio_tokens=total(Unit.INPUT_AUDIO, Unit.CACHE_READ_AUDIO),
        cache_audio_read_tokens=total(Unit.CACHE_READ_AUDIO),
        input_image_tokens=total(Unit.INPUT_IMAGE),
        cache_image_read_tokens=0,
        output_tokens=completion_tokens(usage),
        output_reasoning_tokens=total(Unit.REASONING),
        output_citation_tokens=total(Unit.CITATION),
        output_audio_tokens=total(Unit.OUTPUT_AUDIO),
        output_image_tokens=total(Unit.OUTPUT_IMAGE),
        web_searches=total(Unit.WEB_SEARCH),
        audio_seconds=total(Unit.INPUT_AUDIO_SECONDS),
        input_audio_seconds=total(Unit.INPUT_AUDIO_SECONDS),
    )


def charged_by_them(provider: Provider, model: ModelInfo, usage: Usage, now_us: int, tier: str | None) -> int:
    """Nano-dollars, rounded once."""
    # Vendors charge for these only where they name a price; the library would take the wider unit's.
    free = {unit for unit, key in NO_WIDER_PRICE.items() if key not in keys_of(model)}
    seconds, rest = divmod(now_us, US_PER_S)
    with localcontext(prec=100):
        found = model.calc_price(
            theirs({unit: count for unit, count in usage.items() if unit not in free}),
            provider,
            genai_request_timestamp=datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest),
            price_context={"service_tier": tier} if tier else None,
        )
        return int((found.total_price * 10**9).to_integral_value(ROUND_HALF_EVEN))
