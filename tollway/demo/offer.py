"""The demo vendor as a configured provider: its name, its models and their prices.

Owns the offer; does not own the vendor's answers (`demo/vendor.py`).
"""

import msgspec

from tollway.demo.vendor import MODELS, DemoVendor
from tollway.domain.token import Secret
from tollway.settings import ModelSettings, PriceSettings, ProviderSettings, Settings

PROVIDER = "demo"
CHEAP_MODEL = f"{PROVIDER}/{MODELS[0]}"
BENCHMARK_MODEL = f"{PROVIDER}/{MODELS[1]}"

PRICES = {
    MODELS[0]: PriceSettings(input="0.40", cached_input="0.10", output="1.60"),
    MODELS[1]: PriceSettings(input="2.00", cached_input="0.50", output="8.00"),
}
"""By the vendor's own name of the model."""


def with_demo(settings: Settings, vendor: DemoVendor, api_key: str) -> Settings:
    """The settings with the running demo vendor among their providers."""
    provider = ProviderSettings(
        dialect="openai", base_url=vendor.base_url, models_only=True, api_key=Secret(api_key)
    )
    models = [
        ModelSettings(name=f"{PROVIDER}/{name}", provider=PROVIDER, upstream=name, price=price)
        for name, price in PRICES.items()
    ]
    return msgspec.structs.replace(
        settings,
        providers={**settings.providers, PROVIDER: provider},
        models=[*settings.models, *models],
    )
