"""Members: of one organisation, with what they may do in it, and the organisations of one user."""

import pytest
from sqlalchemy import Connection, update

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.ids import OrgId, UserId
from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.domain.role import Role
from tollway.store.database import Database
from tollway.store.members import (
    Seats,
    add_member,
    count_members,
    find_member,
    list_access,
    list_members,
    lock_members,
    put_permissions,
    remove_member,
)
from tollway.store.schema import orgs
from tollway.store.users import create_user

ADMIN, VIEWER = EVERY_PERMISSION, Role.VIEWER.permissions


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def make(db: Connection, name: str, *among: OrgId) -> UserId:
    user = create_user(db, email=f"{name}@people.example.com", name=name, token=f"{name}'s", now_us=NOON_US)
    for number, org in enumerate(among):
        add_member(db, org, user, VIEWER, NOON_US + number)
    return user


def test_members_are_those_of_one_organisation_the_first_ones_first(database: Database, org: OrgId) -> None:
    def work(db: Connection) -> None:
        other = make_org(db, "other")
        grace, ada = make(db, "grace"), make(db, "ada", other)
        assert list_members(db, org) == []
        add_member(db, org, ada, ADMIN, NOON_US + 2)
        add_member(db, org, grace, [], NOON_US + 1)
        assert [(each.name, each.permissions) for each in list_members(db, org)] == [
            ("grace", frozenset()),
            ("ada", ADMIN),
        ]
        assert (count_members(db, org), count_members(db, other)) == (2, 1)
        found = find_member(db, org, grace)
        assert found is not None
        assert (found.email, found.added_us) == ("grace@people.example.com", NOON_US + 1)
        assert find_member(db, other, grace) is None

    database.write_here(work)


def test_a_change_and_a_removal_leave_others_and_other_organisations(database: Database, org: OrgId) -> None:
    def work(db: Connection) -> None:
        other = make_org(db, "other")
        grace, ada = make(db, "grace", org, other), make(db, "ada", org)
        put_permissions(db, org, grace, frozenset({Permission.ADMIN_ORG}))
        found = {each.user: each.permissions for each in list_members(db, org)}
        assert found == {grace: {Permission.ADMIN_ORG}, ada: VIEWER}
        assert [each.permissions for each in list_members(db, other)] == [VIEWER]
        remove_member(db, org, grace)
        assert [each.user for each in list_members(db, org)] == [ada]
        assert [each.user for each in list_members(db, other)] == [grace]

    database.write_here(work)


def test_whoever_locks_members_learns_what_bounds_them(database: Database, org: OrgId) -> None:
    def work(db: Connection) -> None:
        assert lock_members(db, org) == Seats(bought=None, tier="_INTERNAL_")
        db.execute(update(orgs).values(spaces_subscription_seats=3, subscription_tier=None))
        assert lock_members(db, org) == Seats(bought=3, tier=None)

    database.write_here(work)


def test_a_user_sees_the_organisations_they_are_in(database: Database, org: OrgId) -> None:
    def work(db: Connection) -> None:
        second, third = make_org(db, "second"), make_org(db, "third")
        grace = make(db, "grace", second, org)
        make(db, "ada", third)
        shown = {"org_display_name": "Second", "org_stripe_id": "cus_1", "billing_email": None}
        db.execute(update(orgs).where(orgs.c.id == second).values(**shown))
        found = list_access(db, grace)
        assert [each.org_id for each in found] == [second, org]
        assert [each.org_display_name for each in found] == ["Second", "acme"]
        assert [each.org_stripe_id for each in found] == ["cus_1", None]
        assert [each.billing_email for each in found] == ["", ""]
        assert {(each.auth0_id, each.full_name, each.permissions) for each in found} == {
            (grace, "grace", "viewer:app viewer:members")
        }
        assert list_access(db, grace, only=org) == found[1:]
        assert list_access(db, grace, only=third) == []
        db.execute(update(orgs).where(orgs.c.id == org).values(is_personal=True))
        assert [each.org_id for each in list_access(db, grace)] == [org, second]

    database.write_here(work)
