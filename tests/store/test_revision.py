"""A database that is only read: neither made nor changed, whatever it is."""

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.world.entries import make_org
from tollway.domain.errors import StoreUnavailable
from tollway.store.database import Database
from tollway.store.orgs import find_state
from tollway.store.revision import is_current, open_existing


async def test_a_database_of_this_version_is_opened(database_url: str, database: Database) -> None:
    org = database.write_here(make_org)
    opened = await open_existing(database_url)
    try:
        assert await opened.read(is_current)
        assert (await opened.read(find_state, org)).is_active
    finally:
        opened.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = '0001'",
        "UPDATE alembic_version SET version_num = 'later'",
        "DELETE FROM alembic_version",
    ],
)
async def test_one_of_another_version_is_refused_with_what_to_do(
    database_url: str, database: Database, change: str
) -> None:
    database.write_here(lambda db: db.execute(text(change)))
    with pytest.raises(ValueError, match="tollway serve"):
        await open_existing(database_url)


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        await open_existing(f"sqlite:///{tmp_path / 'absent.db'}")
    assert not (tmp_path / "absent.db").exists()


async def test_an_empty_file_has_no_tables_and_gets_none(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(ValueError, match="not those of this version"):
        await open_existing(f"sqlite:///{path}")
    found = Database(f"sqlite:///{path}")
    assert await found.read(lambda db: db.execute(text("SELECT count(*) FROM sqlite_master")).scalar()) == 0
    found.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Sir or Madam, " * 100, "utf-8")
    with pytest.raises(ValueError, match="not a database"):
        await open_existing(f"sqlite:///{path}")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await open_existing("postgresql://nobody@127.0.0.1:1/none")


async def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        await open_existing("mysql://localhost/tollway")
