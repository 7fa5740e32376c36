"""A database that is there already, with the tables of this version: for commands that only read.

Owns finding that out, without making a file or changing a table; does not own the migrations
(`migrate.py`).
"""

from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tollway.store.database import Database, all_orgs, driver_url, said

_MIGRATIONS = Path(__file__).parent / "migrations"


async def open_existing(url: str) -> Database:
    """The database as it is. StoreUnavailable; ValueError if it is none, or not of this version."""
    _require_file(url)
    database = Database(url)
    try:
        if await database.read(is_current):
            return database
    except DBAPIError as error:
        database.close()
        raise ValueError(said(error)) from None
    except BaseException:
        database.close()
        raise
    database.close()
    raise ValueError("its tables are not those of this version; `tollway serve` brings them up to date")


@all_orgs
def is_current(db: Connection) -> bool:
    """Whether every migration of this version was applied, and none of a later one."""
    newest = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    return MigrationContext.configure(db).get_current_revision() == newest


def _require_file(url: str) -> None:
    """SQLite would make the file."""
    parsed = driver_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).is_file():
        raise ValueError(f"there is no file {parsed.database}")
