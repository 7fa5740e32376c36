"""What the operator does with imported prices. Owns what an import changes; does not own the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from tollway.domain.tariff import compile_tariff
from tollway.store import price_list
from tollway.store.price_list import ListedTariff


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPrice:
    """A price to be imported, without faults; from now on where no time is told."""

    model: str
    effective_us: int | None
    dollars: Mapping[str, str]


class Kind(StrEnum):
    """What a price of an import does."""

    NEW = "new"
    """There is none of that model and time yet."""
    CHANGED = "changed"
    """It replaces one of the same model and time."""
    UNCHANGED = "unchanged"
    """It is known already, and not stored again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one price of an import does; `before` is what it takes over from."""

    kind: Kind
    tariff: ListedTariff
    before: Mapping[str, str] | None


def import_prices(db: Connection, prices: Sequence[NewPrice], now_us: int) -> list[Change]:
    """Store these prices, all in one; running processes take them over within a second."""
    changes = changes_of(db, prices, now_us)
    stored = [change.tariff for change in changes if change.kind is not Kind.UNCHANGED]
    price_list.import_prices(db, stored, now_us)
    return changes


def changes_of(db: Connection, prices: Sequence[NewPrice], now_us: int) -> list[Change]:
    """What an import of these would do, in their order; nothing is stored."""
    known: dict[str, list[ListedTariff]] = {}
    for tariff in price_list.list_tariffs(db):
        known.setdefault(tariff.model, []).append(tariff)
    return [_change(price, known.get(price.model, []), now_us) for price in prices]


def _change(price: NewPrice, known: Sequence[ListedTariff], now_us: int) -> Change:
    effective_us = now_us if price.effective_us is None else price.effective_us
    tariff = ListedTariff(model=price.model, effective_us=effective_us, dollars=price.dollars)
    in_force = next((each for each in reversed(known) if each.effective_us <= effective_us), None)
    before = in_force.dollars if in_force else None
    is_there = in_force is not None and (in_force.effective_us == effective_us or price.effective_us is None)
    if in_force is not None and is_there and _is_same(in_force.dollars, price.dollars):
        return Change(kind=Kind.UNCHANGED, tariff=in_force, before=before)
    replaces = in_force is not None and in_force.effective_us == effective_us
    return Change(kind=Kind.CHANGED if replaces else Kind.NEW, tariff=tariff, before=before)


def _is_same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return compile_tariff("", one).version == compile_tariff("", other).version
