"""What an import changes: told before, and stored all or none."""

from tests.world.clock import NOON_US
from tollway.control.prices import Change, Kind, NewPrice, changes_of, import_prices
from tollway.store.changes import since
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.price_list import list_tariffs


def price(asked: str, at_us: int | None = None, model: str = "lab/x") -> NewPrice:
    return NewPrice(model=model, effective_us=at_us, dollars={"input": asked, "output": "12"})


def imported(database: Database, *prices: NewPrice, now_us: int = NOON_US) -> list[Change]:
    database.write_here(lambda db: identify(db, NOON_US))
    return database.write_here(lambda db: import_prices(db, prices, now_us))


def kinds(changes: list[Change]) -> list[str]:
    return [change.kind.value for change in changes]


def times(database: Database) -> list[int]:
    return [tariff.effective_us for tariff in database.write_here(list_tariffs)]


def test_a_price_without_a_time_holds_from_now_on(database: Database) -> None:
    (change,) = imported(database, price("3"))
    assert (change.kind, change.tariff.effective_us, change.before) == (Kind.NEW, NOON_US, None)
    assert times(database) == [NOON_US]


def test_the_same_import_again_changes_nothing(database: Database) -> None:
    prices = (price("3"), price("4", NOON_US + 5))
    imported(database, *prices)
    seen = database.write_here(lambda db: since(db, 0)).upto
    again = imported(database, price("3.00"), price("4.0", NOON_US + 5), now_us=NOON_US + 1)
    assert kinds(again) == ["unchanged", "unchanged"]
    assert [change.tariff.effective_us for change in again] == [NOON_US, NOON_US + 5]
    assert times(database) == [NOON_US, NOON_US + 5]
    assert database.write_here(lambda db: since(db, 0)).upto == seen


def test_a_new_price_takes_over_from_the_one_in_force_and_that_one_stays(database: Database) -> None:
    imported(database, price("3"))
    (change,) = imported(database, price("2"), now_us=NOON_US + 9)
    assert (change.kind, change.before) == (Kind.NEW, {"input": "3", "output": "12"})
    assert times(database) == [NOON_US, NOON_US + 9]
    back = imported(database, price("3"), now_us=NOON_US + 10)
    assert kinds(back) == ["new"]


def test_a_price_of_a_time_that_has_one_is_corrected(database: Database) -> None:
    imported(database, price("3", NOON_US + 5))
    (change,) = imported(database, price("2", NOON_US + 5))
    assert (change.kind, change.before) == (Kind.CHANGED, {"input": "3", "output": "12"})
    (tariff,) = database.write_here(list_tariffs)
    assert tariff.dollars["input"] == "2"


def test_a_dated_price_is_stored_though_it_repeats_the_one_in_force(database: Database) -> None:
    """Something may still be imported for the time between."""
    imported(database, price("3", NOON_US))
    assert kinds(imported(database, price("3", NOON_US + 5))) == ["new"]


def test_models_do_not_touch_each_other(database: Database) -> None:
    imported(database, price("3"))
    assert kinds(imported(database, price("3", model="lab/y"), price("3"))) == ["new", "unchanged"]


def test_what_an_import_would_do_is_told_without_doing_it(database: Database) -> None:
    changes = database.write_here(lambda db: changes_of(db, [price("3"), price("4", 5)], NOON_US))
    assert kinds(changes) == ["new", "new"]
    assert times(database) == []
