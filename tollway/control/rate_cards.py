"""What the operator does with rate cards. Owns what is refused; does not own the rows."""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection

from tollway.domain.errors import Fault, Invalid, NotFound, TollwayError
from tollway.domain.ids import OrgId
from tollway.domain.rate_card import MAX_MODELS, Tariffs, parse_markup, price_faults
from tollway.providers.catalog import Catalog
from tollway.store import rate_cards
from tollway.store.rate_cards import StoredCard


def require_usable(catalog: Catalog, markup: str | None, prices: Mapping[str, Mapping[str, object]]) -> None:
    """Invalid, naming each markup, model, unit and amount that cannot be used."""
    found = list(_faults(catalog, markup, prices))
    if found:
        raise Invalid(*found)


def put_card(
    db: Connection,
    org: OrgId,
    *,
    effective_us: int | None,
    markup: str | None,
    prices: Tariffs | None,
    now_us: int,
) -> StoredCard:
    """Give the organisation a card, from now on where no time is told; Invalid for a time that has passed."""
    _require_org(db, org)
    if effective_us is None:
        effective_us = now_us
    elif effective_us < now_us:
        told = "this has passed, and calls are priced already; leave it out for a card from now on"
        raise Invalid(Fault(loc=("body", "effective_from"), msg=told, type="in_the_past"))
    return rate_cards.put_card(
        db, org, effective_us=effective_us, markup=markup, prices=prices, now_us=now_us
    )


def list_cards(db: Connection, org: OrgId) -> list[StoredCard]:
    """The organisation's cards, those to come first."""
    _require_org(db, org)
    return rate_cards.list_cards(db, org)


def _require_org(db: Connection, org: OrgId) -> None:
    if not rate_cards.has_org(db, org):
        raise NotFound(f"there is no organisation {org}", code="organisation_not_found")


def _faults(
    catalog: Catalog, markup: str | None, prices: Mapping[str, Mapping[str, object]]
) -> Iterator[Fault]:
    if markup is not None:
        try:
            parse_markup(markup)
        except ValueError as error:
            yield Fault(loc=("body", "markup"), msg=str(error), type="invalid_markup")
    if len(prices) > MAX_MODELS:
        most = f"a card prices at most {MAX_MODELS} models"
        yield Fault(loc=("body", "prices"), msg=most, type="too_many_models")
        return
    for model in prices:
        why = _model_fault(catalog, model)
        if why is not None:
            yield Fault(loc=("body", "prices", model), msg=why, type="unknown_model")
    for model, unit, sentence in price_faults(prices):
        yield Fault(loc=("body", "prices", model, unit), msg=sentence, type="invalid_price")


def _model_fault(catalog: Catalog, model: str) -> str | None:
    """Why a card's price of this name would never apply; None if it may."""
    try:
        found = catalog.benchmark(model)
    except TollwayError as error:
        return str(error)
    return None if found.model == model else f"this model is called {found.model} here"
