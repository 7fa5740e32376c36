"""The rows of the audit trail: numbered without gaps, whoever writes at once, and bounded."""

import asyncio
from itertools import pairwise

import pytest
from sqlalchemy import Connection, insert, select, update

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.ids import OrgId
from tollway.domain.operation import Operation
from tollway.store.database import Database
from tollway.store.purge import purge_org
from tollway.store.schema import orgs, users
from tollway.store.trail import MAX_ROWS_SHOWN, NOBODYS, Act, acting, read_trail
from tollway.store.trail_schema import trail, trail_heads


def act() -> Act:
    return Act(operation=Operation.UPDATE_ORG, at_us=NOON_US, request_id="request-1", who="operator")


def change(db: Connection, org: OrgId, city: str) -> None:
    db.execute(update(orgs).where(orgs.c.id == org).values(address_city=city))


async def test_changes_at_once_have_numbers_without_gaps(database: Database) -> None:
    org = database.write_here(make_org)

    async def one(number: int) -> None:
        with acting(act()):
            await database.write(change, org, f"city {number}")

    await asyncio.gather(*(one(number) for number in range(20)))
    rows = await database.read(read_trail, org, limit=100)
    assert [row["seq"] for row in rows] == list(range(20, 0, -1))
    for newer, older in pairwise(rows):
        assert newer["before"] == older["after"]


async def test_what_is_undone_leaves_no_row_and_takes_no_number(database: Database) -> None:
    org = database.write_here(make_org)

    def fail(db: Connection) -> None:
        change(db, org, "Ghent")
        raise ValueError("no")

    with acting(act()):
        with pytest.raises(ValueError, match="no"):
            await database.write(fail)
        await database.write(change, org, "Bruges")
    await database.write(change, org, "of no request")
    (row,) = await database.read(read_trail, org, limit=9)
    assert (row["seq"], row["before"]["orgs"][0]["address_city"]) == (1, "")


async def test_a_change_of_many_rows_shows_the_first_and_counts_the_rest(database: Database) -> None:
    database.write_here(make_org)
    many = MAX_ROWS_SHOWN + 5
    rows = [{"id": f"{n}", "email": f"{n}@example.com", "name": "", "added_us": 1} for n in range(many)]

    def add(db: Connection) -> None:
        db.execute(insert(users), rows)

    with acting(act()):
        await database.write(add)
    (row,) = await database.read(read_trail, NOBODYS, limit=9)
    assert (len(row["after"]["users"]), row["after"]["more"]) == (MAX_ROWS_SHOWN, 5)


async def test_it_goes_with_its_organisation(database: Database) -> None:
    org, other = database.write_here(make_org), database.write_here(lambda db: make_org(db, "other"))
    with acting(act()):
        await database.write(change, org, "Ghent")
        await database.write(change, other, "Bruges")
    await database.write(purge_org, org)

    def left(db: Connection) -> list[list[str]]:
        return [list(db.execute(select(table.c.org_id)).scalars()) for table in (trail, trail_heads)]

    assert await database.read(left) == [[other], [other]]
