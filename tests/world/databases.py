"""A fresh, migrated database for each test: SQLite by copying a file, PostgreSQL by a template."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest

from tests.peers.postgres import PostgresServer
from tests.world.clock import NOON_US
from tollway.store.database import Database
from tollway.store.migrate import migrate

_TEMPLATE = "tollway_template"


class Databases(Protocol):
    """Where test databases come from."""

    def fresh(self, folder: Path) -> str:
        """The URL of a new, migrated database."""
        ...

    def drop(self, url: str) -> None:
        """It is not needed any more."""
        ...


class SqliteDatabases:
    """Files."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        _migrated(f"sqlite:///{self._template}")

    def fresh(self, folder: Path) -> str:
        """A copy of the migrated file."""
        path = folder / "tollway.db"
        shutil.copy(self._template, path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        """Nothing: the folder goes with its test."""


class PostgresDatabases:
    """Databases on one real server."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._numbers = count()
        server.create_database(_TEMPLATE)
        _migrated(server.url(_TEMPLATE))

    def fresh(self, folder: Path) -> str:  # noqa: ARG002 - it lives on the server
        """A copy of the migrated database."""
        name = f"test_{next(self._numbers)}"
        self._server.create_database(name, _TEMPLATE)
        return self._server.url(name)

    def drop(self, url: str) -> None:
        """Drop it."""
        self._server.drop_database(url.rpartition("/")[2])


def _migrated(url: str) -> None:
    database = Database(url)
    migrate(database, NOON_US)
    database.close()


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_databases(postgres: PostgresServer) -> PostgresDatabases:
    return PostgresDatabases(postgres)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database; every test that asks for it runs on both kinds."""
    kind = "sqlite_databases" if request.param == "sqlite" else "postgres_databases"
    databases: Databases = request.getfixturevalue(kind)
    url = databases.fresh(tmp_path)
    yield url
    databases.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, opened."""
    opened = Database(database_url)
    yield opened
    opened.close()
