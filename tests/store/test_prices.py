"""Price versions: stored once with the rows that name them, and read back to the last digit."""

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.store.folds import check, moved, numbered, stored
from tests.world.clock import NOON_US
from tests.world.entries import JOURNAL, batch, cost, entry
from tollway.domain.errors import StoreRefused
from tollway.domain.ledger import Batch
from tollway.domain.price import Price, compile_price, cost_of
from tollway.domain.usage import Unit
from tollway.store.database import Database
from tollway.store.prices import keep_prices, read_prices
from tollway.store.schema import price_versions

rates = st.fractions(min_value=0, max_value=10**12, max_denominator=10**30)
steps = st.builds(
    lambda first, more: ((-1, first), *sorted(more.items())),
    rates,
    st.dictionaries(st.integers(0, 2**70), rates, max_size=2),
)
prices = st.builds(compile_price, st.text("abc/ü", max_size=5), st.dictionaries(st.sampled_from(Unit), steps))


def flat(dollars: str, unit: Unit = Unit.INPUT) -> Price:
    return compile_price("list/1", {unit: ((-1, Fraction(dollars)),)})


def keep(database: Database, *kept: Price, at_us: int = NOON_US) -> None:
    database.write_here(lambda db: keep_prices(db, kept, at_us))


def read(database: Database, *versions: str) -> dict[str, Price]:
    return database.write_here(lambda db: read_prices(db, versions))


def count(database: Database) -> int:
    counted = select(func.count()).select_from(price_versions)
    return database.write_here(lambda db: db.execute(counted).scalar_one())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prices)
def test_a_price_read_back_is_the_price_that_was_stored(database: Database, price: Price) -> None:
    keep(database, price)
    assert read(database, price.version) == {price.version: price}


def test_numerators_and_denominators_of_any_size_come_back_to_the_last_digit(database: Database) -> None:
    rate = Fraction(2**200 + 1, 3**130)
    price = compile_price(
        "list/1", {Unit.INPUT: ((-1, rate), (200_000, 2 * rate)), Unit.OUTPUT: ((-1, rate),)}
    )
    assert price.denominator > 2**64
    assert price.rates[Unit.INPUT][0][1] > 2**64
    keep(database, price)
    (again,) = read(database, price.version).values()
    assert again == price
    usage = {Unit.INPUT: 10**9 + 1, Unit.OUTPUT: 7}
    assert cost_of(usage, again) == cost_of(usage, price)


def test_a_version_is_stored_once_and_never_changed(database: Database) -> None:
    price = flat("2.50")
    keep(database, price, price)
    keep(database, price, flat("3"), at_us=NOON_US + 1)
    rows = database.write_here(
        lambda db: db.execute(select(price_versions).order_by(price_versions.c.added_us)).all()
    )
    assert [(row.version, row.added_us) for row in rows] == [
        (price.version, NOON_US),
        (flat("3").version, NOON_US + 1),
    ]


def test_only_the_versions_that_were_asked_for_and_are_there_are_read(database: Database) -> None:
    one, two = flat("1"), flat("2")
    keep(database, one, two)
    assert read(database, one.version, "list/9@000000000000") == {one.version: one}
    assert read(database) == {}


def test_no_price_is_nothing_to_store(database: Database) -> None:
    keep(database)
    assert count(database) == 0


def test_a_price_without_rates_is_one_too(database: Database) -> None:
    free = compile_price("list/1", {})
    keep(database, free)
    assert read(database, free.version) == {free.version: free}


def test_a_batch_brings_the_prices_of_its_rows_so_that_a_cost_can_be_worked_out_again(
    database: Database,
) -> None:
    price = flat("0.0000025")
    priced = entry(units={Unit.INPUT: 1_001}, cost=cost_of({Unit.INPUT: 1_001}, price))
    moved(database, batch([(0, priced)], prices=[price, flat("7")]))
    (row,) = stored(database)
    again = read(database, row.entry.cost.version)[row.entry.cost.version]
    assert cost_of(row.entry.units, again) == row.entry.cost
    assert count(database) == 2


def test_a_batch_of_prices_alone_stores_them_and_moves_on(database: Database) -> None:
    price = flat("1")
    assert moved(database, Batch(journal=JOURNAL, first=0, upto=1, prices=[price])) == 1
    assert read(database, price.version) == {price.version: price}


def test_prices_of_a_batch_that_is_not_moved_are_not_stored(database: Database) -> None:
    records = numbered(entry() for _ in range(3))
    moved(database, batch(records, prices=[flat("1")]))
    assert moved(database, batch(records, prices=[flat("2")])) == 3
    assert moved(database, batch([(4, entry())], prices=[flat("3")])) == 3
    assert count(database) == 1


def test_prices_of_a_batch_that_fails_are_not_stored(database: Database) -> None:
    with pytest.raises(StoreRefused):
        moved(database, batch([(0, entry(cost=cost(2**63, 0)))], prices=[flat("1")]))
    assert count(database) == 0
    assert check(database) == []
