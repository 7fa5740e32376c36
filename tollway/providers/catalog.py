"""The catalogue: which vendor serves the model that a request names, and at what price.

Owns names: a configured `[[models]]` name, `vendor/model` of the public price list, or a bare
name that a configured vendor has. Does not own connections. The labels it gives to models are
its own (never what a caller typed), so that their number is bounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from genai_prices.types import ModelInfo, Provider

from tollway.domain.errors import ModelNotFound, NotPriced
from tollway.providers.prices import ListedPrice, PriceList, PriceSource, is_counted

_MAX_REMEMBERED_NAMES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a request goes: `model` is our name for it, `upstream` the vendor's."""

    provider: str
    model: str
    upstream: str
    prices: PriceSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A configured vendor: its name here, and in the price list; `models_only`: it serves no listed ones."""

    name: str
    listed_as: str
    models_only: bool = False


class Catalog:
    """All models there are. Configured ones win over listed ones."""

    def __init__(self, vendors: Sequence[Vendor], configured: Sequence[Route]) -> None:
        self._list = PriceList()
        self._configured = {route.model: route for route in configured}
        self._listed: dict[str, Provider | None] = {
            vendor.name: self._list.provider(vendor.listed_as) for vendor in vendors if not vendor.models_only
        }
        self._vendors: Mapping[str, Vendor] = {vendor.name: vendor for vendor in vendors}
        self._prices: dict[tuple[str, int], ListedPrice] = {}
        self._remembered: dict[str, Route] = {}
        self._benchmarks: dict[str, Route] = {}

    def resolve(self, name: str) -> Route:
        """The route for a model's name. ModelNotFound, or NotPriced where only the price is missing."""
        found = self._configured.get(name) or self._remembered.get(name)
        return found or _remember(self._remembered, name, self._find(name))

    def benchmark(self, name: str) -> Route:
        """What savings may be measured against: any model here, or any of the public price list.

        ModelNotFound or NotPriced if it has no price.
        """
        found = self._benchmarks.get(name)
        return found or _remember(self._benchmarks, name, self._find_benchmark(name))

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Every model that can be asked for and its vendor, configured models first."""
        names = {route.model: route.provider for route in self._configured.values()}
        for vendor, provider in self._listed.items():
            for model in provider.models if provider else ():
                # Some ids of the list are patterns that no request's name matches.
                if self._route(vendor, model.id):
                    names.setdefault(f"{vendor}/{model.id}", vendor)
        return names

    def _find(self, name: str) -> Route:
        vendor, slash, rest = name.partition("/")
        if slash and vendor in self._vendors:
            found = self._route(vendor, rest)
            if found is None and self._vendors[vendor].models_only:
                raise ModelNotFound(f"{vendor} has no model {rest!r}", param="model")
            if found is None:
                raise NotPriced(
                    f"{name!r} has no known price; give it one under [[models]] in the configuration",
                    param="model",
                )
            return found
        for vendor in self._vendors:
            found = self._configured.get(f"{vendor}/{name}") or self._route(vendor, name)
            if found is not None:
                return found
        raise ModelNotFound(
            f"no vendor here has the model {name!r}; GET /v1/models lists what there is", param="model"
        )

    def _find_benchmark(self, name: str) -> Route:
        try:
            return self.resolve(name)
        except ModelNotFound:
            vendor, _, rest = name.partition("/")
            provider = self._list.provider(vendor)
            found = self._route_of(provider.id, provider, rest) if provider else None
            if found is None:
                raise
            return found

    def _route(self, vendor: str, name: str) -> Route | None:
        return self._route_of(vendor, self._listed.get(vendor), name)

    def _route_of(self, vendor: str, provider: Provider | None, name: str) -> Route | None:
        model = self._list.model(provider, name) if provider and name else None
        if provider is None or model is None or not is_counted(model):
            return None
        prices = self._price_of(model, provider)
        return Route(provider=vendor, model=f"{vendor}/{model.id}", upstream=name, prices=prices)

    def _price_of(self, model: ModelInfo, provider: Provider) -> ListedPrice:
        # By the model itself: a provider may offer two of one id, its own and another's.
        return self._prices.setdefault((provider.id, id(model)), ListedPrice(model, provider))


def _remember(routes: dict[str, Route], name: str, route: Route) -> Route:
    """Callers choose names, so what is remembered of them is bounded."""
    if len(routes) >= _MAX_REMEMBERED_NAMES:
        routes.clear()
    routes[name] = route
    return route
