"""The alerts that organisations load: well-formed, and made of what is exported."""

import re

import pytest

from tests.deploy.exported import assert_exists, labels_left
from tests.deploy.promql import read_query
from tests.deploy.rules import ROOT, Alert, read_alerts

RULES = read_alerts()
SEVERITIES = {"warning", "critical"}

each_alert = pytest.mark.parametrize("alert", RULES, ids=lambda alert: alert.name)


def test_no_two_alerts_have_the_same_name() -> None:
    assert len({alert.name for alert in RULES}) == len(RULES) > 0


@each_alert
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: Alert) -> None:
    assert re.fullmatch(r"Tollway([A-Z][a-z]+)+", alert.name)
    assert alert.severity in SEVERITIES
    assert re.fullmatch(r"(\d+m)?", alert.held)
    assert list(alert.annotations) == ["summary", "description", "runbook"]
    assert all(len(text) > 20 for text in alert.annotations.values())
    assert all(alert.annotations[kind].endswith(".") for kind in ("description", "runbook"))


@each_alert
def test_an_alert_asks_for_what_is_exported(alert: Alert) -> None:
    assert_exists(read_query(alert.expr))


@each_alert
def test_an_alert_tells_only_labels_that_it_has(alert: Alert) -> None:
    query = read_query(alert.expr)
    left = set() if alert.expr.startswith("absent") else labels_left(query)
    told = {label for text in alert.annotations.values() for label in re.findall(r"\$labels\.(\w+)", text)}
    assert told <= left
    # Of which organisation it is, an alert tells whenever it knows.
    assert ("org" in told) == bool(left)


def test_the_page_lists_the_alerts_in_their_order() -> None:
    page = (ROOT / "docs/grafana.md").read_text("utf-8")
    rows = re.findall(r"^\| `(Tollway\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert rows == [(alert.name, alert.severity) for alert in RULES]
