"""Brings the schema up to date when a process starts; several may start at once.

Owns running the migrations under a lock; does not own their content (`migrations/versions/`).
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tollway.store.database import Database, all_orgs, said
from tollway.store.partitions import ensure_partitions, lock_schema


def migrate(database: Database, now_us: int) -> None:
    """Apply what is missing, and make the ledger's next partitions.

    StoreUnavailable; ValueError for a URL or a file that is no database of ours.
    """
    try:
        database.write_here(upgrade)
    except DBAPIError as error:
        raise ValueError(said(error)) from None
    database.write_here(lambda db: ensure_partitions(db, now_us))


@all_orgs
def upgrade(db: Connection, upto: str = "head") -> None:
    """Run the missing migrations up to this one in this transaction, after whoever else is at it."""
    lock_schema(db)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = db
    command.upgrade(config, upto)
