"""Models that are off: of one app only, twice is once, and on again."""

import pytest

from tests.world.clock import NOON_US
from tests.world.entries import make_app, make_org
from tollway.domain.ids import AppId, OrgId
from tollway.store.apps_models import list_models_off, switch_model
from tollway.store.database import Database


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def test_a_model_is_off_for_its_app_until_it_is_on_again(database: Database, org: OrgId) -> None:
    app = database.write_here(lambda db: make_app(db, org, "a"))
    other = database.write_here(lambda db: make_app(db, org, "b"))

    def off(of: AppId = app, by: OrgId = org) -> list[str]:
        return database.write_here(lambda db: list_models_off(db, by, of))

    for model in ("v/two", "v/one", "v/two"):
        database.write_here(lambda db: switch_model(db, org, app, model, is_on=False, now_us=NOON_US))  # noqa: B023 - called at once
    assert off() == ["v/one", "v/two"]
    assert off(other) == []
    stranger = database.write_here(lambda db: make_org(db, "stranger"))
    assert off(app, stranger) == []
    database.write_here(lambda db: switch_model(db, stranger, app, "v/one", is_on=True, now_us=NOON_US))
    database.write_here(lambda db: switch_model(db, org, app, "v/two", is_on=True, now_us=NOON_US))
    database.write_here(lambda db: switch_model(db, org, app, "v/two", is_on=True, now_us=NOON_US))
    assert off() == ["v/one"]
