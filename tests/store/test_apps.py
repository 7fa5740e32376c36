"""Apps and keys: slugs of their own, hashes only, and a view that is true at a known position."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Connection, select, update

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.errors import StoreRefused
from tollway.domain.ids import AppId, OrgId, UserId
from tollway.domain.token import Bearer, digest, mint
from tollway.store.apps import create_app, find_caller, revoke_app
from tollway.store.apps_keys import add_key
from tollway.store.changes import announce
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.schema import app_keys, apps, orgs

KEY = mint(Bearer.APP)


@pytest.fixture
def org(database: Database) -> OrgId:
    database.write_here(lambda db: identify(db, NOON_US))
    return database.write_here(make_org)


def make(db: Connection, org: OrgId, slug: str = "my-app", benchmark: str | None = None) -> AppId:
    creator = db.execute(select(orgs.c.org_creator).where(orgs.c.id == org)).scalar_one()
    return create_app(
        db,
        org,
        slug=slug,
        name="My app",
        description="What it does",
        logo=None,
        benchmark_model=benchmark,
        creator=UserId(creator),
        now_us=NOON_US,
    )


def slugs(database: Database, org: OrgId) -> list[str]:
    found = select(apps.c.slug).where(apps.c.org_id == org).order_by(apps.c.slug)
    return database.write_here(lambda db: list(db.execute(found).scalars()))


def test_a_slug_that_is_taken_gets_a_number_in_its_organisation_only(database: Database, org: OrgId) -> None:
    other = database.write_here(lambda db: make_org(db, "other"))
    for owner in (org, org, org, other):
        database.write_here(partial(make, org=owner))
    assert slugs(database, org) == ["my-app", "my-app-2", "my-app-3"]
    assert slugs(database, other) == ["my-app"]


def test_apps_of_one_name_made_at_once_get_slugs_of_their_own(database: Database, org: OrgId) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: database.write_here(lambda db: make(db, org)), range(6)))
    assert slugs(database, org) == ["my-app", *(f"my-app-{number}" for number in range(2, 7))]


def test_a_key_is_found_by_its_hash_and_only_that_is_stored(database: Database, org: OrgId) -> None:
    app = database.write_here(lambda db: make(db, org, benchmark="demo/large"))
    key = database.write_here(lambda db: add_key(db, org, app, KEY, NOON_US))
    caller, at = database.write_here(lambda db: find_caller(db, digest(KEY), {}, NOON_US))
    assert caller is not None
    assert (caller.org_id, caller.org, caller.app_id, caller.app) == (org, "acme", app, "my-app")
    assert (caller.key_id, caller.benchmark_model, at) == (key, "demo/large", 0)
    assert caller.org_is_active
    assert caller.app_is_active
    assert caller.key_is_active
    row = database.write_here(lambda db: db.execute(select(app_keys)).one())
    assert KEY not in str(row)
    assert row.key_end == KEY[-4:]


def test_nobody_has_an_unknown_key_and_the_position_is_told_all_the_same(
    database: Database, org: OrgId
) -> None:
    database.write_here(lambda db: announce(db, org, NOON_US))
    assert database.write_here(lambda db: find_caller(db, digest(KEY), {}, NOON_US)) == (None, 1)


def test_without_a_benchmark_of_its_own_an_app_has_its_organisations(database: Database, org: OrgId) -> None:
    app = database.write_here(lambda db: make(db, org))
    database.write_here(lambda db: add_key(db, org, app, KEY, NOON_US))
    database.write_here(lambda db: db.execute(update(orgs).values(benchmark_model="demo/org")))
    caller, _ = database.write_here(lambda db: find_caller(db, digest(KEY), {}, NOON_US))
    assert caller is not None
    assert caller.benchmark_model == "demo/org"


def test_what_was_switched_off_is_seen(database: Database, org: OrgId) -> None:
    app = database.write_here(lambda db: make(db, org))
    database.write_here(lambda db: add_key(db, org, app, KEY, NOON_US))

    def work(db: Connection) -> None:
        assert revoke_app(db, org, app, NOON_US)
        db.execute(update(app_keys).values(revoked_us=NOON_US))
        db.execute(update(orgs).values(is_active=False))

    database.write_here(work)
    caller, _ = database.write_here(lambda db: find_caller(db, digest(KEY), {}, NOON_US))
    assert caller is not None
    assert (caller.app_is_active, caller.key_is_active, caller.org_is_active) == (False, False, False)


def test_an_app_is_revoked_once_and_by_its_own_organisation_only(database: Database, org: OrgId) -> None:
    app = database.write_here(lambda db: make(db, org))
    other = database.write_here(lambda db: make_org(db, "other"))
    assert not database.write_here(lambda db: revoke_app(db, other, app, NOON_US))
    assert database.write_here(lambda db: revoke_app(db, org, app, NOON_US + 1))
    assert not database.write_here(lambda db: revoke_app(db, org, app, NOON_US + 2))
    row = database.write_here(lambda db: db.execute(select(apps)).one())
    assert (row.is_active, row.modified_us) == (False, NOON_US + 1)


def test_a_key_of_an_organisation_that_is_not_there_is_refused(database: Database, org: OrgId) -> None:
    app = database.write_here(lambda db: make(db, org))
    with pytest.raises(StoreRefused):
        database.write_here(lambda db: add_key(db, OrgId("nobody"), app, KEY, NOON_US))
