"""Keys: replaced by name, never by another's, and of one app and organisation only."""

import pytest
from sqlalchemy import select

from tests.world.clock import NOON_US
from tests.world.entries import make_app, make_org
from tollway.domain.caller import EVERY_KEY_PERMISSION, KeyPermission
from tollway.domain.ids import AppId, OrgId
from tollway.domain.token import Bearer, digest, mint
from tollway.store.apps import find_caller
from tollway.store.apps_keys import add_key, count_tokens, list_keys, replace_key, revoke_token
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.schema import app_keys


@pytest.fixture
def org(database: Database) -> OrgId:
    database.write_here(lambda db: identify(db, NOON_US))
    return database.write_here(make_org)


@pytest.fixture
def app(database: Database, org: OrgId) -> AppId:
    return database.write_here(lambda db: make_app(db, org))


def test_a_replaced_key_is_another_row_and_the_old_one_stays_revoked(
    database: Database, org: OrgId, app: AppId
) -> None:
    first = database.write_here(lambda db: add_key(db, org, app, mint(Bearer.APP), NOON_US))
    made = database.write_here(lambda db: replace_key(db, org, app, mint(Bearer.APP), now_us=NOON_US + 1))
    rows = database.write_here(
        lambda db: {row.id: row.revoked_us for row in db.execute(select(app_keys)).all()}
    )
    assert rows == {first: NOON_US + 1, made.id: None}
    assert made.permissions == EVERY_KEY_PERMISSION
    assert database.write_here(lambda db: list_keys(db, org, app)) == [made]


def test_keys_of_other_names_and_other_apps_stay(database: Database, org: OrgId, app: AppId) -> None:
    other = database.write_here(lambda db: make_app(db, org, "other"))
    for number, (owner, name) in enumerate([(app, None), (app, "a"), (app, "b"), (other, "a")]):
        key = mint(Bearer.APP)
        database.write_here(lambda db: replace_key(db, org, owner, key, name=name, now_us=NOON_US + number))  # noqa: B023 - called at once
    assert [key.name for key in database.write_here(lambda db: list_keys(db, org, app))] == [None, "a", "b"]
    assert database.write_here(lambda db: count_tokens(db, org, app, but="a")) == 1
    assert database.write_here(lambda db: count_tokens(db, org, app, but="c")) == 2


def test_a_view_says_what_the_key_is_for_and_when_it_ends(database: Database, org: OrgId, app: AppId) -> None:
    key = mint(Bearer.APP)
    made = database.write_here(
        lambda db: replace_key(
            db, org, app, key, name="a", permissions=[KeyPermission.LOGS], expires_us=NOON_US, now_us=1
        )
    )
    assert (made.is_expired(NOON_US - 1), made.is_expired(NOON_US)) == (False, True)
    caller, _ = database.write_here(lambda db: find_caller(db, digest(key), {}, NOON_US))
    assert caller is not None
    assert (caller.key_permissions, caller.expires_us) == (frozenset({KeyPermission.LOGS}), NOON_US)


def test_a_token_is_revoked_once_and_by_its_own_app_only(database: Database, org: OrgId, app: AppId) -> None:
    other_org = database.write_here(lambda db: make_org(db, "other"))
    other_app = database.write_here(lambda db: make_app(db, org, "other"))
    made = database.write_here(
        lambda db: replace_key(db, org, app, mint(Bearer.APP), name="a", now_us=NOON_US)
    )
    for owner, of_app in ((other_org, app), (org, other_app)):
        assert not database.write_here(lambda db: revoke_token(db, owner, of_app, made.id, NOON_US))  # noqa: B023 - as above
    assert database.write_here(lambda db: revoke_token(db, org, app, made.id, NOON_US))
    assert not database.write_here(lambda db: revoke_token(db, org, app, made.id, NOON_US))
