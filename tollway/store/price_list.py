"""Prices that the operator imported, each from its time on.

An import is one transaction, and is announced in the feed of changes, so that running processes
take it over. A price of the same model and time is replaced: what was priced at the old one is
told by the rows' own versions. Owns the table `price_list`; does not own which source of prices
wins (`providers/catalog.py`).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, union

from tollway.domain.price import History, Price
from tollway.domain.tariff import compile_tariff
from tollway.store.changes import PRICE_LIST, announce
from tollway.store.database import all_orgs
from tollway.store.schema import apps, orgs, price_list, price_versions
from tollway.store.upsert import replacing

_REPLACING = replacing(price_list)

SOURCE = "imported"
"""What the versions of these prices begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTariff:
    """One model's price from a time on; `dollars` as `domain/tariff.py` reads them."""

    model: str
    effective_us: int
    dollars: Mapping[str, str]


@all_orgs
def import_prices(db: Connection, tariffs: Sequence[ListedTariff], now_us: int) -> None:
    """Store these, and have every process take them over."""
    if not tariffs:
        return
    rows = [
        {
            "model": tariff.model,
            "effective_us": tariff.effective_us,
            "dollars": dict(tariff.dollars),
            "added_us": now_us,
        }
        for tariff in sorted(tariffs, key=lambda tariff: (tariff.model, tariff.effective_us))
    ]
    db.execute(_REPLACING[db.dialect.name], rows)
    announce(db, PRICE_LIST, now_us)


@all_orgs
def list_tariffs(db: Connection) -> list[ListedTariff]:
    """All of them, by model and time."""
    table = price_list.c
    rows = db.execute(
        select(table.model, table.effective_us, table.dollars).order_by(table.model, table.effective_us)
    )
    return [ListedTariff(model=row.model, effective_us=row.effective_us, dollars=row.dollars) for row in rows]


@all_orgs
def imported_prices(db: Connection) -> dict[str, History]:
    """All of them, compiled, by model."""
    return histories(list_tariffs(db))


def histories(tariffs: Sequence[ListedTariff]) -> dict[str, History]:
    """Prices by model; `tariffs` in the order of their times."""
    found: defaultdict[str, list[tuple[int, Price]]] = defaultdict(list)
    for tariff in tariffs:
        found[tariff.model].append((tariff.effective_us, compile_tariff(SOURCE, tariff.dollars)))
    return {model: tuple(prices) for model, prices in found.items()}


@all_orgs
def benchmark_models(db: Connection) -> Collection[str]:
    """What savings are measured against, in any organisation or active app."""
    of_apps = select(apps.c.benchmark_model).where(apps.c.is_active)
    found = db.execute(union(of_apps, select(orgs.c.benchmark_model))).scalars()
    return sorted(model for model in found if model)


@all_orgs
def unpriced_versions(db: Connection) -> Collection[str]:
    """The versions in the ledger that say that a model had no price."""
    table = price_versions.c
    found = db.execute(select(table.version).where(table.version.startswith("unpriced/", autoescape=True)))
    return sorted(found.scalars())
