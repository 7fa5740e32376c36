"""`tollway ledger`: what an operator does with the ledger as a whole.

`export` writes one organisation's rows in bounded memory, beside a running server (`replay` has
a file of its own). Owns
arguments, where the bytes go, and the progress that is shown; does not own formats
(`cli/export.py`) or rows.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tqdm import tqdm

from tollway.cli import replay
from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing, named_org
from tollway.cli.export import WRITERS
from tollway.domain.errors import StoreUnavailable
from tollway.domain.moment import parse_moment
from tollway.settings import Settings, SettingsError
from tollway.store.export import Row, Span, count_rows, newest_seq, read_rows

ROWS_PER_PAGE = 500


def add(commands: Commands) -> None:
    """Add `tollway ledger` and what it can do."""
    parser = commands.add_parser(
        "ledger", help="export or replay the ledger", description="The ledger as a whole."
    )
    actions: Commands = parser.add_subparsers(dest="ledger_command", required=True)
    _add_export(actions)
    replay.add(actions)


def _add_export(commands: Commands) -> None:
    what = "write one organisation's rows as csv, jsonl or parquet"
    parser = commands.add_parser("export", help=what, description=f"{what.capitalize()}.")
    parser.add_argument("--org", metavar="NAME", required=True, help="the organisation: its name or its id")
    parser.add_argument("--format", choices=sorted(WRITERS), required=True, help="what to write")
    when = "2026-03-01, or 2026-03-01T12:00:00Z; UTC where no zone is said"
    parser.add_argument("--from", dest="from_us", metavar="WHEN", type=_moment, help=f"the first end: {when}")
    parser.add_argument("--to", dest="to_us", metavar="WHEN", type=_moment, help="not included")
    parser.add_argument("--output", metavar="FILE", type=Path, help="instead of standard output")
    parser.set_defaults(run=_run_export)


def _moment(text: str) -> int:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run_export(asked: argparse.Namespace) -> int:
    if asked.from_us is not None and asked.to_us is not None and asked.from_us > asked.to_us:
        raise SettingsError("--from: it is after --to")
    if asked.output is None and asked.format == "parquet" and sys.stdout.isatty():
        raise SettingsError("--format: parquet is not for a terminal; name a file with --output")
    try:
        asyncio.run(_export(settings_of(), asked))
    except BrokenPipeError:  # whoever read it has enough; Python would complain of the rest at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, StoreUnavailable) as error:
        print(f"tollway: {error}", file=sys.stderr)
        return 1
    return 0


async def _export(settings: Settings, asked: argparse.Namespace) -> None:
    """Write the rows that there are now, page by page."""
    with closing(await existing(settings)) as database:
        org = await named_org(database, asked.org)
        upto = await database.read(newest_seq, org)
        span = Span(from_us=asked.from_us, to_us=asked.to_us, upto=upto)
        # Where rows scroll by, a bar would only be in their way.
        is_shown = sys.stderr.isatty() and not (asked.output is None and sys.stdout.isatty())
        total = await database.read(count_rows, org, span) if is_shown else None
        with (
            _sink(asked.output) as file,
            closing(WRITERS[asked.format](file)) as writer,
            tqdm(total=total, unit=" rows", disable=not is_shown) as bar,
        ):
            after: Row | None = None
            while rows := await database.read(read_rows, org, span, after=after, limit=ROWS_PER_PAGE):
                writer.write(rows)
                bar.update(len(rows))
                after = rows[-1]


@contextmanager
def _sink(output: Path | None) -> Iterator[BinaryIO]:
    """Where bytes go: standard output, or a file that is there once it is whole, for its owner only."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    target = output.resolve()
    if target.exists() and not target.is_file():
        raise SettingsError(f"--output: {output} is not a file")
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        try:
            yield cast("BinaryIO", file)
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(target)
