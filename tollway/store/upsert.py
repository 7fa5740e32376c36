"""Inserts that may meet a row that is there already: it stays, is replaced, or is added to.

Each is prepared for every dialect when its module is loaded, and carried out by the connection's:
`db.execute(_ADDING[db.dialect.name], rows)`. Rows are told apart by their primary key.
Owns how dialects differ in this; does not own which table needs what.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = postgresql.Insert | sqlite.Insert
Upsert = Mapping[str, Insert]
"""A statement, by the name of the dialect that it is for."""


def keeping(table: Table) -> Upsert:
    """What is there stays as it is."""
    return {name: insert.on_conflict_do_nothing() for name, insert in _inserts(table).items()}


def replacing(table: Table) -> Upsert:
    """What is there gets the new row's values."""
    return _changing(table, lambda _, new: new)


def adding(table: Table) -> Upsert:
    """The new row's values are added to what is there."""
    return _changing(table, lambda old, new: old + new)


def _changing(
    table: Table, changed: Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[Any]]
) -> Upsert:
    keys = [column.name for column in table.primary_key]
    names = [column.name for column in table.columns if not column.primary_key]
    return {
        dialect: insert.on_conflict_do_update(
            index_elements=keys,
            set_={name: changed(table.c[name], insert.excluded[name]) for name in names},
        )
        for dialect, insert in _inserts(table).items()
    }


def _inserts(table: Table) -> Upsert:
    return {"postgresql": postgresql.insert(table), "sqlite": sqlite.insert(table)}
