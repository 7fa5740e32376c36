"""What the migrations make is what schema.py says, however often and by however many they are run."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, DefaultClause, MetaData, Text, inspect, select, text

import tollway.store.log_schema  # noqa: F401 - its tables are part of the schema
from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL
from tollway.store import migrations
from tollway.store.database import Database
from tollway.store.migrate import migrate
from tollway.store.outbox_schema import outbox
from tollway.store.schema import metadata

MIGRATE = """
import sys
from tollway.store.database import Database
from tollway.store.migrate import migrate
database = Database(sys.argv[1])
migrate(database, int(sys.argv[2]))
database.close()
"""


@pytest.fixture
def empty_url(database_url: str, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'empty.db'}"
    database = Database(database_url)
    for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
        database.write_here(partial(Connection.execute, statement=text(statement)))
    database.close()
    return database_url


def is_no_partition(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith("ledger_"))


def is_other_default(
    context: MigrationContext,
    _found: object,
    _wanted: object,
    found: str | None,
    _default: object,
    wanted: str | None,
) -> bool | None:
    """SQLite's defaults by their text, without their quotes; None leaves it to Alembic."""
    if context.dialect.name != "sqlite":
        return None
    return (found is None, (found or "").strip("()'")) != (wanted is None, wanted or "")


def differences(db: Connection, wanted: MetaData) -> list[object]:
    options = {
        "compare_type": True,
        "compare_server_default": is_other_default,
        "include_name": is_no_partition,
    }
    found: list[object] = compare_metadata(MigrationContext.configure(db, opts=options), wanted)
    return found


def test_the_migrations_make_the_schema(database: Database) -> None:
    assert database.write_here(lambda db: differences(db, metadata)) == []


def test_primary_keys_which_alembic_does_not_compare_are_the_same(database: Database) -> None:
    found = database.write_here(
        lambda db: {
            name: inspect(db).get_pk_constraint(name)["constrained_columns"] for name in metadata.tables
        }
    )
    assert found == {name: table.primary_key.columns.keys() for name, table in metadata.tables.items()}


def changed(how: str) -> MetaData:
    """The schema with one thing that no migration made."""
    copy = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(copy)
    match how:
        case "a column":
            copy.tables["orgs"].append_column(Column("colour", Text))
        case "a null":
            copy.tables["orgs"].c.org_name.nullable = True
        case "a type":
            copy.tables["orgs"].c.rate_limit.type = Text()
        case "a default":
            copy.tables["orgs"].c.currency.server_default = DefaultClause("eur")
        case "no default":
            copy.tables["orgs"].c.is_active.server_default = None
        case "a table":
            copy.remove(copy.tables["changes"])
    return copy


@pytest.mark.parametrize("how", ["a column", "a null", "a type", "a default", "no default", "a table"])
def test_a_change_without_a_migration_would_be_seen(database: Database, how: str) -> None:
    assert database.write_here(lambda db: differences(db, changed(how))) != []


def snapshot(db: Connection) -> dict[str, list[str]]:
    found = inspect(db)
    return {name: [column["name"] for column in found.get_columns(name)] for name in found.get_table_names()}


def test_migrating_again_changes_nothing(database: Database) -> None:
    before = database.write_here(snapshot)
    migrate(database, NOON_US)
    assert database.write_here(snapshot) == before


def test_an_empty_database_gets_all_tables(empty_url: str) -> None:
    made = Database(empty_url)
    assert made.write_here(snapshot) == {}
    migrate(made, NOON_US)
    assert made.write_here(snapshot).keys() >= metadata.tables.keys()
    assert made.write_here(lambda db: differences(db, metadata)) == []
    made.close()


def test_several_threads_may_migrate_an_empty_database_at_once(empty_url: str) -> None:
    databases = [Database(empty_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda database: migrate(database, NOON_US), databases))
    assert databases[0].write_here(lambda db: differences(db, metadata)) == []
    for database in databases:
        database.close()


def test_several_processes_may_migrate_an_empty_database_at_once(empty_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_url, str(NOON_US)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert ended == [("", 0)] * 3
    database = Database(empty_url)
    assert database.write_here(lambda db: differences(db, metadata)) == []
    database.close()


@ON_POSTGRESQL
def test_the_ledger_is_partitioned_by_the_time_a_call_ended(database: Database) -> None:
    query = text("SELECT pg_get_partkeydef('ledger'::regclass)")
    assert database.write_here(lambda db: db.execute(query).scalar_one()) == "RANGE (ended_us)"


def test_letters_from_before_there_was_mail_are_due(empty_url: str) -> None:
    database = Database(empty_url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    before = ScriptDirectory.from_config(config).get_revision("0010").down_revision
    assert isinstance(before, str)

    def old(db: Connection) -> None:
        config.attributes["connection"] = db
        command.upgrade(config, before)
        named, values = "id, org_id, kind, content, added_us", "'letter-1', 'org-1', 'invite', '{}', 7"
        db.execute(text(f"INSERT INTO outbox ({named}) VALUES ({values})"))  # noqa: S608 - constants

    database.write_here(old)
    migrate(database, NOON_US)
    found = database.write_here(lambda db: db.execute(select(outbox)).one())
    assert (found.due_us, found.attempts, found.sent_us) == (7, 0, None)
    database.close()
