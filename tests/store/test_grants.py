"""Grants: a balance is what was granted less what was spent, of one organisation."""

from functools import partial

import pytest
from sqlalchemy import Connection, update

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.ids import OrgId
from tollway.domain.money import Nano
from tollway.store.database import Database
from tollway.store.grants import add_grant, free_balance
from tollway.store.leases import lock_org
from tollway.store.schema import org_totals


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def grant(database: Database, org: OrgId, nano: int) -> None:
    database.write_here(lambda db: add_grant(db, org, Nano(nano), "a test", NOON_US))


def spend(database: Database, org: OrgId, nano: int) -> None:
    def work(db: Connection) -> None:
        lock_org(db, org)
        db.execute(update(org_totals).where(org_totals.c.org_id == org).values(trial_nano=nano))

    database.write_here(work)


def balance(database: Database, org: OrgId) -> Nano:
    return database.write_here(lambda db: free_balance(db, org))


def test_a_balance_is_granted_less_spent_and_may_be_below_0(database: Database, org: OrgId) -> None:
    assert balance(database, org) == 0
    for nano in (5_000_000_000, 1, -2):
        grant(database, org, nano)
    assert balance(database, org) == 4_999_999_999
    spend(database, org, 5_000_000_000)
    assert balance(database, org) == -1


def test_a_balance_of_large_grants_is_exact(database: Database, org: OrgId) -> None:
    for _ in range(4):
        grant(database, org, 2 * 10**18 + 1)
    assert balance(database, org) == 8 * 10**18 + 4


def test_one_organisations_grants_are_not_anothers(database: Database, org: OrgId) -> None:
    other = database.write_here(partial(make_org, name="other"))
    grant(database, other, 7)
    spend(database, other, 3)
    assert (balance(database, org), balance(database, other)) == (0, 4)
