"""`tollway ledger replay`: what the journals on this disk know and the database lacks, once more.

For a database that was restored from a backup; harmless at any other time, and beside a running
server. Owns what is printed; does not own the folding (`metering/recovery.py`).
"""

import argparse
import asyncio
import sys
from contextlib import closing

from tqdm import tqdm

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing
from tollway.domain.clock import SystemClock
from tollway.domain.errors import StoreUnavailable
from tollway.parts import open_recovery
from tollway.settings import Settings


def add(commands: Commands) -> None:
    """Add `replay` to `tollway ledger`."""
    what = "fold again what a restored database lacks, from the journals on this disk"
    parser = commands.add_parser("replay", help=what, description=f"{what.capitalize()}.")
    parser.set_defaults(run=_run)


def _run(_asked: argparse.Namespace) -> int:
    try:
        return asyncio.run(_replay(settings_of()))
    except StoreUnavailable as error:
        print(f"tollway: database_url: {error}", file=sys.stderr)
        return 1


async def _replay(settings: Settings) -> int:
    journals = records = 0
    with closing(await existing(settings)) as database:
        recovery = await open_recovery(settings, database, SystemClock())
        with tqdm(total=len(recovery.here()), unit=" journals", disable=None, leave=False) as bar:
            async for journal, count in recovery.replay():
                bar.update()
                journals += 1
                records += count
                if count:
                    bar.write(f"{journal}: {count} records", file=sys.stdout)
    print(f"{records} records of {journals} open journals were not in the database")
    return 0
