"""Prometheus's rule files, as far as ours use YAML: block mappings, lists of mappings, strings.

Strict: what it does not know is an error. That Prometheus reads the same is checked by `make e2e`.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yml"

_ENTRY = re.compile(r"(?P<key>[a-z]+):(?: (?P<value>\S.*))?")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

Node = str | list["Node"] | dict[str, "Node"]


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
    whole = read_yaml(path.read_text("utf-8"))
    assert isinstance(whole, dict)
    assert set(whole) == {"groups"}
    assert isinstance(whole["groups"], list)
    (group,) = whole["groups"]
    assert isinstance(group, dict)
    assert set(group) == {"name", "rules"}
    return [_alert(rule) for rule in group["rules"]]


def _alert(rule: Node) -> Alert:
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


def read_yaml(text: str) -> Node:
    """Its value; ValueError for YAML that is not as ours is written."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    node = _node(lines, _indent(lines[0]))
    if lines:
        raise ValueError(f"does not belong here: {lines[0]!r}")
    return node


def _node(lines: list[str], indent: int) -> Node:
    """The mapping or list that stands at this indent; its lines are taken."""
    if lines[0][indent:].startswith("- "):
        items: list[Node] = []
        while lines and _indent(lines[0]) == indent and lines[0][indent:].startswith("- "):
            lines[0] = " " * (indent + 2) + lines[0][indent + 2 :]
            items.append(_node(lines, indent + 2))
        return items
    mapping: dict[str, Node] = {}
    while lines and _indent(lines[0]) == indent:
        entry = _ENTRY.fullmatch(lines[0].strip())
        if entry is None or entry["key"] in mapping:
            raise ValueError(f"no mapping, or the same key again: {lines[0]!r}")
        lines.pop(0)
        mapping[entry["key"]] = _value(entry["value"], lines, indent)
    return mapping


def _value(value: str | None, lines: list[str], indent: int) -> Node:
    if value is None:
        return _node(lines, _deeper(lines, indent))
    if value == "|":
        inner, block = _deeper(lines, indent), []
        while lines and _indent(lines[0]) >= inner:
            block.append(lines.pop(0)[inner:])
        return "\n".join(block) + "\n"
    if value.startswith('"'):
        return str(json.loads(value))
    if not _PLAIN.fullmatch(value):
        raise ValueError(f"to be quoted: {value!r}")
    return value


def _deeper(lines: list[str], indent: int) -> int:
    if not lines or _indent(lines[0]) <= indent:
        raise ValueError(f"nothing stands below, before {lines[:1]}")
    return _indent(lines[0])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
