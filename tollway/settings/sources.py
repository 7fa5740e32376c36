"""Where settings come from, and the only place that reads the environment.

A flag wins over a `TOLLWAY_*` variable, that over the file named by TOLLWAY_CONFIG (default
`./tollway.toml`, absent is fine), that over the default. Owns finding values and naming the one
that is wrong; does not own what may be configured (`knobs.py`).
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tollway.domain import provider
from tollway.domain.provider import ProviderSettings
from tollway.domain.subscription import PlanSettings
from tollway.settings.knobs import Settings, SettingsError, check, scalars

PREFIX = "TOLLWAY_"
CONFIG_VARIABLE = "TOLLWAY_CONFIG"
DEFAULT_CONFIG = "tollway.toml"

T = TypeVar("T")


def load(
    environment: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
) -> tuple[Settings, list[str]]:
    """Read everything; returns the settings and warnings. SettingsError names what is wrong."""
    environment = os.environ if environment is None else environment
    values = _read_file(environment.get(CONFIG_VARIABLE))
    warnings = []
    names = scalars()
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in names:
            values[name] = environment[variable]
        elif variable not in provider.key_variables(values.get("providers")):
            warnings.append(f"{variable} is not a setting{_did_you_mean(name, names)}")
    values.update(flags or {})
    settings = _convert(values, environment)
    check(settings)
    return settings, warnings


def _read_file(named: str | None) -> dict[str, Any]:
    path = Path(named or DEFAULT_CONFIG)
    if not path.exists():
        if named:
            raise SettingsError(f"{CONFIG_VARIABLE}: there is no file {named}")
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None


def _convert(values: dict[str, Any], environment: Mapping[str, str]) -> Settings:
    names = {*scalars(), "providers", "models", "plans"}
    for name in values:
        if name not in names:
            raise SettingsError(f"{name}: not a setting{_did_you_mean(name, names)}")
    providers = values.get("providers", {})
    if not isinstance(providers, dict):
        raise SettingsError("providers: a table for each, [providers.NAME]")
    try:
        keys = {name: provider.api_key_of(name, table, environment) for name, table in providers.items()}
    except ValueError as error:
        raise SettingsError(str(error)) from None
    with_keys = {
        name: msgspec.structs.replace(
            _typed(table, ProviderSettings, f"providers.{name}"), api_key=keys[name]
        )
        for name, table in providers.items()
    }
    plans = values.get("plans", {})
    if not isinstance(plans, dict):
        raise SettingsError("plans: a table for each tier, [plans.TIER]")
    tables = {tier: _typed(table, PlanSettings, f"plans.{tier}") for tier, table in plans.items()}
    others = {name: value for name, value in values.items() if name not in ("providers", "plans")}
    return msgspec.structs.replace(_typed(others, Settings, ""), providers=with_keys, plans=tables)


def _typed(table: Any, type_: type[T], where: str) -> T:  # noqa: ANN401 - what TOML and the environment hold
    try:
        return msgspec.convert(table, type_, strict=False)
    except msgspec.ValidationError as error:
        what, _, inside = str(error).partition(" - at `$")
        place = (where + inside.rstrip("`")).lstrip(".") or "settings"
        raise SettingsError(f"{place}: {what}{_hint(place, table)}") from None


def _hint(place: str, table: Any) -> str:  # noqa: ANN401 - as above
    """Kubernetes sets TOLLWAY_PORT for a service that is called tollway, and means something else."""
    if place == "port" and str(table["port"]).startswith(("tcp://", "udp://")):
        return (
            "; TOLLWAY_PORT seems to be set by Kubernetes for a service named tollway: "
            "give the pod `enableServiceLinks: false`, or the service another name"
        )
    return ""


def _did_you_mean(name: str, names: Mapping[str, str] | set[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?" if close else ""
