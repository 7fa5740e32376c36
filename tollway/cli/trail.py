"""`tollway audit trail`: all of an organisation's audit trail as JSON lines or CSV, the oldest change first.

In bounded memory, beside a running server. Owns arguments and the two formats; does not own what a
change says (`control/trail.py`).
"""

import argparse
import asyncio
import csv
import io
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, fields
from typing import BinaryIO

import msgspec

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing, named_org
from tollway.cli.export import guarded
from tollway.control.trail import Change, told
from tollway.domain.errors import StoreUnavailable
from tollway.settings import Settings
from tollway.store.trail import read_trail

ROWS_PER_PAGE = 500
_COLUMNS = [column.name for column in fields(Change)]


def add(commands: Commands) -> None:
    """Add `tollway audit trail`."""
    what = "write who changed what in an organisation, as jsonl or csv"
    parser = commands.add_parser("trail", help=what, description=f"{what.capitalize()}.")
    parser.add_argument("--org", metavar="NAME", required=True, help="the organisation: its name or its id")
    parser.add_argument("--format", choices=sorted(_LINES), required=True, help="what to write")
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    try:
        asyncio.run(export(settings_of(), asked.org, asked.format, sys.stdout.buffer))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has enough; Python would complain of the rest at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, StoreUnavailable) as error:
        print(f"tollway: {error}", file=sys.stderr)
        return 1
    return 0


async def export(settings: Settings, named: str, format_: str, file: BinaryIO) -> None:
    """Write every change that there is, page by page."""
    line = _LINES[format_]
    with closing(await existing(settings)) as database:
        org, after = await named_org(database, named), 0
        if format_ == "csv":
            file.write(_csv_line(_COLUMNS))
        while rows := await database.read(read_trail, org, after=after, limit=ROWS_PER_PAGE):
            file.writelines(line(told(row)) for row in rows)
            after = rows[-1]["seq"]


def _json(change: Change) -> bytes:
    return msgspec.json.encode(change) + b"\n"


def _csv(change: Change) -> bytes:
    return _csv_line([_cell(value) for value in asdict(change).values()])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return guarded(value)
    text = msgspec.json.encode(value).decode()
    return text.strip('"') if not isinstance(value, dict) else text


def _csv_line(cells: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


_LINES: Mapping[str, Callable[[Change], bytes]] = {"jsonl": _json, "csv": _csv}
