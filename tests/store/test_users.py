"""Users and their tokens: hashes only, and permissions in the current organisation only."""

from functools import partial

import pytest
from sqlalchemy import Connection, select, update

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.errors import Conflict
from tollway.domain.ids import OrgId, UserId
from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.domain.token import digest
from tollway.store.database import Database
from tollway.store.members import add_member
from tollway.store.schema import orgs, users
from tollway.store.sign_in_schema import user_tokens
from tollway.store.users import create_user, enter_org, find_by_token, has_users, send_home

TOKEN = "a token of Ada's"


def make(db: Connection, email: str = "ada@example.com", token: str = TOKEN) -> UserId:
    return create_user(db, email=email, name="Ada", token=token, now_us=NOON_US)


def test_a_new_user_is_found_by_the_token_and_is_in_no_organisation(database: Database) -> None:
    assert not database.write_here(has_users)
    user = database.write_here(make)
    assert database.write_here(has_users)
    person = database.write_here(lambda db: find_by_token(db, digest(TOKEN), NOON_US))
    assert person is not None
    assert (person.id, person.email, person.name) == (user, "ada@example.com", "Ada")
    assert (person.org_id, person.permissions) == (None, frozenset())


def test_only_the_hash_of_a_token_is_stored(database: Database) -> None:
    database.write_here(make)
    row = database.write_here(lambda db: db.execute(select(user_tokens)).one())
    assert TOKEN not in str(row)
    assert (row.hash, row.token_end) == (digest(TOKEN), TOKEN[-4:])


def test_an_e_mail_is_one_users_and_a_refused_one_leaves_no_token(database: Database) -> None:
    database.write_here(make)

    def work(db: Connection) -> str:
        with pytest.raises(Conflict) as refused:
            make(db, token="another")
        return refused.value.code  # the transaction goes on

    assert database.write_here(work) == "email_taken"
    assert len(database.write_here(lambda db: db.execute(select(user_tokens)).all())) == 1
    assert database.write_here(lambda db: find_by_token(db, digest("another"), NOON_US)) is None


@pytest.mark.parametrize(
    ("values", "is_found"),
    [
        ({"expires_us": NOON_US + 1}, True),
        ({"expires_us": NOON_US}, False),
        ({"expires_us": NOON_US - 1}, False),
        ({"revoked_us": NOON_US}, False),
        ({"revoked_us": NOON_US + 1, "expires_us": NOON_US + 1}, False),
    ],
)
def test_a_token_that_expired_or_was_revoked_finds_nobody(
    database: Database, values: dict[str, int], is_found: bool
) -> None:
    database.write_here(make)
    database.write_here(lambda db: db.execute(update(user_tokens).values(values)))
    person = database.write_here(lambda db: find_by_token(db, digest(TOKEN), NOON_US))
    assert (person is not None) == is_found


def test_permissions_are_those_of_the_current_organisation(database: Database) -> None:
    user = database.write_here(make)
    first, second = (database.write_here(partial(make_org, name=name)) for name in ("one1", "two2"))

    def person_in(org: OrgId) -> frozenset[Permission]:
        database.write_here(lambda db: enter_org(db, user, org))
        person = database.write_here(lambda db: find_by_token(db, digest(TOKEN), NOON_US))
        assert person is not None
        assert person.org_id == org
        return person.permissions

    database.write_here(lambda db: add_member(db, first, user, EVERY_PERMISSION, NOON_US))
    database.write_here(lambda db: add_member(db, second, user, [Permission.VIEWER_APP], NOON_US))
    assert person_in(first) == EVERY_PERMISSION
    assert person_in(second) == {Permission.VIEWER_APP}


def test_who_is_not_a_member_of_the_current_organisation_is_in_none(database: Database) -> None:
    user = database.write_here(make)
    org = database.write_here(make_org)
    database.write_here(lambda db: enter_org(db, user, org))
    person = database.write_here(lambda db: find_by_token(db, digest(TOKEN), NOON_US))
    assert person is not None
    assert (person.org_id, person.permissions) == (None, frozenset())


def test_a_member_without_permissions_is_a_member(database: Database) -> None:
    user = database.write_here(make)
    org = database.write_here(make_org)
    database.write_here(lambda db: add_member(db, org, user, [], NOON_US))
    database.write_here(lambda db: enter_org(db, user, org))
    person = database.write_here(lambda db: find_by_token(db, digest(TOKEN), NOON_US))
    assert person is not None
    assert (person.org_id, person.permissions) == (org, frozenset())


def test_who_is_sent_home_is_in_their_own_organisation_and_the_others_stay(database: Database) -> None:
    def work(db: Connection) -> None:
        org, other = make_org(db, "shared"), make_org(db, "other")
        home = make_org(db, "home")
        db.execute(update(orgs).where(orgs.c.id == home).values(is_personal=True))
        ada, grace, eve = (make(db, f"{name}@example.com", f"{name}'s") for name in ("ada", "grace", "eve"))
        for user, entered in ((ada, org), (grace, org), (eve, other)):
            add_member(db, entered, user, [], NOON_US)
            enter_org(db, user, entered)
        add_member(db, home, ada, EVERY_PERMISSION, NOON_US)

        def current() -> dict[str, str | None]:
            rows = db.execute(select(users.c.id, users.c.current_org_id))
            return {row.id: row.current_org_id for row in rows}

        before = current()
        send_home(db, org, grace)
        assert current() == {**before, grace: None}
        send_home(db, org)
        assert current() == {**before, grace: None, ada: home}

    database.write_here(work)
