"""A file of prices: `[[prices]]` in TOML, or `{"prices": [...]}` in JSON.

Owns reading it and naming everything that is wrong with it; does not own what is done with it.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tollway.control.prices import NewPrice
from tollway.domain.tariff import effective_us, faults

_MAX_MODEL_CHARS = 200


class PriceFileError(Exception):
    """The file cannot be used; the message has a line for each thing that is wrong."""


def read_price_file(path: Path) -> list[NewPrice]:
    """All prices of the file, in its order. PriceFileError; nothing is read of a file with a fault."""
    try:
        text = path.read_text("utf-8")
        tables = msgspec.json.decode(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, tomllib.TOMLDecodeError) as error:
        raise PriceFileError(f"{path}: {error}") from None
    listed = tables.get("prices") if isinstance(tables, dict) else None
    if not isinstance(listed, list) or not listed or len(tables) > 1:
        raise PriceFileError(f"{path}: it has a list `prices`, and nothing else")
    wrong = [f"prices[{index}]: {what}" for index, entry in enumerate(listed) for what in _wrong(entry)]
    if not wrong:
        prices = [_new_price(entry) for entry in listed]
        wrong = list(_repeated(prices))
    if wrong:
        raise PriceFileError("\n".join(f"{path}: {what}" for what in wrong))
    return prices


def _wrong(entry: Any) -> Iterator[str]:  # noqa: ANN401 - what a file holds
    if not isinstance(entry, dict):
        yield "a table with model, input and output"
        return
    model = entry.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= _MAX_MODEL_CHARS or not model.isprintable():
        yield f"model: a name as callers use it, vendor/model, of at most {_MAX_MODEL_CHARS} characters"
    if "effective_from" in entry:
        try:
            effective_us(entry["effective_from"])
        except ValueError as error:
            yield f"effective_from: {error}"
    for unit, what in faults(_dollars(entry)):
        yield f"{unit}: {what}"


def _dollars(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in ("model", "effective_from")}


def _new_price(entry: Mapping[str, Any]) -> NewPrice:
    when = entry.get("effective_from")
    return NewPrice(
        model=entry["model"],
        effective_us=None if when is None else effective_us(when),
        dollars=_dollars(entry),
    )


def _repeated(prices: list[NewPrice]) -> Iterator[str]:
    seen = set()
    for price in prices:
        if (price.model, price.effective_us) in seen:
            yield f"{price.model} is there twice for the same time"
        seen.add((price.model, price.effective_us))
