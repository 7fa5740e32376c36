"""Every knob of Tollway: one frozen class, and the only place that reads the environment.

A flag wins over a `TOLLWAY_*` variable, that over the file named by TOLLWAY_CONFIG (default
`./tollway.toml`, absent is fine), that over the default. Names end in their unit. Owns what may
be configured and what a wrong value is told; does not own what is done with it.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from tollway.domain.destination import Network, parse_endpoint, parse_networks
from tollway.domain.money import parse_usd
from tollway.domain.token import Secret

PREFIX = "TOLLWAY_"
CONFIG_VARIABLE = "TOLLWAY_CONFIG"
DEFAULT_CONFIG = "tollway.toml"

_PROVIDER_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_MIN_OPERATOR_TOKEN_CHARS = 16
_MAX_PRICE = parse_usd("100000")
"""Beyond, sums of a ledger would leave 64 bits."""

T = TypeVar("T")


class SettingsError(Exception):
    """The configuration cannot be used; the message says which key and why."""


class PriceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dollars per million tokens, as decimal strings, so that none is ever a float."""

    input: str
    output: str
    cached_input: str | None = None


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model vendor, `[providers.NAME]`."""

    dialect: Literal["openai"]
    base_url: str
    api_key_env: str | None = None
    prices: str | None = None
    """The vendor's name in genai-prices, where it is not NAME."""
    models_only: bool = False
    """Serve the models under [[models]] only, not all that genai-prices lists."""
    api_key: Secret | None = None
    """Read from the variable that `api_key_env` names; never from the file."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that genai-prices does not know, a name or a price of your own, `[[models]]`."""

    name: str
    provider: str
    upstream: str
    price: PriceSettings | None = None
    """Without one it has the imported price of `name`, else what `upstream` costs at the provider."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. Each scalar one is also a `TOLLWAY_*` variable and a flag of `tollway serve`."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 8080
    database_url: Annotated[
        str,
        Meta(description="`sqlite:////abs/path.db` or `postgresql://…`; empty is SQLite in the data folder."),
    ] = ""
    data_dir: Annotated[str, Meta(description="Folder for what this process keeps on disk.")] = "./data"
    operator_token: Annotated[
        str, Meta(description="The operator's bearer token; empty: generated and printed at the first start.")
    ] = ""
    secret_keys: Annotated[
        str,
        Meta(
            description=(
                "Comma list of base64 keys of 32 bytes that encrypt stored secrets, the newest first; "
                "empty: one is generated into a file beside the data folder (`<data_dir>.key`, mode 0600)."
            )
        ),
    ] = ""
    demo: Annotated[
        Literal["auto", "on", "off"],
        Meta(
            description=(
                "The built-in demo vendor and a demo organisation; `auto` has them while no provider "
                "is configured."
            )
        ),
    ] = "auto"
    push_interval_s: Annotated[
        float, Meta(description="Seconds between two pushes to one receiver.", gt=0)
    ] = 15.0
    push_deadline_s: Annotated[float, Meta(description="Longest wait for a receiver's answer.", gt=0)] = 10.0
    push_allow_cidrs: Annotated[
        str,
        Meta(
            description=(
                "Comma list of address ranges that receivers may be at although they are private or "
                "loopback; in them plain http is allowed too."
            )
        ),
    ] = ""
    vendor_connect_s: Annotated[
        float, Meta(description="Longest wait for a connection to a vendor.", gt=0)
    ] = 10.0
    vendor_idle_s: Annotated[
        float, Meta(description="Longest silence of a vendor while it answers.", gt=0)
    ] = 120.0
    vendor_total_s: Annotated[
        float,
        Meta(
            description="Longest answer of a vendor from first to last byte, also after its client has left.",
            gt=0,
        ),
    ] = 900.0
    vendor_answer_max_bytes: Annotated[
        int, Meta(description="Largest answer that is read from a vendor.", gt=0)
    ] = 64 * 1024 * 1024
    client_idle_s: Annotated[
        float, Meta(description="Longest wait for a client to send its body or take its answer.", gt=0)
    ] = 60.0
    request_max_bytes: Annotated[int, Meta(description="Largest body of an inference request.", gt=0)] = (
        32 * 1024 * 1024
    )
    journal_fsync: Annotated[
        Literal["never", "interval", "group"],
        Meta(
            description=(
                "When the journal is synchronised with the disk: `never`; each 50 ms; or, one "
                "synchronisation for a `group` of calls, before a vendor is asked and an answer ends."
            )
        ),
    ] = "interval"
    journal_segment_bytes: Annotated[
        int,
        Meta(description="Size of a file of the journal; it is allocated before it is used.", ge=256 * 1024),
    ] = 16 * 1024 * 1024
    journal_max_bytes: Annotated[
        int,
        Meta(
            description=(
                "What this process's journal may take on the disk; beyond, what is stored goes, and then "
                "new calls get 503."
            ),
            ge=512 * 1024,
        ),
    ] = 8 * 1024 * 1024 * 1024
    journal_keep_days: Annotated[
        float,
        Meta(
            description="Days that journals are kept after they are stored, to bring a restored database "
            "up to date.",
            ge=0,
            le=3650,
        ),
    ] = 3.0
    unpriced: Annotated[
        Literal["refuse", "allow"],
        Meta(
            description=(
                "A vendor's model without a known price: `refuse` it (402), or `allow` it at no cost, its "
                "rows marked `unpriced`; no limit in dollars holds for them."
            )
        ),
    ] = "refuse"
    body_max_bytes: Annotated[
        int,
        Meta(
            description=(
                "What is kept of a prompt and of an answer, each, for organisations at privacy level 1."
            ),
            ge=0,
        ),
    ] = 256 * 1024
    drain_s: Annotated[
        int,
        Meta(
            description=(
                "Seconds that calls in flight get to finish at a stop, and then the database to take "
                "what they cost."
            ),
            ge=0,
        ),
    ] = 30
    providers: dict[str, ProviderSettings] = {}
    models: list[ModelSettings] = []

    @property
    def push_allowed(self) -> tuple[Network, ...]:
        """The ranges of `push_allow_cidrs`."""
        return parse_networks(self.push_allow_cidrs)

    @property
    def has_demo(self) -> bool:
        """Whether the demo vendor is offered."""
        return self.demo == "on" or (self.demo == "auto" and not self.providers)

    @property
    def sql_url(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{Path(self.data_dir).resolve() / 'tollway.db'}"

    @property
    def key_file(self) -> Path:
        """Where a generated secret key is kept: beside the data folder, so that a copy of it has none."""
        folder = Path(self.data_dir).resolve()
        return folder.with_name(f"{folder.name}.key")

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in scalars() if name not in _SECRET)
        return f"Settings({', '.join(shown)}, …)"


_SECRET = frozenset({"operator_token", "secret_keys", "database_url"})
"""Never shown: the database's URL may hold a password."""


def scalars() -> dict[str, str]:
    """The settings that are one value, with their sentence, in the order of the class."""
    hints = get_type_hints(Settings, include_extras=True)
    return {
        name: hint.__metadata__[0].description
        for name, hint in hints.items()
        if hasattr(hint, "__metadata__")
    }


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
        elif variable not in _named_in(values):
            warnings.append(f"{variable} is not a setting{_did_you_mean(name, names)}")
    values.update(flags or {})
    settings = _convert(values, environment)
    _check(settings)
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
    names = {*scalars(), "providers", "models"}
    for name in values:
        if name not in names:
            raise SettingsError(f"{name}: not a setting{_did_you_mean(name, names)}")
    providers = values.get("providers", {})
    if not isinstance(providers, dict):
        raise SettingsError("providers: a table for each, [providers.NAME]")
    keys = {name: _api_key(name, table, environment) for name, table in providers.items()}
    with_keys = {
        name: msgspec.structs.replace(
            _typed(table, ProviderSettings, f"providers.{name}"), api_key=keys[name]
        )
        for name, table in providers.items()
    }
    scalar_and_models = {name: value for name, value in values.items() if name != "providers"}
    return msgspec.structs.replace(_typed(scalar_and_models, Settings, ""), providers=with_keys)


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


def _named_in(values: Mapping[str, Any]) -> set[str]:
    """The variables that the file names for keys."""
    providers = values.get("providers")
    tables = providers.values() if isinstance(providers, dict) else ()
    return {str(table.get("api_key_env")) for table in tables if isinstance(table, dict)}


def _api_key(name: str, table: Any, environment: Mapping[str, str]) -> Secret | None:  # noqa: ANN401 - as above
    if not isinstance(table, dict):
        return None
    if "api_key" in table:
        raise SettingsError(
            f"providers.{name}.api_key: keys do not belong into the file; name a variable in api_key_env"
        )
    variable = table.get("api_key_env")
    if not isinstance(variable, str):
        return None
    key = environment.get(variable)
    if not key:
        raise SettingsError(f"providers.{name}.api_key_env: the variable {variable} is not set")
    if not _fits_a_header(key):
        raise SettingsError(
            f"providers.{name}.api_key_env: {variable} holds spaces, line breaks or other than ASCII"
        )
    return Secret(key)


def _fits_a_header(secret: str) -> bool:
    return secret.isascii() and secret.isprintable() and " " not in secret


def _check(settings: Settings) -> None:
    """What a type cannot say."""
    try:
        parse_networks(settings.push_allow_cidrs)
    except ValueError as error:
        raise SettingsError(f"push_allow_cidrs: {error}") from None
    for name in scalars():
        value = getattr(settings, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingsError(f"{name}: a finite number of seconds")
    token = settings.operator_token
    if token and (len(token) < _MIN_OPERATOR_TOKEN_CHARS or not _fits_a_header(token)):
        raise SettingsError(
            f"operator_token: at least {_MIN_OPERATOR_TOKEN_CHARS} ASCII characters without spaces"
        )
    for name, provider in settings.providers.items():
        _check_provider(name, provider)
    seen = set()
    for index, model in enumerate(settings.models):
        where = f"models[{index}]"
        if model.provider not in settings.providers:
            raise SettingsError(f"{where}.provider: there is no [providers.{model.provider}]")
        if not model.name or not model.upstream:
            raise SettingsError(f"{where}: name and upstream are not empty")
        if model.name in seen:
            raise SettingsError(f"{where}.name: {model.name} is there twice")
        seen.add(model.name)
        for key in ("input", "cached_input", "output"):
            if model.price:
                _check_price(f"{where}.price.{key}", getattr(model.price, key))


def _check_provider(name: str, provider: ProviderSettings) -> None:
    where = f"providers.{name}"
    if not _PROVIDER_NAME.fullmatch(name):
        raise SettingsError(f"{where}: a name is lower-case letters, digits and single . _ - between them")
    if name == "demo":
        raise SettingsError(f"{where}: this name is the built-in demo vendor's")
    try:
        parse_endpoint(provider.base_url)
    except ValueError:
        raise SettingsError(f"{where}.base_url: not an absolute http(s) URL without credentials") from None
    if "?" in provider.base_url:
        raise SettingsError(f"{where}.base_url: paths are put behind it, so it has no query")


def _check_price(where: str, text: str | None) -> None:
    try:
        if text is not None and not 0 <= parse_usd(text) <= _MAX_PRICE:
            raise ValueError("a price is between $0 and $100,000 per million tokens")
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None


def _did_you_mean(name: str, names: Mapping[str, str] | set[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?" if close else ""
