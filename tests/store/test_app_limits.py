"""Limits of apps and keys: changed where they belong, and nowhere else."""

from functools import partial

import pytest
from sqlalchemy import Connection, select, update

from tests.world.clock import NOON_US
from tests.world.entries import make_app, make_org
from tollway.domain.ids import AppId, KeyId, OrgId, new_id
from tollway.domain.money import Nano
from tollway.store.app_limits import (
    AppLimits,
    KeyLimits,
    LimitsChange,
    app_limits,
    change_app_limits,
    change_key_limits,
)
from tollway.store.apps import revoke_app
from tollway.store.apps_keys import add_key
from tollway.store.database import Database
from tollway.store.schema import app_keys, apps

ALL = LimitsChange(rate_limit=1, tokens_per_minute=10**15, spending_limit_nano=Nano(10**18))


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def app_with_key(db: Connection, org: OrgId, key: str) -> tuple[AppId, KeyId]:
    app = make_app(db, org)
    return app, add_key(db, org, app, key, NOON_US)


def shown(database: Database, org: OrgId, app: AppId) -> AppLimits | None:
    return database.write_here(lambda db: app_limits(db, org, app))


def limit_app(
    database: Database, org: OrgId, app: AppId, change: LimitsChange, now_us: int = NOON_US
) -> bool:
    return database.write_here(lambda db: change_app_limits(db, org, app, change, now_us))


def limit_key(database: Database, org: OrgId, app: AppId, key: KeyId, change: LimitsChange) -> bool:
    return database.write_here(lambda db: change_key_limits(db, org, app, key, change))


def test_a_new_app_and_its_key_have_no_limits(database: Database, org: OrgId) -> None:
    app, key = database.write_here(lambda db: app_with_key(db, org, "key-of-app-1234"))
    none = {"rate_limit": None, "tokens_per_minute": None, "spending_limit": None}
    key_limits = KeyLimits(id=key, key_end="1234", **none)
    assert shown(database, org, app) == AppLimits(id=app, keys=[key_limits], **none)


def test_what_a_change_does_not_name_stays_and_none_takes_a_limit_away(
    database: Database, org: OrgId
) -> None:
    app, key = database.write_here(lambda db: app_with_key(db, org, "a-key"))
    for limit in (partial(limit_app, database, org, app), partial(limit_key, database, org, app, key)):
        assert limit(ALL)
        assert limit(LimitsChange(rate_limit=2))
        assert limit(LimitsChange(tokens_per_minute=None))
        assert limit(LimitsChange())
    found = shown(database, org, app)
    assert found is not None
    for limits in (found, *found.keys):
        assert (limits.rate_limit, limits.tokens_per_minute, limits.spending_limit) == (2, None, 10**18)


def test_a_change_of_one_reaches_no_other(database: Database, org: OrgId) -> None:
    def make(db: Connection) -> tuple[AppId, KeyId, AppId, KeyId, KeyId]:
        app, key = app_with_key(db, org, "a-key")
        beside = add_key(db, org, app, "another key", NOON_US + 1)
        return app, key, *app_with_key(db, org, "the key of another app"), beside

    app, key, other, other_key, beside = database.write_here(make)
    assert limit_app(database, org, app, LimitsChange(rate_limit=5))
    assert limit_key(database, org, app, key, LimitsChange(rate_limit=3))
    assert not limit_key(database, org, app, other_key, ALL)
    found, elsewhere = shown(database, org, app), shown(database, org, other)
    assert found is not None
    assert elsewhere is not None
    assert (found.rate_limit, [(each.id, each.rate_limit) for each in found.keys]) == (
        5,
        [(key, 3), (beside, None)],
    )
    assert (elsewhere.rate_limit, [each.rate_limit for each in elsewhere.keys]) == (None, [None])


def test_another_organisations_app_and_key_are_not_there(database: Database, org: OrgId) -> None:
    app, key = database.write_here(lambda db: app_with_key(db, org, "a-key"))
    other = database.write_here(partial(make_org, name="other"))
    assert shown(database, other, app) is None
    assert not limit_app(database, other, app, ALL)
    assert not limit_key(database, other, app, key, ALL)
    assert shown(database, org, AppId(new_id(NOON_US))) is None
    found = shown(database, org, app)
    assert found is not None
    assert [found.rate_limit, found.keys[0].rate_limit] == [None, None]


def test_what_is_revoked_is_neither_shown_nor_changed(database: Database, org: OrgId) -> None:
    app, key = database.write_here(lambda db: app_with_key(db, org, "a-key"))
    revoking = update(app_keys).values(revoked_us=NOON_US)
    database.write_here(lambda db: db.execute(revoking))
    assert not limit_key(database, org, app, key, ALL)
    found = shown(database, org, app)
    assert found is not None
    assert found.keys == []
    database.write_here(lambda db: revoke_app(db, org, app, NOON_US))
    assert shown(database, org, app) is None
    assert not limit_app(database, org, app, ALL)


def test_a_changed_app_says_when(database: Database, org: OrgId) -> None:
    app, _ = database.write_here(lambda db: app_with_key(db, org, "a-key"))
    limit_app(database, org, app, ALL, NOON_US + 9)
    when = select(apps.c.modified_us).where(apps.c.id == app)
    assert database.write_here(lambda db: db.execute(when).scalar_one()) == NOON_US + 9
