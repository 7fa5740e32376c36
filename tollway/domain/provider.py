"""A model vendor and its models, as the operator writes them down.

Owns the form of `[providers.NAME]` and `[[models]]` and what a wrong one is told; does not own
reading them (`settings/`) or what they are at run time (`providers/`). Money is a string here,
so that it is never a float. What is wrong is a ValueError that begins with its place in the file.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from tollway.domain.destination import parse_endpoint
from tollway.domain.money import parse_usd
from tollway.domain.token import Secret

_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_MAX_PRICE = parse_usd("100000")
"""Beyond, sums of a ledger would leave 64 bits."""


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
    cap_field: Literal["max_completion_tokens", "max_tokens"] | None = None
    """Where it heeds a cap on the completion, if that is not the one that is known of it."""
    api_key: Secret | None = None
    """Read from the variable that `api_key_env` names; never from the file."""


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that genai-prices does not know, a name or a price of your own, `[[models]]`."""

    name: str
    provider: str
    upstream: str
    price: PriceSettings | None = None
    """Without one it has the imported price of `name`, else what `upstream` costs at the provider."""


def key_variables(tables: object) -> set[str]:
    """The variables that these tables of providers name for their keys; tables of any form."""
    each = tables.values() if isinstance(tables, dict) else ()
    return {str(table.get("api_key_env")) for table in each if isinstance(table, dict)}


def api_key_of(name: str, table: Any, environment: Mapping[str, str]) -> Secret | None:  # noqa: ANN401 - TOML
    """A provider's key, from the variable that its table names; None if it names none. ValueError."""
    if not isinstance(table, dict):
        return None
    if "api_key" in table:
        raise ValueError(
            f"providers.{name}.api_key: keys do not belong into the file; name a variable in api_key_env"
        )
    variable = table.get("api_key_env")
    if not isinstance(variable, str):
        return None
    key = environment.get(variable)
    if not key:
        raise ValueError(f"providers.{name}.api_key_env: the variable {variable} is not set")
    if not fits_a_header(key):
        raise ValueError(
            f"providers.{name}.api_key_env: {variable} holds spaces, line breaks or other than ASCII"
        )
    return Secret(key)


def fits_a_header(secret: str) -> bool:
    """Whether a secret can be sent behind `Bearer `: ASCII, printable, no spaces."""
    return secret.isascii() and secret.isprintable() and " " not in secret


def check_providers(providers: Mapping[str, ProviderSettings]) -> None:
    """What their types cannot say; ValueError for the first that is wrong."""
    for name, provider in providers.items():
        where = f"providers.{name}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"{where}: a name is lower-case letters, digits and single . _ - between them")
        if name == "demo":
            raise ValueError(f"{where}: this name is the built-in demo vendor's")
        try:
            parse_endpoint(provider.base_url)
        except ValueError:
            raise ValueError(f"{where}.base_url: not an absolute http(s) URL without credentials") from None
        if "?" in provider.base_url:
            raise ValueError(f"{where}.base_url: paths are put behind it, so it has no query")


def check_models(models: Sequence[ModelSettings], providers: Mapping[str, ProviderSettings]) -> None:
    """What their types cannot say; ValueError for the first that is wrong."""
    seen = set()
    for index, model in enumerate(models):
        where = f"models[{index}]"
        if model.provider not in providers:
            raise ValueError(f"{where}.provider: there is no [providers.{model.provider}]")
        if not model.name or not model.upstream:
            raise ValueError(f"{where}: name and upstream are not empty")
        if model.name in seen:
            raise ValueError(f"{where}.name: {model.name} is there twice")
        seen.add(model.name)
        for key in ("input", "cached_input", "output"):
            if model.price:
                _check_price(f"{where}.price.{key}", getattr(model.price, key))


def _check_price(where: str, text: str | None) -> None:
    try:
        if text is not None and not 0 <= parse_usd(text) <= _MAX_PRICE:
            raise ValueError("a price is between $0 and $100,000 per million tokens")
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
