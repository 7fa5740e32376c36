"""The operator's metrics: their names, and that the page lists them."""

import re
from pathlib import Path

import pytest

from tollway.control.exposition import process_families
from tollway.control.metrics import BY_ORG, METRICS, PREFIX, Distribution, Metric
from tollway.push.samples import ALL as PUSHED

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ALL = (*METRICS, *BY_ORG)


def rows() -> list[str]:
    """The table of docs/operations.md, as the code says it."""
    told = [
        (each.name, "histogram" if isinstance(each, Distribution) else each.type, each.labels, each.help)
        for each in ALL
    ]
    own = []
    for family in process_families():
        suffix = "_total" if family.type == "counter" else ""
        own.append((family.name.removeprefix(PREFIX) + suffix, family.type, (), family.documentation))
    return [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {sentence} |"
        for name, kind, labels, sentence in (*told, *own)
    ]


def test_the_page_lists_every_metric_as_the_code_names_it() -> None:
    page = PAGE.read_text("utf-8")
    head = "| `tollway_gateway_…` | type | labels | what it says |\n|---|---|---|---|\n"
    table = page.partition(head)[2].partition("\n\n")[0]
    assert table == "\n".join(rows())


@pytest.mark.parametrize("metric", ALL, ids=lambda each: each.name)
def test_a_name_says_its_unit_and_whether_it_only_rises(metric: Metric | Distribution) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
    assert re.fullmatch(r"\S.*\.", metric.help)
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)
    if isinstance(metric, Distribution):
        assert metric.name.endswith("_seconds")
        assert "le" not in metric.labels
    else:
        assert (metric.type == "counter") == metric.name.endswith("_total")
    assert not re.search(r"_(ms|us|nano|kb|mb)(_|$)", metric.name)


def test_no_name_is_there_twice() -> None:
    assert len({each.name for each in ALL}) == len(ALL)


def test_no_tenant_s_metric_has_our_prefix() -> None:
    assert PUSHED
    assert not any(each.name.startswith(PREFIX) for each in PUSHED)


def test_only_those_that_are_asked_for_name_an_organisation() -> None:
    assert all("org" not in each.labels for each in METRICS)
    assert all("org" in each.labels for each in BY_ORG)
