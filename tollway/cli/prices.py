"""`tollway prices`: what models cost here, new prices for them, and which have none.

Owns arguments and what is printed; does not own which source of prices wins
(`providers/catalog.py`), nor what an import changes (`control/prices.py`).
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path

import msgspec

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing
from tollway.cli.price_file import PriceFileError, read_price_file
from tollway.cli.serve import demo_offered
from tollway.control.prices import Change, Kind, changes_of, import_prices
from tollway.domain.clock import SystemClock
from tollway.domain.errors import ModelNotFound, NotPriced, StoreUnavailable
from tollway.domain.moment import iso
from tollway.domain.money import NANO_PER_USD, half_even, usd
from tollway.domain.price import History, Price
from tollway.domain.tariff import NAMES, WIDER, dollars_of
from tollway.domain.usage import Unit
from tollway.parts import catalog_of
from tollway.providers.catalog import Catalog
from tollway.settings import Settings
from tollway.store.price_list import benchmark_models, imported_prices, unpriced_versions

_COLUMNS = (Unit.INPUT, Unit.CACHE_READ, Unit.OUTPUT)
_NAME_OF: Mapping[Unit, str] = {unit: name for name, unit in NAMES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of the list: a price in force, or an imported one that is to come."""

    model: str
    price: Price
    effective_us: int | None

    @property
    def source(self) -> str:
        """configuration, imported or genai-prices."""
        return self.price.version.partition("@")[0].partition("/")[0]


def add(commands: Commands) -> None:
    """Add `tollway prices` and what it can do."""
    about = "list, import and check the prices of models"
    parser = commands.add_parser("prices", help=about, description=f"{about.capitalize()}.")
    actions: Commands = parser.add_subparsers(dest="prices_command", required=True)
    what = "what each model costs now, and where the price comes from"
    listing = actions.add_parser("list", help=what, description=f"{what.capitalize()}.")
    listing.add_argument("--model", metavar="GLOB", default="*", help='only models like this: "openai/*"')
    listing.add_argument("--json", action="store_true", help="as JSON, for programs")
    listing.set_defaults(run=lambda asked: _run(lambda settings: _list(settings, asked.model, asked.json)))
    what = "take over the prices of a file, all or none, without a restart"
    importing = actions.add_parser("import", help=what, description=f"{what.capitalize()}.")
    importing.add_argument("file", metavar="FILE", type=Path, help="TOML, or JSON if it ends in .json")
    importing.add_argument("--dry-run", action="store_true", help="only show what would change")
    importing.set_defaults(run=lambda asked: _run(lambda settings: _import(settings, asked)))
    what = "name the models that are used here and have no price; exit code 1 if there are any"
    checking = actions.add_parser("check", help=what, description=f"{what.capitalize()}.")
    checking.set_defaults(run=lambda _asked: _run(_check))


def _run(command: Callable[[Settings], Awaitable[int]]) -> int:
    async def offered() -> int:
        async with demo_offered(settings_of()) as settings:
            return await command(settings)

    try:
        return asyncio.run(offered())
    except (PriceFileError, StoreUnavailable) as error:
        print(f"tollway: {error}", file=sys.stderr)
        return 1


async def _list(settings: Settings, glob: str, as_json: bool) -> int:
    with closing(await existing(settings)) as database:
        imported = await database.read(imported_prices)
    listed = _listed(catalog_of(settings, imported), imported, SystemClock().now_us())
    lines = [line for line in listed if fnmatchcase(line.model, glob)]
    if as_json:
        print(msgspec.json.format(msgspec.json.encode([_as_json(line) for line in lines])).decode())
    else:
        heads = ("MODEL", "SOURCE", "FROM", "INPUT", "CACHED", "OUTPUT", "OTHER")
        _print_table([heads, *(_as_row(line) for line in lines)])
    return 0


def _listed(catalog: Catalog, imported: Mapping[str, History], now_us: int) -> Iterator[Listed]:
    for model in sorted({*catalog.names, *imported}):
        history = imported.get(model, ())
        with contextlib.suppress(NotPriced, ModelNotFound):  # its price is to come
            price = catalog.benchmark(model).prices.at(now_us, None)
            since = [start_us for start_us, known in history if known is price]
            yield Listed(model=model, price=price, effective_us=since[-1] if since else None)
        for start_us, price in history:
            if start_us > now_us:
                yield Listed(model=model, price=price, effective_us=start_us)


async def _import(settings: Settings, asked: argparse.Namespace) -> int:
    configured = {model.name: model.price for model in settings.models}
    prices = read_price_file(asked.file)
    for price in prices:
        if "/" not in price.model and price.model not in configured:
            raise PriceFileError(f"{asked.file}: {price.model} is not vendor/model, nor under [[models]]")
    now_us = SystemClock().now_us()
    with closing(await existing(settings)) as database:
        if asked.dry_run:
            changes = await database.read(changes_of, prices, now_us)
        else:
            changes = await database.write(import_prices, prices, now_us)
    for change in changes:
        print(_told(change))
        if configured.get(change.tariff.model):
            print("           not used: the configuration has a price for it, which wins")
    count = sum(change.kind is not Kind.UNCHANGED for change in changes)
    print(f"{'would import' if asked.dry_run else 'imported'} {count} of {len(changes)} prices")
    return 0


async def _check(settings: Settings) -> int:
    with closing(await existing(settings)) as database:
        imported = await database.read(imported_prices)
        benchmarks = await database.read(benchmark_models)
        served = [version.partition("/")[2] for version in await database.read(unpriced_versions)]
    catalog = catalog_of(msgspec.structs.replace(settings, unpriced="refuse"), imported)
    used = [("[[models]]", catalog.resolve, [model.name for model in settings.models])]
    used += [("benchmark", catalog.benchmark, list(benchmarks)), ("served unpriced", catalog.resolve, served)]
    now_us = SystemClock().now_us()
    count = 0
    for why, find, models in used:
        for model in models:
            try:
                find(model).prices.at(now_us, None)
            except (NotPriced, ModelNotFound) as error:
                count += 1
                print(f"{model}  ({why}): {error}")
    if count == 0:
        print("every model that is used here has a price")
    return 1 if count else 0


def _told(change: Change) -> str:
    after = change.tariff.dollars
    before = change.before or {}
    units = [
        f"{unit} {before[unit]} -> {text}" if before.get(unit, text) != text else f"{unit} {text}"
        for unit, text in after.items()
    ]
    units += [f"{unit} {text} -> none of its own" for unit, text in before.items() if unit not in after]
    when = _day(change.tariff.effective_us)
    return f"{change.kind.value:<9}  {change.tariff.model}  from {when}: {', '.join(units)}"


def _as_row(line: Listed) -> tuple[str, ...]:
    rates = dollars_of(line.price)
    since = "-" if line.effective_us is None else _day(line.effective_us)
    shown = (_steps(rates[unit]) if unit in rates else "-" for unit in _COLUMNS)
    others = (
        f"{_NAME_OF[unit]} {_steps(steps)}"
        for unit, steps in rates.items()
        if unit not in _COLUMNS and (unit not in WIDER or steps != rates.get(WIDER[unit]))
    )
    return (line.model, line.source, since, *shown, ", ".join(others))


def _as_json(line: Listed) -> dict[str, object]:
    return {
        "model": line.model,
        "source": line.source,
        "effective_from": None if line.effective_us is None else iso(line.effective_us),
        "version": line.price.version,
        "prices": {
            _NAME_OF[unit]: [{"over_prompt_tokens": max(over, 0), "usd": _usd(rate)} for over, rate in steps]
            for unit, steps in dollars_of(line.price).items()
        },
    }


def _steps(steps: Sequence[tuple[int, Fraction]]) -> str:
    """`1.25`, or `1.25 (over 200000: 2.5)`, the number being the prompt's tokens."""
    (_, first), *above = steps
    return " ".join([_usd(first), *(f"(over {over}: {_usd(rate)})" for over, rate in above)])


def _usd(dollars: Fraction) -> str:
    return usd(half_even(dollars.numerator * NANO_PER_USD, dollars.denominator))


def _day(us: int) -> str:
    return iso(us).removesuffix(".000000Z").removesuffix("T00:00:00")


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
