"""The dashboard that organisations import: well-formed, and made of what is exported."""

import json
import re
from itertools import combinations

import pytest

from tests.deploy.dashboard import DASHBOARD, ROOT, Panel, Target, read_dashboard, variables_in
from tests.deploy.exported import VALUES, assert_exists, labels_left, metric_of
from tests.deploy.promql import read_log_query, read_query
from tests.world.stage import Stage
from tollway.push.samples import JOB, METADATA

BOARD = read_dashboard()
TEXT = DASHBOARD.read_text("utf-8")
QUERIES = BOARD.queries()
COLUMNS = 24
UNITS = {"currencyUSD", "percentunit", "short", "reqpm", "s"}
BUILT_IN = {"__range", "__rate_interval"}

each_panel = pytest.mark.parametrize("panel", BOARD.panels, ids=lambda panel: panel.title)
each_query = pytest.mark.parametrize(
    ("panel", "target"), QUERIES, ids=[f"{panel.title}-{target.ref_id}" for panel, target in QUERIES]
)


def metric_query(variable: str) -> str:
    """The series whose labels a variable offers."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", BOARD.variables[variable].query)
    assert found
    assert found[2] == variable
    return found[1]


def test_a_panel_has_a_number_and_a_title_that_no_other_has() -> None:
    assert len({panel.id for panel in BOARD.panels}) == len(BOARD.panels) > 0
    assert len({panel.title for panel in BOARD.panels}) == len(BOARD.panels)


def test_no_panel_covers_another_or_leaves_the_grid() -> None:
    for panel in BOARD.panels:
        place = panel.grid_pos
        assert min(place.x, place.y) >= 0 < min(place.w, place.h)
        assert place.x + place.w <= COLUMNS
    for one, other in combinations(BOARD.panels, 2):
        a, b = one.grid_pos, other.grid_pos
        beside = a.x + a.w <= b.x or b.x + b.w <= a.x
        below = a.y + a.h <= b.y or b.y + b.h <= a.y
        assert beside or below, f"{one.title} and {other.title} overlap"


@each_panel
def test_a_panel_asks_the_chosen_datasource_and_has_a_unit(panel: Panel) -> None:
    variable = {"prometheus": "metrics", "loki": "logs"}[panel.datasource.type]
    assert panel.datasource.uid == f"${{{variable}}}"
    assert BOARD.variables[variable].query == panel.datasource.type
    assert panel.targets
    assert len({target.ref_id for target in panel.targets}) == len(panel.targets)
    if panel.type != "logs":
        assert panel.field_config["defaults"]["unit"] in UNITS


@each_query
def test_a_query_names_what_is_exported(panel: Panel, target: Target) -> None:
    query = read_query(target.expr)
    assert_exists(query)
    for selector in query.selectors:
        assert ("org", "=", "$org") in selector.matchers, "another organisation's series would be shown"
    shown = set(re.findall(r"{{(\w+)}}", target.legend_format))
    assert shown <= labels_left(query)
    assert panel.type != "timeseries" or target.legend_format


@each_query
def test_a_counter_is_shown_as_a_rate_or_an_increase(panel: Panel, target: Target) -> None:
    for metric, _ in read_query(target.expr).selectors:
        counts = METADATA[metric_of(metric)].type != "gauge"
        ranged = bool(
            re.search(rf"(rate|increase)\({metric}{{[^}}]*}}\[\$__(range|rate_interval)\]\)", target.expr)
        )
        assert counts == ranged, panel.title


def test_each_exported_metric_is_shown() -> None:
    shown = {metric_of(metric) for _, target in QUERIES for metric, _ in read_query(target.expr).selectors}
    assert shown == set(METADATA)
    assert {metric_of(name) for name in VALUES} == set(METADATA)


def test_each_variable_is_used_and_none_is_unknown() -> None:
    asked = [target.expr for _, target in [*QUERIES, *BOARD.queries("loki")]]
    asked += [metric_query(name) for name, found in BOARD.variables.items() if found.type == "query"]
    used = set().union(*map(variables_in, asked)) - BUILT_IN
    used |= set(re.findall(r'"uid": "\$\{(\w+)\}"', TEXT))
    assert used == set(BOARD.variables)


@pytest.mark.parametrize("name", ["org", "app", "model"])
def test_a_variable_offers_the_values_of_a_label_that_exists(name: str) -> None:
    query = read_query(metric_query(name))
    assert_exists(query)
    ((metric, _),) = query.selectors
    assert any(name in labels for known, labels in VALUES.items() if metric in ("", known))
    source = BOARD.variables[name].datasource
    assert source is not None
    assert (source.type, source.uid) == ("prometheus", "${metrics}")


def test_an_import_asks_for_both_datasources_and_a_provisioned_board_finds_them() -> None:
    # An import replaces ${DS_…} by what was chosen; a board from a file takes the first of each type.
    assert {(asked.name, asked.plugin_id) for asked in BOARD.inputs} == {
        ("DS_PROMETHEUS", "prometheus"),
        ("DS_LOKI", "loki"),
    }
    assert {asked.type for asked in BOARD.inputs} == {"datasource"}
    offered = {
        name: found.current["value"] for name, found in BOARD.variables.items() if found.type == "datasource"
    }
    assert offered == {"metrics": "${DS_PROMETHEUS}", "logs": "${DS_LOKI}"}
    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == {"DS_PROMETHEUS", "DS_LOKI", "metrics", "logs"}
    assert json.loads(TEXT)["id"] is None


def test_the_table_renames_each_of_its_queries() -> None:
    (table,) = [panel for panel in BOARD.panels if panel.type == "table"]
    assert all(target.instant and target.format == "table" for target in table.targets)
    names = table.transformations[-1]["options"]["renameByName"]
    kept = {frozenset(read_query(target.expr).kept) for target in table.targets}
    assert kept == {frozenset({"app", "model"})}
    assert set(names) == {"app", "model", *(f"Value #{target.ref_id}" for target in table.targets)}


def test_a_diff_of_the_file_shows_one_query_a_line() -> None:
    lines = TEXT.splitlines()
    assert TEXT.endswith("}\n")
    assert all(line.count('"expr"') <= 1 for line in lines)
    assert sum('"gridPos"' in line for line in lines) == len(BOARD.panels)
    assert len(lines) < 400
    assert not re.search(r"\s$", TEXT.rstrip("\n"), re.MULTILINE)


async def test_the_log_panel_asks_for_labels_that_lines_have(stage: Stage) -> None:
    acme = await stage.tenant("acme")
    await stage.integrate(acme)
    await stage.chat(acme)
    await stage.settled()
    (line,) = stage.loki.lines(org="acme")
    ((_, target),) = BOARD.queries("loki")
    stream, filters = read_log_query(target.expr)
    assert {matcher.label for matcher in stream} <= set(line.labels)
    assert ("org", "=", "$org") in stream
    assert ("job", "=", JOB) in stream
    assert {matcher.label for matcher in filters} <= set(line.metadata)


def test_the_page_lists_the_panels_in_their_order() -> None:
    page = (ROOT / "docs/grafana.md").read_text("utf-8")
    rows = re.findall(r"^\| ([A-Z][^|]+?) \|", page.split("## Alerts")[0], re.MULTILINE)
    assert rows == [panel.title for panel in BOARD.panels]
