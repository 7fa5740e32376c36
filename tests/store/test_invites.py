"""Invites: one for an address in each organisation, found by the hash of its newest token only."""

import pytest
from sqlalchemy import Connection, select

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.ids import OrgId, UserId
from tollway.domain.invite import VALID_US, InviteStatus
from tollway.domain.role import Permissions, Role
from tollway.domain.token import digest
from tollway.store.database import Database
from tollway.store.invites import (
    Invite,
    answer_invite,
    find_by_hash,
    find_invite,
    list_pending,
    put_invite,
    withdraw_invite,
)
from tollway.store.people_schema import invites
from tollway.store.schema import orgs

ADA, GRACE = "ada@example.com", "grace@example.com"


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def put(
    db: Connection,
    org: OrgId,
    email: str = ADA,
    token: str = "a token",  # noqa: S107 - made up
    permissions: Permissions = Role.VIEWER.permissions,
    now_us: int = NOON_US,
) -> Invite:
    creator = UserId(db.execute(select(orgs.c.org_creator).where(orgs.c.id == org)).scalar_one())
    return put_invite(db, org, email=email, permissions=permissions, token=token, by=creator, now_us=now_us)


def test_of_a_token_only_the_hash_is_stored(database: Database, org: OrgId) -> None:
    made = database.write_here(lambda db: put(db, org, token="a token of Ada's"))
    row = database.write_here(lambda db: db.execute(select(invites)).one())
    assert "a token of Ada's" not in str(row)
    assert row.hash == digest("a token of Ada's")
    assert (made.status, made.expires_us) == (InviteStatus.PENDING, NOON_US + VALID_US)
    assert database.write_here(lambda db: find_by_hash(db, row.hash)) == made
    assert database.write_here(lambda db: find_by_hash(db, digest("another"))) is None


def test_who_is_invited_again_has_one_invite_whose_old_token_is_nobodys(
    database: Database, org: OrgId
) -> None:
    def work(db: Connection) -> None:
        first = put(db, org, token="first")
        answer_invite(db, org, first.id, InviteStatus.DECLINED, NOON_US + 1)
        second = put(db, org, token="second", permissions=Role.ADMIN.permissions, now_us=NOON_US + 2)
        assert (second.id, second.added_us) == (first.id, first.added_us)
        assert (second.status, second.expires_us) == (InviteStatus.PENDING, NOON_US + 2 + VALID_US)
        assert second.permissions == Role.ADMIN.permissions
        assert find_by_hash(db, digest("first")) is None
        assert find_by_hash(db, digest("second")) == second
        assert db.execute(select(invites.c.answered_us)).scalar_one() is None

    database.write_here(work)


def test_pending_are_those_that_nobody_answered_in_this_organisation(database: Database, org: OrgId) -> None:
    def work(db: Connection) -> None:
        other = make_org(db, "other")
        answered = put(db, org, "first@example.com", "1")
        ada, grace = put(db, org, ADA, "2"), put(db, org, GRACE, "3", now_us=NOON_US - 1)
        elsewhere = put(db, other, ADA, "4")
        answer_invite(db, org, answered.id, InviteStatus.ACCEPTED, NOON_US)
        assert list_pending(db, org) == [grace, ada]
        assert list_pending(db, other) == [elsewhere]
        assert find_invite(db, org, elsewhere.id) is None
        found = find_invite(db, org, answered.id)
        assert found is not None
        assert found.status is InviteStatus.ACCEPTED

    database.write_here(work)


def test_an_answer_and_a_withdrawal_are_of_one_organisations_invite(database: Database, org: OrgId) -> None:
    def work(db: Connection) -> None:
        other = make_org(db, "other")
        ada, grace = put(db, org, ADA, "1"), put(db, org, GRACE, "2")
        answer_invite(db, other, ada.id, InviteStatus.DECLINED, NOON_US)
        assert not withdraw_invite(db, other, ada.id)
        assert list_pending(db, org) == sorted([ada, grace], key=lambda each: each.id)
        answer_invite(db, org, grace.id, InviteStatus.ACCEPTED, NOON_US)
        assert not withdraw_invite(db, org, grace.id)
        assert withdraw_invite(db, org, ada.id)
        assert list_pending(db, org) == []
        assert find_by_hash(db, digest("1")) is None

    database.write_here(work)
