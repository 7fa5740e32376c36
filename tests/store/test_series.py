"""Series are bounded: what comes after the last place is counted with others, and nothing is lost."""

import pytest

from tests.control.audited import audited, priced
from tests.control.audited import folded as folded_with_prices
from tests.store.folds import check, folded, numbered, series_of
from tests.world.clock import NOON_US
from tests.world.entries import ORG, entry, make_org
from tollway.domain.ids import JournalId, OrgId, RequestId, new_id
from tollway.domain.ledger import Entry
from tollway.domain.series import MAX_PLACES, OTHER, Metric, Place, place_of
from tollway.store.database import Database


def call(model: str, **changes: object) -> Entry:
    """A call of its own."""
    return entry(request_id=RequestId(new_id(NOON_US)), model=f"vendor/{model}", provider="vendor", **changes)


def calls(first: int, count: int, app: str = "app") -> list[Entry]:
    """One call of each of so many models."""
    return [call(str(first + number), app=app) for number in range(count)]


def places(database: Database, org: OrgId = ORG) -> dict[Place, int]:
    """How many requests are counted where."""
    return {
        (app, model, provider): value
        for (app, model, provider, metric, _), value in series_of(database, org).items()
        if metric == Metric.REQUESTS
    }


def test_models_beyond_the_bound_are_counted_together_and_those_before_go_on(database: Database) -> None:
    folded(database, numbered(calls(0, MAX_PLACES - 1)))
    folded(database, numbered(calls(MAX_PLACES - 1, 3)), JournalId(new_id(NOON_US)))
    folded(database, numbered(calls(0, MAX_PLACES + 5)), JournalId(new_id(NOON_US)))
    found = places(database)
    assert len(found) == MAX_PLACES + 1
    assert found.pop(("app", OTHER, OTHER)) == 2 + 5
    assert set(found.values()) == {2}
    check(database)


def test_from_twice_the_bound_on_apps_are_counted_together_too(database: Database) -> None:
    folded(database, numbered(calls(0, MAX_PLACES)))
    made = [each for app in range(MAX_PLACES + 2) for each in calls(0, 1, f"app-{app}")]
    folded(database, numbered(made), JournalId(new_id(NOON_US)))
    found = places(database)
    assert len(found) == 2 * MAX_PLACES + 1
    assert found["", OTHER, OTHER] == 2
    folded(database, numbered(calls(7, 1, "app-0")), JournalId(new_id(NOON_US)))
    assert places(database)["app-0", OTHER, OTHER] == 2
    check(database)


def test_each_organisation_has_a_bound_of_its_own(database: Database) -> None:
    folded(database, numbered(calls(0, MAX_PLACES + 1)))
    other = OrgId("org-of-others")
    folded(database, numbered([call("new", org_id=other)]), JournalId(new_id(NOON_US)))
    assert {model for _, model, _ in places(database, other)} == {"vendor/new"}


async def test_an_audit_finds_no_difference(database: Database) -> None:
    org = database.write_here(make_org)
    made = [priced(org, f"request-{number}", model=f"vendor/{number}") for number in range(MAX_PLACES + 3)]
    folded_with_prices(database, made)
    checks = await audited(database, org)
    assert [check.num_differences for check in checks.values()] == [0]


@pytest.mark.parametrize(
    ("place", "stored", "found"),
    [
        (("a", "m", "v"), set(), ("a", "m", "v")),
        (("a", "m", "v"), {("a", "m", "v"), ("a", OTHER, OTHER)}, ("a", "m", "v")),
        (("a", "m", "v"), {("a", OTHER, OTHER), ("", OTHER, OTHER)}, ("a", OTHER, OTHER)),
        (("a", "m", "v"), {("", OTHER, OTHER)}, ("", OTHER, OTHER)),
        (("a", "", ""), {("", "", ""), ("", OTHER, OTHER)}, ("", "", "")),
    ],
)
def test_a_place_is_counted_as_itself_or_with_the_others_that_there_are(
    place: Place, stored: set[Place], found: Place
) -> None:
    assert place_of(place, stored) == found
