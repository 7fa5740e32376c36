"""The demo vendor as a configured provider."""

from tollway.demo.offer import BENCHMARK_MODEL, CHEAP_MODEL, with_demo
from tollway.demo.vendor import DemoVendor
from tollway.settings import ModelSettings, PriceSettings, ProviderSettings, Settings


async def test_it_is_added_to_what_is_configured() -> None:
    own = ModelSettings(
        name="own", provider="other", upstream="x", price=PriceSettings(input="1", output="2")
    )
    other = ProviderSettings(dialect="openai", base_url="https://example.com")
    before = Settings(providers={"other": other}, models=[own])
    async with DemoVendor(api_key="the-key") as vendor:
        offered = with_demo(before, vendor, "the-key")
        assert offered.providers["demo"].base_url == vendor.base_url
    assert set(offered.providers) == {"other", "demo"}
    assert [model.name for model in offered.models] == ["own", CHEAP_MODEL, BENCHMARK_MODEL]
    assert set(before.providers) == {"other"}
    assert "the-key" not in repr(offered.providers["demo"])
