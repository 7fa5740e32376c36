"""The purge: nothing of the organisation is left, in whichever table, and nothing else is touched."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select

from tests.control.audited import folded
from tests.world.clock import NOON_US
from tests.world.entries import entry, make_app, make_org
from tollway.domain.ids import OrgId, UserId
from tollway.store.changes import announce, since
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.members import add_member
from tollway.store.orgs import delete_org
from tollway.store.purge import list_deleted, purge_org, purge_rows
from tollway.store.schema import bodies, ledger, metadata, orgs


@pytest.fixture
def acme(database: Database) -> OrgId:
    database.write_here(partial(identify, now_us=NOON_US))
    return database.write_here(make_org)


def owned(db: Connection, org: OrgId) -> dict[str, int]:
    """How many rows each table has of the organisation; not of the feed, which forgets by itself."""
    found = {}
    for table in metadata.sorted_tables:
        column: Any = table.c.id if table is orgs else table.c.get("org_id")
        if column is not None and table.name != "changes":
            query = select(func.count()).select_from(table).where(column == org)
            found[table.name] = db.execute(query).scalar_one()
    return {name: number for name, number in found.items() if number}


def fill(database: Database, org: OrgId, first: int, rows: int = 3) -> None:
    def work(db: Connection) -> None:
        make_app(db, org)
        add_member(
            db, org, db.execute(select(orgs.c.org_creator).where(orgs.c.id == org)).scalar_one(), [], 1
        )
        keep(db, org)
        announce(db, org, NOON_US)

    database.write_here(work)
    folded(database, [entry(org_id=org) for _ in range(rows)], first=first)


def keep(db: Connection, org: OrgId) -> None:
    """A piece of a prompt."""
    place = {"org_id": org, "request_id": "r", "attempt": 1, "part": "request", "at": 0}
    db.execute(insert(bodies).values(**place, data=b"Hello!", written_us=NOON_US))


def test_all_of_it_goes_and_all_of_others_stays(database: Database, acme: OrgId) -> None:
    beta = database.write_here(lambda db: make_org(db, "beta"))
    fill(database, acme, 0)
    fill(database, beta, 3)
    others = database.write_here(lambda db: owned(db, beta))
    assert {"ledger", "apps", "members", "series_totals", "cycle_totals", "org_totals", "orgs"} <= set(others)
    database.write_here(lambda db: delete_org(db, acme, UserId("somebody"), NOON_US))
    left = database.write_here(lambda db: owned(db, acme))
    assert {"members", "bodies", "integrations"}.isdisjoint(left)
    assert left["ledger"] == 3
    assert database.write_here(lambda db: purge_rows(db, acme)) == 3
    assert database.write_here(lambda db: purge_rows(db, acme)) == 0
    database.write_here(lambda db: purge_org(db, acme))
    assert database.write_here(lambda db: owned(db, acme)) == {}
    assert database.write_here(lambda db: owned(db, beta)) == others
    assert database.write_here(lambda db: since(db, 0)).complete


def test_rows_go_in_portions_the_oldest_first(database: Database, acme: OrgId) -> None:
    fill(database, acme, 0, rows=5)

    def turn(db: Connection) -> tuple[int, list[int]]:
        removed = purge_rows(db, acme, most=2)
        return removed, list(db.execute(select(ledger.c.seq).order_by(ledger.c.seq)).scalars())

    turns = [database.write_here(turn) for _ in range(4)]
    assert turns == [(2, [3, 4, 5]), (2, [5]), (1, []), (0, [])]


def test_the_deleted_are_listed_by_when_that_was(database: Database, acme: OrgId) -> None:
    beta = database.write_here(lambda db: make_org(db, "beta"))
    for org, at_us in ((beta, 1), (acme, 2)):
        database.write_here(partial(delete_org, org=org, by=UserId("u"), now_us=at_us))
    listed = [database.write_here(partial(list_deleted, upto_us=upto)) for upto in (0, 1, None)]
    assert listed == [[], [(beta, "beta")], [(beta, "beta"), (acme, "acme")]]
