"""`tollway orgs purge`: removes what was kept of deleted organisations, once it may go.

Owns what is printed and in which portions; does not own what is removed (`store/purge.py`) or how
long it is kept (`domain/deletion.py`).
"""

import argparse
import asyncio
import sys
from contextlib import closing

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing
from tollway.domain.clock import Clock, SystemClock
from tollway.domain.deletion import LEDGER_KEPT_DAYS, LEDGER_KEPT_US
from tollway.domain.errors import StoreUnavailable
from tollway.settings import Settings
from tollway.store.orgs import strip_org
from tollway.store.purge import list_deleted, purge_org, purge_rows


def add(commands: Commands) -> None:
    """Add `tollway orgs` and what it can do."""
    parser = commands.add_parser("orgs", help="purge deleted organisations", description="Organisations.")
    actions: Commands = parser.add_subparsers(dest="orgs_command", required=True)
    what = f"remove the ledgers of organisations that were deleted more than {LEDGER_KEPT_DAYS} days ago"
    purged = actions.add_parser(
        "purge", help=what, description=f"{what.capitalize()}; it may run at any time."
    )
    purged.set_defaults(run=_run)


def _run(_asked: argparse.Namespace) -> int:
    try:
        return asyncio.run(purge(settings_of(), SystemClock()))
    except StoreUnavailable as error:
        print(f"tollway: database_url: {error}", file=sys.stderr)
        return 1


async def purge(settings: Settings, clock: Clock) -> int:
    """Remove what may go, a portion in each transaction, and say what that was."""
    with closing(await existing(settings)) as database:
        for org, _ in await database.read(list_deleted):
            await database.write(strip_org, org)
        due = await database.read(list_deleted, clock.now_us() - LEDGER_KEPT_US)
        for org, org_name in due:
            rows = 0
            while removed := await database.write(purge_rows, org):
                rows += removed
            await database.write(purge_org, org)
            print(f"{org_name} ({org}): {rows} ledger rows removed, and all else")
        kept = len(await database.read(list_deleted))
    print(
        f"{len(due)} organisations purged; {kept} deleted ones are kept until {LEDGER_KEPT_DAYS} days after"
    )
    return 0
