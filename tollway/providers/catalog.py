"""The catalogue: which vendor serves the model that a request names, and at what price.

Owns names: a configured `[[models]]` name, `vendor/model` of the public price list or of the
imported prices, or a bare name that a configured vendor has. A configured price wins over an
imported one, that over the public list. Does not own connections. The labels it gives to models
are its own (never what a caller typed), so that their number is bounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genai_prices.types import ModelInfo, Provider

from tollway.domain.errors import ModelNotFound, NotPriced
from tollway.domain.price import History, Price, unpriced
from tollway.providers.openai import CapField
from tollway.providers.prices import (
    FixedPrice,
    ImportedPrice,
    ListedPrice,
    PriceList,
    PriceSource,
    is_counted,
)

UNPRICED = "unpriced"
"""The label, behind the vendor's name, of whatever is served without a price."""

_MAX_REMEMBERED_NAMES = 4096

_HEEDS_THE_NEWER_FIELD = frozenset({"anthropic", "azure", "cerebras", "demo", "groq", "openai", "x-ai"})
"""Vendors, by their name in the price list, that heed `max_completion_tokens`; of others only the
older `max_tokens` is relied on (docs/limits.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a request goes: `model` is our name for it, `upstream` the vendor's.

    `context_window`: the most tokens that it holds, where the public list knows. `cap_field`: where the
    vendor heeds a cap on the completion, and we write it.
    """

    provider: str
    model: str
    upstream: str
    prices: PriceSource
    context_window: int | None = None
    cap_field: CapField = "max_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A configured vendor: its name here, and in the price list; `models_only`: it serves no listed ones.

    `cap_field`: None for the one that is known of it.
    """

    name: str
    listed_as: str
    models_only: bool = False
    cap_field: CapField | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A configured model; without a price it has the imported or listed one of what it stands for."""

    name: str
    provider: str
    upstream: str
    price: Price | None


class Catalog:
    """All models there are. Configured ones win over listed ones."""

    def __init__(
        self,
        vendors: Sequence[Vendor],
        models: Sequence[Configured],
        imported: Mapping[str, History] | None = None,
        *,
        allows_unpriced: bool = False,
    ) -> None:
        self._list = PriceList()
        self._vendors: Mapping[str, Vendor] = {vendor.name: vendor for vendor in vendors}
        self._offers = {vendor.name: self._list.provider(vendor.listed_as) for vendor in vendors}
        self._models = models
        self._allows_unpriced = allows_unpriced
        self._listed_prices: dict[tuple[str, int], ListedPrice] = {}
        self.reprice(imported or {})

    def reprice(self, imported: Mapping[str, History]) -> None:
        """Take these imported prices, for calls that start from now on; others keep the ones they have."""
        self._imported = imported
        self._configured = {model.name: self._route_of(model) for model in self._models}
        self._remembered: dict[str, Route] = {}
        self._benchmarks: dict[str, Route] = {}
        self._names: Mapping[str, str] | None = None

    def resolve(self, name: str) -> Route:
        """The route for a model's name. ModelNotFound, or NotPriced where only the price is missing."""
        found = self._configured.get(name) or self._remembered.get(name)
        return found or _remember(self._remembered, name, self._find(name) or self._unpriced(name))

    def benchmark(self, name: str) -> Route:
        """What savings may be measured against: any model here, or any that has a price.

        ModelNotFound or NotPriced if it has none.
        """
        found = self._benchmarks.get(name)
        return found or _remember(self._benchmarks, name, self._find_benchmark(name))

    @property
    def names(self) -> Mapping[str, str]:
        """Every model that can be asked for and its vendor, configured models first."""
        if self._names is None:
            self._names = self._all_names()
        return self._names

    def _all_names(self) -> Mapping[str, str]:
        names = {route.model: route.provider for route in self._configured.values() if route}
        for name in self._imported:
            if self._serves(vendor := name.partition("/")[0]):
                names.setdefault(name, vendor)
        for vendor, provider in self._offers.items():
            for model in provider.models if provider and self._serves(vendor) else ():
                # Some ids of the list are patterns that no request's name matches.
                if self._offered(vendor, provider, model.id):
                    names.setdefault(f"{vendor}/{model.id}", vendor)
        return names

    def _serves(self, vendor: str) -> bool:
        """Whether it serves more than what is configured for it."""
        return vendor in self._vendors and not self._vendors[vendor].models_only

    def _find(self, name: str) -> Route | None:
        """The route for a name; None for a model of a vendor here that has no price. ModelNotFound."""
        if name in self._configured:
            return self._configured[name]
        vendor, slash, rest = name.partition("/")
        if slash and vendor in self._vendors:
            if not self._serves(vendor):
                raise ModelNotFound(f"{vendor} has no model {rest!r}", param="model")
            return self._offered(vendor, self._offers[vendor], rest)
        for vendor in self._vendors:
            if f"{vendor}/{name}" in self._configured:
                return self._configured[f"{vendor}/{name}"]
            found = self._offered(vendor, self._offers[vendor], name) if self._serves(vendor) else None
            if found is not None:
                return found
        raise ModelNotFound(
            f"no vendor here has the model {name!r}; GET /v1/models lists what there is", param="model"
        )

    def _find_benchmark(self, name: str) -> Route:
        try:
            found = self._find(name)
        except ModelNotFound:
            vendor, _, rest = name.partition("/")
            provider = self._list.provider(vendor)
            found = self._offered(provider.id if provider else vendor, provider, rest)
            if found is None:
                raise
        if found is None:
            raise _no_price(name)
        return found

    def _unpriced(self, name: str) -> Route:
        """The route of a model without a price, under a label that no caller chooses. NotPriced."""
        if not self._allows_unpriced:
            raise _no_price(name)
        prices = FixedPrice(unpriced(name))
        for model in self._models:
            if model.name == name:
                return Route(
                    provider=model.provider,
                    model=name,
                    upstream=model.upstream,
                    prices=prices,
                    cap_field=self._cap_field(model.provider),
                )
        vendor, _, rest = name.partition("/")
        if not rest or not name.isprintable():
            raise _no_price(name)
        return Route(
            provider=vendor,
            model=f"{vendor}/{UNPRICED}",
            upstream=rest,
            prices=prices,
            cap_field=self._cap_field(vendor),
        )

    def _route_of(self, model: Configured) -> Route | None:
        """The route of a configured model; None if it has no price."""
        stood_for = self._offered(model.provider, self._offers.get(model.provider), model.upstream)
        if model.price:
            prices: PriceSource | None = FixedPrice(model.price)
        else:
            prices = self._over(model.name, stood_for.prices if stood_for else None)
        if prices is None:
            return None
        return Route(
            provider=model.provider,
            model=model.name,
            upstream=model.upstream,
            prices=prices,
            context_window=stood_for.context_window if stood_for else None,
            cap_field=self._cap_field(model.provider),
        )

    def _offered(self, vendor: str, provider: Provider | None, name: str) -> Route | None:
        """The route of what a vendor offers beside its configured models; None without a price."""
        model = self._list.model(provider, name) if provider and name else None
        typed = f"{vendor}/{name}"
        label = f"{vendor}/{model.id}" if model and typed not in self._imported else typed
        listed = self._listed_price(model, provider) if model and provider and is_counted(model) else None
        prices = self._over(label, listed)
        if prices is None:
            return None
        return Route(
            provider=vendor,
            model=label,
            upstream=name,
            prices=prices,
            context_window=model.context_window if model else None,
            cap_field=self._cap_field(vendor),
        )

    def _cap_field(self, name: str) -> CapField:
        vendor = self._vendors.get(name)
        if vendor is None:  # of the list only, to measure savings against
            return "max_tokens"
        known: CapField = "max_tokens"
        if vendor.listed_as in _HEEDS_THE_NEWER_FIELD:
            known = "max_completion_tokens"
        return vendor.cap_field or known

    def _over(self, label: str, before: PriceSource | None) -> PriceSource | None:
        """The imported prices of a model over those that it has without."""
        history = self._imported.get(label)
        if not history:
            return before
        if before is None and self._allows_unpriced:
            before = FixedPrice(unpriced(label))
        return ImportedPrice(label, history, before)

    def _listed_price(self, model: ModelInfo, provider: Provider) -> ListedPrice:
        # By the model itself: a provider may offer two of one id, its own and another's.
        return self._listed_prices.setdefault((provider.id, id(model)), ListedPrice(model, provider))


def _no_price(name: str) -> NotPriced:
    return NotPriced(
        f"{name!r} has no known price; its operator can import one, or configure one under [[models]]",
        param="model",
    )


def _remember(routes: dict[str, Route], name: str, route: Route) -> Route:
    """Callers choose names, so what is remembered of them is bounded."""
    if len(routes) >= _MAX_REMEMBERED_NAMES:
        routes.clear()
    routes[name] = route
    return route
