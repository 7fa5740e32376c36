"""Compiled prices are what genai-prices itself would charge: it is the oracle of this file."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest
from genai_prices.types import ModelInfo, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.providers.oracle import PROVIDERS, charged_by_them, keys_of, standard_prices
from tollway.domain.clock import US_PER_S
from tollway.domain.price import cost_of
from tollway.domain.usage import Unit
from tollway.providers.prices import FixedPrice, ListedPrice, PriceList, compile_configured, is_counted

COUNTED = {
    *("input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_5m_mtok", "cache_write_1h_mtok"),
    *("input_audio_mtok", "output_mtok", "output_reasoning_mtok", "output_audio_mtok"),
    *("input_image_mtok", "output_image_mtok", "cache_audio_read_mtok", "output_citation_mtok"),
    *("requests_kcount", "web_searches_kcount"),
}
ON_TOP = {"input_audio_hours"}
"""Counted, but sold with something else only."""

NOT_COUNTED = {
    # Tokens that no vendor's chat answer tells apart from plain input, output or cached ones:
    # they are charged as those, as the oracle does with what it is told.
    *("cache_image_read_mtok", "input_video_mtok", "output_video_mtok"),
    # No chat answer reports them: speech, documents, and a tool of the Responses API.
    *("audio_hours", "input_mchars", "input_text_messages_kcount"),
    *("input_document_kpages", "input_annotated_document_kpages", "storage_searches_kcount"),
}

SAMPLED = (
    "openai",
    "anthropic",
    "google",
    "deepseek",
    "mistral",
    "groq",
    "x-ai",
    "azure",
    "aws",
    "perplexity",
)
TIERS = (None, "default", "flex", "priority", "fast", "auto", "no such tier")
TIMES_US = tuple(
    round(datetime.fromisoformat(f"{text}+00:00").timestamp() * US_PER_S)
    for text in (
        *("2024-01-01T00:00:00", "2025-09-06T00:29:59.999999", "2026-03-10T12:00:00"),
        # DeepSeek's nights begin and end at these minutes.
        *("2026-03-10T00:29:59.999999", "2026-03-10T00:30:00", "2026-03-10T16:29:59", "2026-03-10T16:30:00"),
        *("2026-11-20T01:00:00", "2026-11-20T03:59:59.999999", "2026-11-20T10:00:00", "2030-12-31T23:59:59"),
    )
)
TODAY_US = TIMES_US[7]


def offers() -> Iterator[tuple[Provider, ModelInfo]]:
    for name in SAMPLED:
        provider = PROVIDERS[name]
        yield from ((provider, model) for model in provider.models)
        for other in provider.fallback_model_providers or ():
            yield from ((provider, model) for model in PROVIDERS[other].models)


counts = st.integers(0, 300_000) | st.integers(0, 20)
optional_counts = {unit: counts for unit in Unit if unit is not Unit.REQUEST}
usages = st.fixed_dictionaries({Unit.REQUEST: st.just(1)}, optional=optional_counts)


@given(st.sampled_from(list(offers())), usages, st.sampled_from(TIMES_US), st.sampled_from(TIERS))
@settings(deadline=None, max_examples=200)
def test_a_request_costs_to_the_nano_dollar_what_the_list_itself_makes_of_it(
    offer: tuple[Provider, ModelInfo], usage: dict[Unit, int], now_us: int, tier: str | None
) -> None:
    provider, model = offer
    cost = cost_of(usage, ListedPrice(model, provider).at(now_us, tier))
    assert cost.total == charged_by_them(provider, model, usage, now_us, tier)


@pytest.mark.parametrize("prompt", [90_001, 200_003], ids=["small", "large"])
def test_every_model_of_the_whole_list_agrees_today(prompt: int) -> None:
    usage = {unit: 1_111 + 7 * number for number, unit in enumerate(Unit)}
    usage |= {Unit.INPUT: prompt, Unit.REQUEST: 1, Unit.WEB_SEARCH: 3}
    now_us = TODAY_US
    differing = [
        f"{provider.id}/{model.id}"
        for provider in PROVIDERS.values()
        for model in provider.models
        if cost_of(usage, ListedPrice(model, provider).at(now_us, None)).total
        != charged_by_them(provider, model, usage, now_us, None)
    ]
    assert differing == []


def test_every_service_tier_of_the_sampled_vendors_agrees_at_every_time() -> None:
    usage = {Unit.INPUT: 1_001, Unit.CACHE_READ: 503, Unit.OUTPUT: 77, Unit.REASONING: 13, Unit.REQUEST: 1}
    tiered = [(provider, model) for provider, model in offers() if model.price_variants]
    assert {provider.id for provider, _ in tiered} >= {"openai", "azure", "google"}
    for provider, model in tiered:
        listed = ListedPrice(model, provider)
        for now_us, tier in product((TIMES_US[2], TODAY_US), TIERS):
            cost = cost_of(usage, listed.at(now_us, tier))
            assert cost.total == charged_by_them(provider, model, usage, now_us, tier), model.id


def test_no_unit_of_the_list_is_overlooked() -> None:
    """A unit that is new in the list must be counted, or be named above with the reason."""
    named = {key for provider in PROVIDERS.values() for model in provider.models for key in keys_of(model)}
    assert named - COUNTED - ON_TOP - NOT_COUNTED == set()
    assert named >= NOT_COUNTED | ON_TOP


def test_a_model_sold_only_in_units_that_are_not_counted_here_is_not_counted() -> None:
    for provider, model in offers():
        keys = {
            key for price in standard_prices(model) for key, value in vars(price).items() if value is not None
        }
        assert is_counted(model) == bool(keys & COUNTED), f"{provider.id}/{model.id}"
    sold_by_the_hour = PROVIDERS["openai"].find_model("whisper-1")
    assert sold_by_the_hour is not None
    assert not is_counted(sold_by_the_hour)


def test_the_price_of_a_minute_is_compiled_once() -> None:
    provider = PROVIDERS["openai"]
    model = provider.find_model("gpt-5-mini")
    assert model is not None
    assert model.price_variants
    listed = ListedPrice(model, provider)
    minute = TODAY_US
    price = listed.at(minute, None)
    assert listed.at(minute + 59 * US_PER_S, None) is price
    assert listed.at(minute, "no such tier") is price
    flex = listed.at(minute, "flex")
    assert flex.version != price.version
    assert listed.at(minute, "flex") is flex
    again = listed.at(minute + 60 * US_PER_S, None)
    assert again is not price
    assert again == price


def test_the_dearest_price_covers_every_service_tier_and_changes_with_the_time() -> None:
    for provider_id, name in (("openai", "gpt-5-mini"), ("deepseek", "deepseek-chat")):
        model = PROVIDERS[provider_id].find_model(name)
        assert model is not None
        listed = ListedPrice(model, PROVIDERS[provider_id])
        usage = {Unit.INPUT: 1_000_000, Unit.OUTPUT: 1_000_000}
        for now_us in (TIMES_US[6], TIMES_US[5], TODAY_US):
            costs = [cost_of(usage, listed.at(now_us, tier)).total for tier in TIERS]
            assert cost_of(usage, listed.dearest_at(now_us)).total == max(costs)
            assert listed.dearest_at(now_us) is listed.dearest_at(now_us)


def test_calls_of_several_minutes_do_not_drive_each_other_s_prices_out_and_few_minutes_are_kept() -> None:
    provider = PROVIDERS["openai"]
    model = provider.find_model("gpt-5-mini")
    assert model is not None
    listed = ListedPrice(model, provider)
    minutes = [TODAY_US + number * 60 * US_PER_S for number in range(100)]
    first, second = listed.at(minutes[0], None), listed.at(minutes[1], None)
    assert (listed.at(minutes[0], None) is first, listed.at(minutes[1], None) is second) == (True, True)
    assert {listed.at(minute, None).version for minute in minutes} == {first.version}
    assert listed.at(minutes[0], None) is not first


def test_a_call_that_began_earlier_is_priced_for_when_it_began() -> None:
    provider = PROVIDERS["deepseek"]
    model = provider.find_model("deepseek-chat")
    assert model is not None
    listed = ListedPrice(model, provider)
    for now_us in (TIMES_US[6], TIMES_US[5], TIMES_US[6], TIMES_US[3], TIMES_US[4], TIMES_US[3]):
        usage = {Unit.INPUT: 1_000_000, Unit.REQUEST: 1}
        assert cost_of(usage, listed.at(now_us, None)).total == charged_by_them(
            provider, model, usage, now_us, None
        )


def test_the_version_of_a_listed_price_names_the_list_and_the_content() -> None:
    price_list = PriceList()
    provider = price_list.provider("openai")
    assert provider is not None
    versions = set()
    for name in ("gpt-4o", "gpt-4o-mini"):
        model = price_list.model(provider, name)
        assert model is not None
        versions.add(ListedPrice(model, provider).at(TIMES_US[2], None).version)
    assert len(versions) == 2
    assert all(version.startswith("genai-prices/") and "@" in version for version in versions)
    assert price_list.provider("no-such-vendor") is None
    assert price_list.model(provider, "no-such-model") is None


def configured(usage: Mapping[Unit, int], cached: str | None = None) -> int:
    price = compile_configured(input_usd="2.50", output_usd="10", cached_input_usd=cached)
    return cost_of(usage, FixedPrice(price).at(0, None)).total


def test_a_configured_price_is_dollars_per_million_tokens() -> None:
    assert configured({Unit.INPUT: 1_000_000}) == 2_500_000_000
    assert configured({Unit.OUTPUT: 1_000_000}) == 10_000_000_000
    assert configured({Unit.CACHE_READ: 1_000_000}) == 2_500_000_000
    assert configured({Unit.CACHE_READ: 1_000_000}, cached="0.5") == 500_000_000
    assert configured({Unit.CACHE_READ: 1_000_000}, cached="0") == 0
    assert configured({Unit.REQUEST: 1, Unit.WEB_SEARCH: 3, Unit.INPUT_AUDIO_SECONDS: 60}) == 0


def test_every_token_that_a_vendor_counts_as_input_or_output_has_a_configured_price() -> None:
    unpriced = {Unit.REQUEST, Unit.WEB_SEARCH, Unit.INPUT_AUDIO_SECONDS, Unit.CITATION}
    assert configured(dict.fromkeys(unpriced, 1_000_000)) == 0
    for unit in set(Unit) - unpriced:
        assert configured({unit: 1_000_000}) in (2_500_000_000, 10_000_000_000), unit


def test_a_configured_price_is_the_same_at_every_time_and_for_every_tier() -> None:
    fixed = FixedPrice(compile_configured(input_usd="1", output_usd="2", cached_input_usd=None))
    assert len({id(fixed.at(now_us, tier)) for now_us in TIMES_US for tier in TIERS}) == 1
    assert fixed.at(0, None).version.startswith("configuration@")


@given(
    st.decimals(0, 1000, places=9),
    st.decimals(0, 1000, places=9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
@settings(deadline=None)
def test_a_configured_price_is_exact_to_its_last_decimal(
    input_usd: Decimal, output_usd: Decimal, prompted: int, completed: int
) -> None:
    price = compile_configured(input_usd=str(input_usd), output_usd=str(output_usd), cached_input_usd=None)
    exact = (Fraction(input_usd) * prompted + Fraction(output_usd) * completed) * 1_000
    assert cost_of({Unit.INPUT: prompted, Unit.OUTPUT: completed}, price).total == round(exact)
