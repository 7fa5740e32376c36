"""Imported prices: stored all or none, replaced by model and time, announced to every process."""

from functools import partial

import pytest
from sqlalchemy import update

from tests.world.clock import NOON_US
from tests.world.entries import make_app, make_org
from tollway.domain.ids import AppId, OrgId
from tollway.domain.price import compile_price, unpriced
from tollway.store.apps import revoke_app
from tollway.store.changes import PRICE_LIST, Changes, announce, since
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.price_list import (
    ListedTariff,
    benchmark_models,
    import_prices,
    imported_prices,
    list_tariffs,
    unpriced_versions,
)
from tollway.store.prices import keep_prices
from tollway.store.schema import orgs


@pytest.fixture(autouse=True)
def _deployment(database: Database) -> None:
    database.write_here(lambda db: identify(db, NOON_US))


def tariff(model: str, at_us: int, asked: str = "3") -> ListedTariff:
    return ListedTariff(model=model, effective_us=at_us, dollars={"input": asked, "output": "12"})


def stored(database: Database, *tariffs: ListedTariff) -> None:
    database.write_here(lambda db: import_prices(db, tariffs, NOON_US))


def test_prices_are_read_by_model_each_from_its_time_on(database: Database) -> None:
    stored(database, tariff("b/x", 20, "2"), tariff("a/y", 5), tariff("b/x", 10, "1"))
    listed = database.write_here(list_tariffs)
    assert [(each.model, each.effective_us) for each in listed] == [("a/y", 5), ("b/x", 10), ("b/x", 20)]
    history = database.write_here(imported_prices)
    assert {model: [at_us for at_us, _ in prices] for model, prices in history.items()} == {
        "a/y": [5],
        "b/x": [10, 20],
    }
    first, second = (price for _, price in history["b/x"])
    assert first.version.startswith("imported@")
    assert first != second


def test_a_price_of_the_same_model_and_time_is_replaced(database: Database) -> None:
    stored(database, tariff("a/x", 5, "1"))
    stored(database, tariff("a/x", 5, "2"), tariff("a/x", 6, "3"))
    asked = [each.dollars["input"] for each in database.write_here(list_tariffs)]
    assert asked == ["2", "3"]


def test_an_import_is_announced_once_and_an_empty_one_is_not(database: Database) -> None:
    stored(database)
    assert database.write_here(lambda db: since(db, 0)).upto == 0
    stored(database, tariff("a/x", 5), tariff("a/y", 5))
    changes = database.write_here(lambda db: since(db, 0))
    assert (changes.upto, changes.org_ids, changes.are_of_prices) == (1, frozenset({PRICE_LIST}), True)
    database.write_here(partial(announce, org=OrgId("an-org"), now_us=NOON_US))
    assert not database.write_here(lambda db: since(db, 1)).are_of_prices
    assert Changes(upto=9, org_ids=frozenset(), complete=False).are_of_prices


def test_the_models_that_savings_are_measured_against_are_told(database: Database) -> None:
    org = database.write_here(make_org)
    other = database.write_here(partial(make_org, name="other"))

    def app(name: str, benchmark: str | None) -> AppId:
        return database.write_here(lambda db: make_app(db, org, name, benchmark))

    app("one", "b/x")
    app("two", "b/x")
    app("three", None)
    revoked = app("four", "gone/x")
    database.write_here(lambda db: revoke_app(db, org, revoked, NOON_US))
    database.write_here(
        lambda db: db.execute(update(orgs).where(orgs.c.id == other).values(benchmark_model="a/x"))
    )
    assert database.write_here(benchmark_models) == ["a/x", "b/x"]


def test_what_was_served_without_a_price_is_told(database: Database) -> None:
    prices = [unpriced("b/x"), unpriced("a/x"), compile_price("imported", {})]
    database.write_here(lambda db: keep_prices(db, prices, NOON_US))
    assert database.write_here(unpriced_versions) == ["unpriced/a/x", "unpriced/b/x"]
