"""A database that says nothing any more must not keep a server from stopping."""

from pathlib import Path

import psycopg

from tests.cli.processes import follow, served
from tests.world.databases import PostgresDatabases
from tests.world.waiting import until


async def is_counted(show: list[str]) -> bool:
    """Whether the organisation's record, by the command of the greeting, has a request."""
    shown = await follow(show)
    assert isinstance(shown, dict)
    return bool(shown["num_requests"] > 0)


async def test_a_stop_leaves_a_silent_database_and_says_what_waits(
    tmp_path: Path, postgres_databases: PostgresDatabases
) -> None:
    url = postgres_databases.fresh(tmp_path)
    with psycopg.connect(url) as holder:
        async with served(tmp_path, database_url=url, drain_s="1") as server:
            ask, show = server.curls()
            # What it borrows of the organisation's limits is enough for the next one, too.
            await follow(ask)
            await until(lambda: is_counted(show), within_s=10)
            # Whoever waits for this lock waits as for a machine that is gone.
            holder.execute("LOCK TABLE org_totals")
            await follow(ask)
    assert server.exit_code == 1
    assert "2 records stay in the journal and are stored after the next start" in server.log
    assert "lost at the stop" not in server.log
    assert "the database answers no more: leaving without it" in server.log
    postgres_databases.drop(url)
