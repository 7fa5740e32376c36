"""The database's other end: real SQL on an SQLite in memory, which may be away, or be restored.

A transaction is one moment. Before it the database may be gone; after it, its confirmation may
be lost, so that whoever asked believes that nothing was stored.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from functools import cache, partial
from random import Random
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event

from tests.simulation.faults import Faults
from tests.simulation.scheduler import Loop
from tollway.domain.errors import StoreUnavailable
from tollway.store.database import Database, _named
from tollway.store.migrate import upgrade

P = ParamSpec("P")
T = TypeVar("T")

Instead = Mapping[Callable[..., Any], Callable[..., Any]]
"""Faulty transactions, by those in whose place they stand."""


class Server:
    """One database for all processes. `watch` is called after each commit."""

    def __init__(self, loop: Loop, faults: Faults, instead: Instead) -> None:
        self.random: Random = loop.random
        self.watch: Callable[[], None] = lambda: None
        self.is_away = False
        self._faults = faults
        self._instead = instead
        self._engine, self._memory = _engine()
        _template().backup(self._memory)

    def transact(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction, or fail before it or after it. StoreUnavailable."""
        if self.is_away or self._faults.happens("store_before"):
            raise StoreUnavailable("simulated: away")
        before = self._memory.total_changes
        faulty: Callable[Concatenate[Connection, P], T] = self._instead.get(work, work)
        with _named():
            value = self.transact_surely(faulty, *args, **kwargs)
        if self._memory.total_changes != before:
            self.watch()
        if self._faults.happens("store_after"):
            raise StoreUnavailable("simulated: the confirmation is lost")
        return value

    def transact_surely(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same without faults, for who looks at it from outside."""
        with self._engine.connect() as db, db.begin():
            return work(db, *args, **kwargs)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return self._memory.execute(sql).fetchall()

    def copy(self) -> sqlite3.Connection:
        """A backup as of now."""
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        self._memory.backup(copy)
        return copy

    def restore(self, copy: sqlite3.Connection) -> None:
        """Be what a backup holds."""
        copy.backup(self._memory)


class SimulatedDatabase(Database):
    """A process's connection to the one database."""

    def __init__(self, server: Server) -> None:
        self.dialect = "sqlite"
        self._server = server

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As the real one."""
        return await self.write(work, *args, **kwargs)

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As the real one."""
        return await asyncio.to_thread(partial(self._server.transact, work, *args, **kwargs))


@cache
def _engine() -> tuple[Engine, sqlite3.Connection]:
    """One for all seeds: it remembers how statements are put together."""
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    engine = create_engine(
        "sqlite://",
        poolclass=StaticPool,
        creator=lambda: memory,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )

    @event.listens_for(engine, "begin")
    def begun(db: Connection) -> None:
        db.exec_driver_sql("BEGIN IMMEDIATE")

    return engine, memory


@cache
def _template() -> sqlite3.Connection:
    """An empty database of the newest schema."""
    engine, memory = _engine()
    with engine.connect() as db, db.begin():
        upgrade(db)
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    memory.backup(copy)
    return copy
