"""Transactions: all or nothing, tried again where that can help, and failures by our names."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, insert, select, text, update
from sqlalchemy.exc import InternalError

from tests.peers.postgres import free_port
from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL, ON_SQLITE
from tollway.domain.errors import StoreRefused, StoreUnavailable
from tollway.store.database import Database, driver_url
from tollway.store.schema import journals


def add(db: Connection, name: str) -> str:
    db.execute(insert(journals).values(id=name, folded_to=0, added_us=NOON_US))
    return name


def names(db: Connection) -> list[str]:
    return list(db.execute(select(journals.c.id).order_by(journals.c.id)).scalars())


async def test_a_write_that_returns_is_kept(database: Database) -> None:
    assert await database.write(add, "a") == "a"
    assert await database.read(names) == ["a"]


async def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def work(db: Connection) -> None:
        add(db, "a")
        raise KeyError("b")

    with pytest.raises(KeyError):
        await database.write(work)
    assert await database.read(names) == []


async def test_a_broken_rule_is_the_callers_business_and_not_an_outage(database: Database) -> None:
    await database.write(add, "a")
    with pytest.raises(StoreRefused):
        await database.write(add, "a")
    assert await database.read(names) == ["a"]


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises((StoreUnavailable, InternalError), match=r"read-?only"):
        await database.read(add, "a")
    await database.write(add, "b")
    assert await database.read(names) == ["b"]


async def test_a_read_sees_one_moment(database: Database) -> None:
    await database.write(add, "a")

    def work(db: Connection) -> tuple[list[str], list[str]]:
        before = names(db)
        with ThreadPoolExecutor(1) as other:
            other.submit(database.write_here, lambda db: add(db, "b")).result()
        return before, names(db)

    assert await database.read(work) == (["a"], ["a"])
    assert await database.read(names) == ["a", "b"]


@pytest.fixture
def locked(database_url: str) -> Iterator[sqlite3.Connection]:
    """Another process's connection, which holds SQLite's write lock."""
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


@ON_SQLITE
def test_a_write_waits_for_another_process_that_writes(
    database: Database, locked: sqlite3.Connection
) -> None:
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(database.write_here, lambda db: add(db, "a"))
        locked.execute("INSERT INTO journals (id, folded_to, added_us) VALUES ('b', 0, 0)")
        locked.execute("COMMIT")
        assert writing.result() == "a"
    assert database.write_here(names) == ["a", "b"]


@ON_SQLITE
def test_a_write_that_meets_a_lock_is_tried_again(database: Database, database_url: str) -> None:
    tries: list[int] = []
    impatient = create_engine(database_url, connect_args={"timeout": 0})

    def work(db: Connection) -> str:
        tries.append(len(tries))
        if len(tries) == 1:
            with impatient.connect() as other:
                other.exec_driver_sql("BEGIN IMMEDIATE")
        return add(db, "a")

    assert database.write_here(work) == "a"
    assert tries == [0, 1]
    impatient.dispose()


@ON_POSTGRESQL
def test_two_transactions_in_a_deadlock_both_succeed_in_the_end(database: Database) -> None:
    for name in ("a", "b"):
        database.write_here(partial(add, name=name))
    both_hold_one = threading.Barrier(2)
    tries: list[str] = []

    def work(first: str, second: str) -> str:
        def touch(db: Connection, name: str) -> None:
            db.execute(
                update(journals).where(journals.c.id == name).values(folded_to=journals.c.folded_to + 1)
            )

        def cross(db: Connection) -> str:
            tries.append(first)
            db.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
            touch(db, first)
            if tries.count(first) == 1:
                both_hold_one.wait(10)
            touch(db, second)
            return first

        return database.write_here(cross)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, "ab", "ba")) == ["a", "b"]
    assert len(tries) == 3
    rows = database.write_here(lambda db: list(db.execute(select(journals.c.folded_to)).scalars()))
    assert rows == [2, 2]


@ON_POSTGRESQL
def test_what_loses_every_time_is_given_up_after_three_tries(database: Database) -> None:
    tries = []

    def work(db: Connection) -> None:
        tries.append(1)
        db.execute(text("DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(StoreUnavailable, match="lost"):
        database.write_here(work)
    assert len(tries) == 3


@ON_POSTGRESQL
async def test_connections_that_the_server_ended_are_replaced(database: Database) -> None:
    await database.write(add, "a")

    def end(db: Connection) -> None:
        db.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    def end_own(db: Connection) -> None:
        db.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await database.write(end)
    with pytest.raises(StoreUnavailable):
        await database.write(end_own)
    assert await database.read(names) == ["a"]


AWAY: dict[str, Callable[[Path], str]] = {
    "a closed port": lambda _: f"postgresql://postgres@127.0.0.1:{free_port()}/tollway",
    "a missing folder": lambda folder: f"sqlite:///{folder / 'missing' / 'tollway.db'}",
    "a folder in place of the file": lambda folder: f"sqlite:///{folder}",
}


@pytest.mark.parametrize("url_in", AWAY.values(), ids=AWAY)
async def test_a_database_that_is_away_is_unavailable(tmp_path: Path, url_in: Callable[[Path], str]) -> None:
    database = Database(url_in(tmp_path))
    for asked in (database.read, database.write):
        with pytest.raises(StoreUnavailable, match=r"the database is not available: .+"):
            await asked(names)
    with pytest.raises(StoreUnavailable):
        database.write_here(names)
    database.close()


@ON_POSTGRESQL
async def test_a_missing_postgresql_database_is_unavailable(database_url: str) -> None:
    server, _, _ = database_url.rpartition("/")
    database = Database(f"{server}/missing")
    with pytest.raises(StoreUnavailable):
        await database.read(names)
    database.close()


async def test_many_at_once_all_get_their_turn(database: Database) -> None:
    await asyncio.gather(*(database.write(add, f"{number:02}") for number in range(30)))
    seen = await asyncio.gather(*(database.read(names) for _ in range(30)))
    assert all(found == [f"{number:02}" for number in range(30)] for found in seen)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////abs/path.db", "sqlite+pysqlite"),
        ("postgresql://user@host/name", "postgresql+psycopg"),
        ("postgres://user@host/name", "postgresql+psycopg"),
        ("postgresql+asyncpg://user@host/name", "postgresql+psycopg"),
    ],
)
def test_the_driver_is_ours_to_choose(url: str, driver: str) -> None:
    assert driver_url(url).drivername == driver


@pytest.mark.parametrize("url", ["mysql://host/name", "oracle://host", "nonsense", "", "/var/lib/tollway.db"])
def test_another_database_is_not_supported(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:////abs/path\.db or postgresql://"):
        Database(url)


def test_what_cannot_be_read_as_a_url_is_not_repeated_as_it_may_hold_a_password() -> None:
    with pytest.raises(ValueError, match="not a URL") as refused:
        driver_url("postgresql:user:swordfish@host/name")
    assert "swordfish" not in str(refused.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_none_since_each_connection_would_have_its_own(url: str) -> None:
    with pytest.raises(ValueError, match="is a file here"):
        Database(url)
