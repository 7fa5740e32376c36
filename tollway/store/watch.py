"""What a transaction changes, seen as it changes it: rows before and after, secrets masked.

Every statement that inserts, updates or deletes passes here, whoever wrote it, so that nothing has to
be told of. Owns which tables count as changes and what is masked; does not own what becomes of a
change (`store/trail.py`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Table, Update, event, select, tuple_

from tollway.domain.token import MASK
from tollway.store.database import all_orgs

BOOKS = frozenset(
    {
        "deployment", "changes", "journals", "price_versions", "price_list", "cycles", "ledger", "bodies",
        "org_totals", "cycle_totals", "spender_totals", "series_totals", "leases", "exchanges", "alerts",
        "outbox", "trail", "trail_heads", "log_facets", "log_ratings", "usage_hours",
    }
)  # fmt: skip
"""What follows from calls and changes, and is none itself. Every other table is watched."""

UNREMARKABLE = frozenset({"last_used_us"})
"""A change of nothing else is none."""
IMPLIED = frozenset({"modified_us", "epoch", "cursor_seq", "pusher", "pusher_until_us", "sampled_ms"})
"""Changes with others, and says nothing more of them."""
_SECRET = re.compile(r"(^|_)(hash|sealed|secret|password|token|key)(_|$)")
_SHOWN = frozenset({"token_end", "key_end", "key_id", "token_masked"})

Key = tuple[Any, ...]
Values = dict[str, Any]
One = Mapping[str, Any]
Many = Sequence[One]
"""A statement's parameters, as SQLAlchemy hands them over."""


def is_secret(column: str) -> bool:
    """Whether what a column of this name holds is never shown."""
    return bool(_SECRET.search(column)) and column not in _SHOWN


@dataclass(slots=True)
class Changed:
    """One row: as it was and as it is; None where it is not."""

    table: Table
    key: Key
    before: Values | None
    after: Values | None

    @property
    def org(self) -> str | None:
        """Whose it is; None for what belongs to no organisation."""
        row = self.after or self.before or {}
        found = row.get("id" if self.table.name == "orgs" else "org_id")
        return None if found is None else str(found)

    @property
    def user(self) -> str | None:
        """Whom it is about, where it belongs to a person."""
        row = self.after or self.before or {}
        found = row.get("id" if self.table.name == "users" else "user_id")
        return None if found is None else str(found)

    @property
    def target(self) -> str:
        """Its id, without the organisation's."""
        own = [
            str(value)
            for column, value in zip(self.table.primary_key, self.key, strict=True)
            if column.name != "org_id"
        ]
        return "/".join(own) or str(self.key[0])

    @property
    def is_remarkable(self) -> bool:
        """Whether it counts as a change."""
        return self.before is None or self.after is None or not (0 < len(self.names) == len(self._trifles))

    @property
    def names(self) -> set[str]:
        """The columns that differ."""
        before, after = self.before or {}, self.after or {}
        return {name for name in {*before, *after} if before.get(name) != after.get(name)}

    @property
    def _trifles(self) -> set[str]:
        return self.names & UNREMARKABLE

    def shown(self, values: Values | None) -> Values | None:
        """What is told of it before, or after: the key and what differs, no secret."""
        if values is None:
            return None
        keys = {column.name for column in self.table.primary_key}
        is_update = self.before is not None and self.after is not None
        told = keys | (self.names - IMPLIED if is_update else self.names)
        return {
            name: MASK if is_secret(name) and value is not None else value
            for name, value in values.items()
            if name in told
        }


@dataclass(slots=True)
class Watch:
    """The rows that a transaction has changed so far, the first ones first."""

    _rows: dict[tuple[str, Key], Changed] = field(default_factory=dict)

    def changes(self) -> list[Changed]:
        """Those that count."""
        return [row for row in self._rows.values() if row.is_remarkable]

    def note(self, table: Table, before: Mapping[Key, Values], after: Mapping[Key, Values]) -> None:
        """One statement has changed these rows of the table."""
        for key in {**before, **after}:
            known = self._rows.get((table.name, key))
            if known is None:
                self._rows[table.name, key] = Changed(table, key, before.get(key), after.get(key))
            else:
                known.after = after.get(key)


@all_orgs
@contextmanager
def watching(db: Connection) -> Iterator[Watch]:
    """Watch what the block changes."""
    watch = Watch()
    pending: list[tuple[Table, dict[Key, Values]]] = []

    def before(_db: Connection, statement: object, many: Many, one: One, _options: object) -> None:
        table = _watched(statement)
        if table is not None:
            keys = _inserted(db, statement, table, many, one) if isinstance(statement, Insert) else None
            # One that failed has no after.
            pending[:] = [(table, _rows(db, table, statement, keys, one))]

    def after(_db: Connection, statement: object, many: Many, one: One, _options: object, _: object) -> None:
        if _watched(statement) is not None:
            table, was = pending.pop()
            keys = list(was)
            if isinstance(statement, Insert):
                keys = _inserted(db, statement, table, many, one)
            watch.note(table, was, _rows(db, table, None, keys, {}))

    event.listen(db, "before_execute", before)
    event.listen(db, "after_execute", after)
    try:
        yield watch
    finally:
        event.remove(db, "before_execute", before)
        event.remove(db, "after_execute", after)


def _watched(statement: object) -> Table | None:
    if not isinstance(statement, Insert | Update | Delete) or not isinstance(statement.table, Table):
        return None
    return None if statement.table.name in BOOKS else statement.table


def _inserted(db: Connection, statement: Insert, table: Table, many: Many, one: One) -> list[Key]:
    """The keys of rows to be inserted, which every row of ours comes with."""
    given = list(many) or [one] if many or one else [statement.compile(dialect=db.dialect).params]
    return [tuple(row[column.name] for column in table.primary_key) for row in given]


def _rows(
    db: Connection, table: Table, statement: object, keys: Sequence[Key] | None, one: One
) -> dict[Key, Values]:
    """Rows of these keys, or those that the statement is about; locked, as it would."""
    wanted = select(table).with_for_update()
    columns = list(table.primary_key)
    if keys is not None:
        if not keys:
            return {}
        if len(columns) == 1:
            wanted = wanted.where(columns[0].in_([key for (key,) in keys]))
        else:
            wanted = wanted.where(tuple_(*columns).in_(list(keys)))
    elif isinstance(statement, Update | Delete) and statement.whereclause is not None:
        wanted = wanted.where(statement.whereclause)
    found = db.execute(wanted, dict(one)).mappings()
    return {tuple(row[column.name] for column in columns): dict(row) for row in found}
