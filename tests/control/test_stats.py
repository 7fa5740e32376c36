"""Graphs: every point is the sum of its rows, whatever they are told apart by."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.folds import folded, numbered
from tests.world.clock import NOON_US
from tests.world.entries import cost, entry, lost
from tollway.control import stats
from tollway.control.stats import Graphs, Wanted
from tollway.domain.caller import Person
from tollway.domain.errors import Invalid
from tollway.domain.graph import HOUR_US, INTERVALS, METRICS, NOTHING, Amounts, Interval
from tollway.domain.ids import AppId, JournalId, OrgId, UserId
from tollway.domain.ledger import Entry
from tollway.domain.org import EVERY_PERMISSION
from tollway.store.database import Database
from tollway.store.facets import amounts_of
from tollway.store.stats import Group

_NUMBERS = count()
APPS = [AppId("app-1"), AppId("app-2")]


def drawn(database: Database, org: OrgId, wanted: Wanted) -> Graphs:
    reader = Person(id=UserId("u"), email="", name="", org_id=org, permissions=EVERY_PERMISSION)
    return database.write_here(lambda db: stats.draw(db, reader, wanted))


def wanted(**changes: Any) -> Wanted:  # noqa: ANN401 - any of its fields
    plain: dict[str, Any] = {
        "from_us": NOON_US,
        "to_us": NOON_US + 3 * HOUR_US,
        "interval": INTERVALS["hour"],
        "metrics": METRICS,
    }
    return Wanted(**plain | changes)


def group_in(row: Entry, group: Group) -> str | None:
    own = {"app": row.app_id, "key": row.key_id, "model": row.model, "user": row.end_user}
    return row.labels.get(group.label) if group.by == "label" else own[group.by]


def amounts_in(row: Entry) -> Amounts:
    return Amounts(*amounts_of(row))


made = st.builds(
    entry,
    app_id=st.sampled_from(APPS),
    model=st.sampled_from(["demo/small", "demo/large"]),
    labels=st.dictionaries(st.sampled_from(['a"b', "c"]), st.sampled_from("xyz"), max_size=2),
    end_user=st.sampled_from([None, "ann", "bob"]),
    cost=st.builds(cost, st.integers(0, 9), st.integers(0, 10**15)),
    benchmark=st.none() | st.just(cost(10**12, 5)),
    ended_us=st.integers(NOON_US - HOUR_US, NOON_US + 26 * HOUR_US),
)
rows = st.lists(made | made.map(lost), min_size=1, max_size=12)
groups = st.sampled_from(
    [
        Group(by="app"),
        Group(by="key"),
        Group(by="model"),
        Group(by="user"),
        Group(by="label", label='a"b'),
        Group(by="label", label="c"),
    ]
)
intervals = st.sampled_from(
    [*INTERVALS.values(), Interval(5_400_000_000), Interval(7 * HOUR_US), Interval(90_000_000)]
)


@given(
    rows,
    st.none() | groups,
    intervals,
    st.integers(NOON_US - 2 * HOUR_US, NOON_US + 2 * HOUR_US),
    st.integers(1, 24 * HOUR_US),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_point_is_the_sum_of_its_rows(
    database: Database,
    entries: Sequence[Entry],
    group: Group | None,
    interval: Interval,
    from_us: int,
    length_us: int,
) -> None:
    org = OrgId(f"org-{next(_NUMBERS)}")
    mine = [
        entry(
            **{
                name: getattr(row, name)
                for name in row.__struct_fields__
                if name not in ("request_id", "org_id")
            },
            org_id=org,
        )
        for row in entries
    ]
    folded(database, numbered(mine), JournalId(org))
    if not interval.is_of_hours and interval.width_us == 90_000_000:
        length_us = min(length_us, 20 * HOUR_US)
    request = wanted(from_us=from_us, to_us=from_us + length_us, interval=interval, group=group, num_groups=2)
    found = drawn(database, org, request)

    expected: dict[tuple[str | None, int], Amounts] = {}
    for row in mine:
        if from_us <= row.ended_us < from_us + length_us:
            name = None if group is None else group_in(row, group)
            at = found.starts.index(interval.start_of(row.ended_us))
            expected[name, at] = expected.get((name, at), NOTHING).plus(amounts_in(row))
    named = {graph.group for graph in found.series if graph.group is not None}
    for graph in found.series:
        for at, value in enumerate(graph.values):
            total = NOTHING
            for (name, where), amounts in expected.items():
                if where == at and (name == graph.group if graph.group else name not in named):
                    total = total.plus(amounts)
            assert value == total.of(graph.metric)
    drawn_names = {name for name, _ in expected if name is not None} if group else set()
    assert len(named) == min(2, len(drawn_names))


def test_a_cumulative_series_is_of_all_so_far(database: Database) -> None:
    org = OrgId("org")
    folded(database, numbered([entry(org_id=org, ended_us=NOON_US + at * HOUR_US) for at in (0, 2, 2)]))
    request = wanted(metrics=["requests", "latency"], cumulative={"requests": True, "latency": True})
    requests, latency = drawn(database, org, request).series
    assert (requests.values, requests.total, requests.max) == ([1, 1, 3], 3, 3)
    assert latency.values == [1_000.0, 1_000.0, (1_000 + 2 * 7_201_000) / 3]


def test_without_rows_every_point_is_0_and_latency_is_not_known(database: Database) -> None:
    series = drawn(database, OrgId("org"), wanted(interval=INTERVALS["day"])).series
    assert [(graph.values, graph.total, graph.max) for graph in series] == [
        *[([0], 0, 0)] * 4,
        ([None], None, None),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"interval": INTERVALS["minute"], "to_us": NOON_US + 49 * HOUR_US},
        {"interval": INTERVALS["hour"], "to_us": NOON_US + 1_501 * HOUR_US},
        {"interval": INTERVALS["hour"], "from_us": 0},
        {"interval": Interval(1_000_000)},
        {"interval": INTERVALS["hour"], "to_us": NOON_US + 1_000 * HOUR_US, "group": Group(by="app")},
    ],
)
def test_too_many_points_are_refused(database: Database, changes: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as told:
        drawn(database, OrgId("org"), wanted(**changes))
    assert told.value.faults[0].loc == ("body", "interval")
