"""Roles in apps: one of each person in each app, and of their organisation only."""

import pytest
from sqlalchemy import select

from tests.world.clock import NOON_US
from tests.world.entries import make_app, make_org
from tollway.domain.ids import OrgId, UserId
from tollway.domain.role import Role
from tollway.store.apps_members import (
    find_role,
    forget_roles,
    list_app_members,
    put_app_member,
    remove_app_member,
)
from tollway.store.database import Database
from tollway.store.schema import orgs


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def test_a_role_is_of_one_app_and_the_last_one_counts(database: Database, org: OrgId) -> None:
    user = UserId(database.write_here(lambda db: db.execute(select(orgs.c.org_creator)).scalar_one()))
    app = database.write_here(lambda db: make_app(db, org))
    other = database.write_here(lambda db: make_app(db, org, "other"))
    stranger = database.write_here(lambda db: make_org(db, "stranger"))
    for role in (Role.ADMIN, Role.VIEWER):
        database.write_here(lambda db: put_app_member(db, org, app, user, role, NOON_US))  # noqa: B023 - called at once
    assert database.write_here(lambda db: find_role(db, org, app, user)) is Role.VIEWER
    assert database.write_here(lambda db: find_role(db, org, other, user)) is None
    assert database.write_here(lambda db: find_role(db, stranger, app, user)) is None
    (shown,) = database.write_here(lambda db: list_app_members(db, org, app))
    assert (shown.auth0_id, shown.permissions, shown.email) == (user, "viewer", "acme@example.com")
    assert not database.write_here(lambda db: remove_app_member(db, stranger, app, user))
    assert database.write_here(lambda db: remove_app_member(db, org, app, user))
    assert not database.write_here(lambda db: remove_app_member(db, org, app, user))
    database.write_here(lambda db: put_app_member(db, org, app, user, Role.EDITOR, NOON_US))
    database.write_here(lambda db: forget_roles(db, stranger, user))
    assert database.write_here(lambda db: find_role(db, org, app, user)) is Role.EDITOR
    database.write_here(lambda db: forget_roles(db, org, user))
    assert database.write_here(lambda db: find_role(db, org, app, user)) is None
