"""The database: SQLite in a file, or PostgreSQL; one interface, one kind of transaction.

A transaction is a plain function `(db, …) -> value`, run on a worker thread: it cannot await,
so it never holds a lock while something else is waited for. Owns connections, transactions and
what their failures are called; does not own a single table.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tollway.domain.errors import StoreRefused, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

DEADLINE_S = 30.0
"""Longest wait for one transaction; its thread may still finish it afterwards."""

Around = Callable[[Connection], AbstractContextManager[object]]
around_writes: ContextVar[Around] = ContextVar("around_writes", default=nullcontext)
"""What surrounds each transaction that this task writes, within it: if it raises, nothing is written."""

_THREADS = 8
_THREAD_NAME = "tollway-sql"
_NUMBERS = itertools.count()
_CLOSE_S = 5.0
_CLOSE_POLL_S = 0.005
_BUSY_TIMEOUT_S = 5.0
_TRIES = 3
_TRY_AGAIN_STATES = frozenset({"40001", "40P01"})  # serialisation failure, deadlock
_WRITES = {"tollway_writes": True}


def all_orgs(function: F) -> F:
    """Mark a store function that rightly has no organisation as its first argument."""
    return function


class Database:
    """Connections to one database. `url` is `sqlite:////abs/path.db` or `postgresql://…`."""

    def __init__(self, url: str) -> None:
        parsed = driver_url(url)
        self._name = f"{_THREAD_NAME}-{next(_NUMBERS)}-"
        self.dialect = parsed.get_backend_name()
        if self.dialect == "sqlite":
            self._engine = _sqlite(parsed)
            self._reader = self._engine
            # One writer per process: SQLite has one at a time, and its busy wait is unfair.
            self._write_threads: Executor = ThreadPoolExecutor(1, self._name)
            self._read_threads: Executor = ThreadPoolExecutor(_THREADS, self._name)
        else:
            self._engine = _postgresql(parsed)
            self._reader = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self._write_threads = self._read_threads = ThreadPoolExecutor(_THREADS, self._name)

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(db, …)` on one snapshot of the database."""
        return await self._run(self._read_threads, partial(self._read, lambda db: work(db, *args, **kwargs)))

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(db, …)` in one transaction: committed if it returns, undone if it raises.

        It may be run again after a deadlock, so it must do nothing but read and write `db`.
        """
        around = around_writes.get()

        def surrounded(db: Connection) -> T:
            with around(db):
                return work(db, *args, **kwargs)

        return await self._run(self._write_threads, partial(self.write_here, surrounded))

    def write_here(self, work: Callable[[Connection], T]) -> T:
        """The same in the calling thread, for the time before and after the event loop."""
        for tried in range(1, _TRIES + 1):
            try:
                with _named(), self._engine.connect().execution_options(**_WRITES) as db, db.begin():
                    return work(db)
            except _TryAgain:
                if tried == _TRIES:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _read(self, work: Callable[[Connection], T]) -> T:
        with _named(), self._reader.connect() as db, db.begin():
            return work(db)

    async def _run(self, threads: Executor, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await asyncio.get_running_loop().run_in_executor(threads, work)
        except TimeoutError:
            raise StoreUnavailable(f"the database did not answer within {DEADLINE_S:g} s") from None

    def close(self) -> None:
        """Wait a while for what runs, then close every connection that is free."""
        for threads in (self._write_threads, self._read_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        given_up = time.monotonic() + _CLOSE_S
        while has_running_threads(self._name) and time.monotonic() < given_up:
            time.sleep(_CLOSE_POLL_S)
        self._engine.dispose()


def has_running_threads(name: str = _THREAD_NAME) -> bool:
    """Whether threads of any database, or of the named one, are still there; idle ones end at its close."""
    return any(thread.name.startswith(name) for thread in threading.enumerate())


def driver_url(url: str) -> URL:
    """The URL with the driver that we use; ValueError for a database that we do not."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its text holds the URL, and the URL may hold a password
        raise ValueError("not a URL: sqlite:////abs/path.db or postgresql://…") from None
    match parsed.get_backend_name():
        case "sqlite" if parsed.database in (None, "", ":memory:"):
            raise ValueError("an SQLite database is a file here: sqlite:////abs/path.db")
        case "sqlite":
            return parsed.set(drivername="sqlite+pysqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(f"{other} is not supported: sqlite:////abs/path.db or postgresql://…")


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=_THREADS + 1,
        json_serializer=_to_json,
        json_deserializer=msgspec.json.decode,
        connect_args={"check_same_thread": False, "timeout": _BUSY_TIMEOUT_S},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
        # The driver's own BEGIN comes too late for reads and is never IMMEDIATE: ours does it.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(db: Connection) -> None:
        writes = db.get_execution_options().get("tollway_writes")
        db.exec_driver_sql(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
        db.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url,
        pool_size=_THREADS,
        max_overflow=0,
        pool_pre_ping=True,
        json_serializer=_to_json,
        json_deserializer=msgspec.json.decode,
        connect_args={
            "connect_timeout": 5,
            # A machine that is gone says nothing: without these it would be waited for for hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            "application_name": "tollway",
            "prepare_threshold": None,  # a pooler in transaction mode loses prepared statements
        },
    )


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class _TryAgain(StoreUnavailable):
    """A transaction that lost against another one; the same again may succeed."""


@contextmanager
def _named() -> Iterator[None]:
    """The driver's failures of connection and concurrency, by our names."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeoutError) as error:
        what = f"the database is not available: {said(error)}"
        if (
            getattr(getattr(error, "orig", None), "sqlstate", None) in _TRY_AGAIN_STATES
            or "database is locked" in what
        ):
            raise _TryAgain(what) from error
        raise StoreUnavailable(what) from error
    except (DataError, IntegrityError, OverflowError, UnicodeEncodeError) as error:
        raise StoreRefused(f"the database cannot hold this: {said(error)}") from error


def said(error: Exception) -> str:
    """The driver's first line; never the statement's values."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().partition("\n")[0]
