"""A vendor of whose models no price is known, and what the operator says of prices."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from msgspec.structs import replace

from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.control.prices import NewPrice, import_prices
from tollway.demo.vendor import DemoVendor
from tollway.domain.token import Secret
from tollway.settings import ProviderSettings, Settings

LAB_MODEL = "lab/small"
_KEY = "key-of-the-lab"


@asynccontextmanager
async def with_lab(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with such a vendor, running."""
    async with DemoVendor(api_key=_KEY) as vendor:
        lab = ProviderSettings(dialect="openai", base_url=vendor.base_url, api_key=Secret(_KEY))
        yield replace(settings, providers={"lab": lab})


async def put_card(stage: Stage, tenant: Tenant, **card: object) -> Answer:
    """Give the tenant a rate card."""
    path = f"/v1/operator/orgs/{tenant.org_id}/rate_card"
    return await stage.request("PUT", path, token=OPERATOR_TOKEN, body=card)


async def import_price(stage: Stage, model: str, at_us: int | None = None, **dollars: str) -> None:
    """Import one price; the stage knows of it after the next reading of the feed."""
    prices: Mapping[str, str] = dollars
    price = NewPrice(model=model, effective_us=at_us, dollars=prices)
    await stage.world.database.write(import_prices, [price], stage.clock.now_us())
