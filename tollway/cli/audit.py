"""`tollway audit`: does the ledger explain itself? Beside a running server, without changing anything.

Owns what is printed and the exit code, which is that of `diff`: 0 without differences, 1 with
any, 2 if it could not be done. Does not own the comparisons (`control/audit.py`).
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import closing

from tqdm import tqdm

from tollway.cli import trail
from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing, named_org
from tollway.control.audit import Check, audit, unfolded_of
from tollway.domain.clock import SystemClock
from tollway.domain.errors import StoreUnavailable
from tollway.domain.money import usd
from tollway.parts import open_recovery
from tollway.settings import Settings
from tollway.store.audit import num_rows


def add(commands: Commands) -> None:
    """Add `tollway audit`."""
    what = "work out every cost and every total again, and compare"
    parser = commands.add_parser("audit", help=what, description=f"{what.capitalize()}.")
    parser.add_argument("--org", metavar="NAME", help="only this organisation: its name or its id")
    parser.set_defaults(run=_run)
    trail.add(parser.add_subparsers(dest="audit_command"))


def _run(asked: argparse.Namespace) -> int:
    try:
        return asyncio.run(_audit(settings_of(), asked.org))
    except StoreUnavailable as error:
        print(f"tollway: database_url: {error}", file=sys.stderr)
        return 2


async def _audit(settings: Settings, named: str | None) -> int:
    """Print a line for each organisation with a difference, and a summary; the exit code."""
    organisations = differing = rows = 0
    with closing(await existing(settings)) as database:
        only = None if named is None else await named_org(database, named)
        total = await database.read(num_rows)
        with tqdm(total=total, unit=" rows", disable=None, leave=False) as bar:
            async for check in audit(database, only):
                bar.update(rows + check.rows - bar.n)
                if not check.is_done:
                    continue
                organisations += 1
                rows += check.rows
                if check.num_differences:
                    differing += 1
                    bar.write("\n".join(_lines(check)), file=sys.stdout)
        recovery = await open_recovery(settings, database, SystemClock())
        waiting = await asyncio.to_thread(unfolded_of, await recovery.unfolded())
    ending = f"{differing} with differences" if differing else "no differences"
    print(f"audited {_many(rows, 'row')} of {_many(organisations, 'organisation')}: {ending}")
    for org, unfolded in waiting.items():
        if only in (None, org):
            print(f"{org}: {unfolded.rows} rows of ${usd(unfolded.cost)} wait in journals here to be stored")
    return 1 if differing else 0


def _lines(check: Check) -> Iterator[str]:
    found = f"{_many(check.num_differences, 'difference')} in {_many(check.rows, 'row')}"
    yield f"{_plain(check.org_name or check.org)}: {found}"
    for one in check.differences:
        yield _plain(f"  {one.where}: {one.what} is {one.found}, should be {one.expected}")
    if check.num_differences > len(check.differences):
        yield f"  … and {check.num_differences - len(check.differences)} more"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _plain(text: str) -> str:
    """What was tampered with may hold anything; a terminal obeys control characters."""
    return "".join(char if char.isprintable() else "�" for char in text)
