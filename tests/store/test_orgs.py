"""Organisations: a name is one organisation's, also when two ask for it at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, select, update

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.errors import Conflict
from tollway.domain.ids import OrgId, UserId, new_id
from tollway.domain.money import Nano
from tollway.domain.payment import SpendingLimits
from tollway.store.database import Database
from tollway.store.orgs import (
    OrgChange,
    change_org,
    create_org,
    delete_org,
    find_state,
    is_name_taken,
    is_personal,
    put_spending_limits,
    spending_limits,
    touch_org,
)
from tollway.store.schema import orgs, users


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def make_named(db: Connection, name: str) -> str:
    creator = UserId(db.execute(select(users.c.id)).scalars().first() or "")
    try:
        create_org(
            db,
            OrgId(new_id(NOON_US)),
            org_name=name,
            display_name=None,
            billing_email=None,
            creator=creator,
            tier="_INTERNAL_",
            now_us=NOON_US,
        )
    except Conflict as error:
        return error.code
    return "made"


def test_a_name_that_is_taken_is_a_conflict_and_the_transaction_goes_on(database: Database) -> None:
    database.write_here(make_org)

    def work(db: Connection) -> tuple[str, str]:
        return make_named(db, "acme"), make_named(db, "other")

    assert database.write_here(work) == ("org_name_taken", "made")
    names = database.write_here(lambda db: set(db.execute(select(orgs.c.org_name)).scalars()))
    assert names == {"acme", "other"}


def test_of_several_who_want_a_name_at_once_one_gets_it(database: Database) -> None:
    database.write_here(make_org)
    with ThreadPoolExecutor(6) as threads:
        ends = list(threads.map(lambda _: database.write_here(lambda db: make_named(db, "wanted")), range(6)))
    assert sorted(ends) == ["made", *["org_name_taken"] * 5]


@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.parametrize("status", [None, "active", "unpaid"])
def test_what_an_organisation_may_do_now_is_read(
    database: Database, is_active: bool, status: str | None
) -> None:
    org = database.write_here(make_org)
    values = {"is_active": is_active, "spaces_subscription_status": status}
    database.write_here(lambda db: db.execute(update(orgs).values(**values)))
    state = database.write_here(lambda db: find_state(db, org))
    assert (state.is_active, state.has_unpaid_seats) == (is_active, status == "unpaid")


def test_touching_one_organisation_leaves_the_others(database: Database) -> None:
    org = database.write_here(make_org)
    other = database.write_here(lambda db: make_org(db, "other"))
    database.write_here(lambda db: touch_org(db, org, NOON_US + 1))
    rows = database.write_here(lambda db: db.execute(select(orgs.c.id, orgs.c.modified_us)).all())
    assert {tuple(row) for row in rows} == {(org, NOON_US + 1), (other, NOON_US)}


def test_spending_limits_are_stored_whole_and_none_is_null(database: Database, org: OrgId) -> None:
    other = database.write_here(lambda db: make_org(db, "other"))
    assert database.write_here(lambda db: spending_limits(db, org)) == SpendingLimits()
    wanted = SpendingLimits(soft=Nano(1), hard=Nano(10**18), near_limit="shorten")
    database.write_here(lambda db: put_spending_limits(db, org, wanted, NOON_US + 1))
    assert database.write_here(lambda db: spending_limits(db, org)) == wanted
    assert database.write_here(lambda db: spending_limits(db, other)) == SpendingLimits()
    database.write_here(lambda db: put_spending_limits(db, org, SpendingLimits(), NOON_US + 2))
    columns = select(
        orgs.c.spending_limit_soft_nano,
        orgs.c.spending_limit_hard_nano,
        orgs.c.near_limit,
        orgs.c.modified_us,
    )
    row = database.write_here(lambda db: db.execute(columns.where(orgs.c.id == org)).one())
    assert tuple(row) == (None, None, "refuse", NOON_US + 2)


def test_a_change_stores_what_it_names_in_one_organisation(database: Database, org: OrgId) -> None:
    other = database.write_here(lambda db: make_org(db, "other"))
    change = OrgChange(rate_limit=7, subscription_tier=None, max_in_flight=3)
    assert database.write_here(lambda db: change_org(db, org, change, NOON_US + 1))
    columns = select(
        orgs.c.rate_limit,
        orgs.c.subscription_tier,
        orgs.c.max_in_flight,
        orgs.c.is_active,
        orgs.c.modified_us,
    )

    def row(of: OrgId) -> tuple[object, ...]:
        return tuple(database.write_here(lambda db: db.execute(columns.where(orgs.c.id == of)).one()))

    assert row(org) == (7, None, 3, True, NOON_US + 1)
    assert row(other) == (200, "_INTERNAL_", None, True, NOON_US)
    assert not database.write_here(lambda db: change_org(db, OrgId("nobody"), change, NOON_US))


def test_a_deleted_organisation_keeps_its_name_and_cannot_be_changed_any_more(
    database: Database, org: OrgId
) -> None:
    other = database.write_here(lambda db: make_org(db, "other"))
    assert not database.write_here(lambda db: is_personal(db, org))
    database.write_here(lambda db: delete_org(db, org, UserId("somebody"), NOON_US + 1))
    assert database.write_here(lambda db: [is_name_taken(db, name) for name in ("acme", "free")]) == [
        True,
        False,
    ]
    assert not database.write_here(lambda db: find_state(db, org)).is_active
    assert not database.write_here(lambda db: change_org(db, org, OrgChange(is_active=True), NOON_US + 2))
    assert not database.write_here(lambda db: find_state(db, org)).is_active
    assert database.write_here(lambda db: find_state(db, other)).is_active
