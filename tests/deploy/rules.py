"""Prometheus's rule files: the alerts of ours. That Prometheus reads the same is checked by `make e2e`."""

from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yml"


class Alert(NamedTuple):
    """One alerting rule."""

    name: str
    expr: str
    held: str
    """For how long it must hold; empty for at once."""
    severity: str
    annotations: dict[str, str]


def read_alerts(path: Path = ALERTS) -> list[Alert]:
    """The alerts of a rule file with one group."""
    whole = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(whole, dict)
    assert set(whole) == {"groups"}
    assert isinstance(whole["groups"], list)
    (group,) = whole["groups"]
    assert isinstance(group, dict)
    assert set(group) == {"name", "rules"}
    return [_alert(rule) for rule in group["rules"]]


def _alert(rule: object) -> Alert:
    assert isinstance(rule, dict)
    assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    labels, annotations = rule["labels"], rule["annotations"]
    assert isinstance(labels, dict)
    assert set(labels) == {"severity"}
    assert isinstance(annotations, dict)
    return Alert(
        name=str(rule["alert"]),
        expr=str(rule["expr"]).strip(),
        held=str(rule.get("for", "")),
        severity=str(labels["severity"]),
        annotations={key: str(text) for key, text in annotations.items()},
    )
