"""Price versions: what each version that a row names asked for each unit.

A version is a digest of its rates, so it is written once and never changes. Owns the table
`price_versions`; does not own the arithmetic (`domain/price.py`).
"""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, select

from tollway.domain.price import Price, price_from, rates_of
from tollway.store.database import all_orgs
from tollway.store.schema import price_versions
from tollway.store.upsert import keeping

_KEEPING = keeping(price_versions)


@all_orgs
def keep_prices(db: Connection, prices: Iterable[Price], now_us: int) -> None:
    """Store the versions that are not stored yet."""
    rows = [
        {"version": price.version, "rates": rates_of(price), "added_us": now_us}
        for price in sorted(prices, key=lambda price: price.version)
    ]
    if rows:
        db.execute(_KEEPING[db.dialect.name], rows)


@all_orgs
def read_prices(db: Connection, versions: Collection[str]) -> dict[str, Price]:
    """Those of these versions that are stored."""
    rows = db.execute(select(price_versions).where(price_versions.c.version.in_(versions)))
    return {row.version: price_from(row.version, row.rates) for row in rows}
