"""Sums from hours and from rows are the same, and of one organisation."""

import pytest

from tests.store.folds import folded, numbered
from tests.world.clock import NOON_US
from tests.world.entries import ORG, entry, make_app, make_org
from tollway.domain.graph import HOUR_US, INTERVALS, Metric
from tollway.domain.ids import AppId, OrgId
from tollway.store.database import Database
from tollway.store.stats import Group, Span, names_of, sum_hours, sum_rows, top_groups

HOUR = INTERVALS["hour"]
SPAN = Span(from_us=NOON_US, to_us=NOON_US + HOUR_US)
BY_TEAM = Group(by="label", label="team")


def test_hours_are_the_sums_of_their_rows(database: Database) -> None:
    rows = [entry(labels={"team": team}, ended_us=NOON_US + at) for at, team in enumerate("aab")]
    folded(database, numbered([*rows, entry(org_id=OrgId("other"), labels={"team": "a"})]))
    write = database.write_here
    of_rows = write(lambda db: sum_rows(db, ORG, SPAN, HOUR, BY_TEAM))
    assert {name: amounts.requests for (_, name), amounts in of_rows.items()} == {"a": 2, "b": 1}
    assert write(lambda db: sum_hours(db, ORG, SPAN, HOUR, BY_TEAM, ["a", "b"])) == of_rows
    assert write(lambda db: sum_hours(db, ORG, SPAN, HOUR)) == write(lambda db: sum_rows(db, ORG, SPAN, HOUR))
    empty = Span(from_us=NOON_US, to_us=NOON_US)
    assert write(lambda db: sum_rows(db, ORG, empty, HOUR)) == {}
    assert write(lambda db: sum_hours(db, ORG, empty, HOUR)) == {}
    others = Span(from_us=NOON_US, to_us=NOON_US + HOUR_US, app_ids=(AppId("app-2"),))
    assert write(lambda db: sum_rows(db, ORG, others, HOUR)) == {}
    assert write(lambda db: sum_hours(db, ORG, others, HOUR)) == {}


@pytest.mark.parametrize("metric", ["requests", "tokens", "cost", "savings", "latency"])
def test_groups_with_most_come_first(database: Database, metric: Metric) -> None:
    rows = [entry(labels={"team": team}) for team in "baab"] + [entry(labels={"team": "b"})]
    folded(database, numbered(rows))
    found = database.write_here(lambda db: top_groups(db, ORG, SPAN, BY_TEAM, metric, 1))
    assert found == (["a"] if metric == "savings" else ["b"])


def test_apps_are_known_by_their_names_in_their_own_organisation(database: Database) -> None:
    write = database.write_here
    org, other = write(make_org), write(lambda db: make_org(db, "other"))
    app = write(lambda db: make_app(db, org, "front"))
    assert write(lambda db: names_of(db, org, Group(by="app"), [app])) == {app: "front"}
    assert write(lambda db: names_of(db, other, Group(by="app"), [app])) == {app: app}
    assert write(lambda db: names_of(db, org, BY_TEAM, ["x"])) == {"x": "x"}
