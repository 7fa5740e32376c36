"""A database that says nothing any more must not keep a server from stopping."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg

from tests.cli.processes import follow, served
from tests.world.databases import PostgresDatabases


async def record(show: list[str]) -> dict[str, Any]:
    """The organisation's, by the command of the greeting."""
    shown = await follow(show)
    assert isinstance(shown, dict)
    return shown


async def test_a_stop_leaves_a_silent_database_and_says_what_waits(
    tmp_path: Path, postgres_databases: PostgresDatabases
) -> None:
    url = postgres_databases.fresh(tmp_path)
    with psycopg.connect(url) as holder:
        async with served(tmp_path, database_url=url, drain_s="1") as server:
            ask, show = server.curls()
            # What it borrows of the organisation's limits is enough for the next one, too.
            await follow(ask)
            async with asyncio.timeout(10):
                while not (await record(show))["num_requests"]:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            # Whoever waits for this lock waits as for a machine that is gone.
            holder.execute("LOCK TABLE org_totals")
            await follow(ask)
    assert server.exit_code == 1
    assert "2 records stay in the journal and are stored after the next start" in server.log
    assert "lost at the stop" not in server.log
    assert "the database answers no more: leaving without it" in server.log
    postgres_databases.drop(url)
