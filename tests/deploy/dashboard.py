"""The dashboard's file, read into types: panels, queries, variables."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy/grafana/organisation.json"

_VARIABLE = re.compile(r"\$(\w+)")


class Position(msgspec.Struct, forbid_unknown_fields=True):
    """Where a panel stands, in units of a grid of 24 columns."""

    x: int
    y: int
    w: int
    h: int


class Source(msgspec.Struct, forbid_unknown_fields=True):
    """A datasource as panels and variables name it."""

    type: str
    uid: str


class Target(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """One query of a panel."""

    ref_id: str
    expr: str
    legend_format: str = ""
    instant: bool = False
    format: str = ""
    query_type: str = ""


class Panel(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """One panel."""

    id: int
    type: str
    title: str
    grid_pos: Position
    datasource: Source
    targets: list[Target]
    description: str = ""
    field_config: dict[str, Any] = {}
    options: dict[str, Any] = {}
    transformations: list[dict[str, Any]] = []


class Variable(msgspec.Struct, rename="camel"):
    """What stands at the dashboard's top to choose from."""

    name: str
    type: str
    query: str
    datasource: Source | None = None
    current: dict[str, Any] = {}


class Input(msgspec.Struct, rename="camel"):
    """What an import asks for."""

    name: str
    type: str
    plugin_id: str


class _Templating(msgspec.Struct, forbid_unknown_fields=True):
    list: list[Variable]


class Dashboard(msgspec.Struct):
    """The whole file."""

    uid: str
    panels: list[Panel]
    templating: _Templating
    inputs: list[Input] = msgspec.field(name="__inputs")

    @property
    def variables(self) -> Mapping[str, Variable]:
        """By name."""
        return {variable.name: variable for variable in self.templating.list}

    def queries(self, kind: str = "prometheus") -> list[tuple[Panel, Target]]:
        """Every query of one kind of datasource, with its panel."""
        return [
            (panel, target)
            for panel in self.panels
            if panel.datasource.type == kind
            for target in panel.targets
        ]


def read_dashboard() -> Dashboard:
    """The file; ValidationError if it is not as Grafana's should be."""
    return msgspec.json.decode(DASHBOARD.read_bytes(), type=Dashboard)


def filled(expr: str, values: Mapping[str, str]) -> str:
    """A query as Grafana sends it; KeyError for a variable that has no value."""
    return _VARIABLE.sub(lambda found: values[found[1]], expr)


def variables_in(expr: str) -> set[str]:
    """The names of its variables."""
    return set(_VARIABLE.findall(expr))
