"""`tollway integrations`: how pushing to organisations' receivers goes, and a probe of one.

Owns what is printed and the exit code: 0 if all is well, 1 if a receiver refuses or fails, 2 if it
could not be found out. Does not own what is asked (`control/delivery.py`).
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing, named_org
from tollway.control.delivery import OFF, ReceiverStatus, probe_stored, status_of
from tollway.domain.clock import SystemClock
from tollway.domain.errors import Forbidden, StoreUnavailable
from tollway.domain.ids import OrgId
from tollway.parts import outbound_of, vault_of
from tollway.settings import Settings
from tollway.store.database import Database
from tollway.store.integrations import list_destinations
from tollway.store.orgs import name_of

Command = Callable[[Settings, Database, OrgId | None], Coroutine[None, None, int]]


def add(commands: Commands) -> None:
    """Add `tollway integrations` and what it can do."""
    about = "how pushing to organisations' Prometheus and Loki goes"
    parser = commands.add_parser("integrations", help=about, description=f"{about.capitalize()}.")
    actions: Commands = parser.add_subparsers(dest="integrations_command", required=True)
    what = "state, lag and last error of each receiver"
    status = actions.add_parser("status", help=what, description=f"{what.capitalize()}.")
    status.add_argument("--org", metavar="NAME", help="only this organisation: its name or its id")
    status.set_defaults(run=lambda asked: _run(_status, asked))
    what = "send one probe to each stored receiver of an organisation"
    test = actions.add_parser("test", help=what, description=f"{what.capitalize()}.")
    test.add_argument("--org", metavar="NAME", required=True, help="the organisation: its name or its id")
    test.set_defaults(run=lambda asked: _run(_test, asked))


def _run(command: Command, asked: argparse.Namespace) -> int:
    try:
        return asyncio.run(_with_database(command, asked.org))
    except StoreUnavailable as error:
        print(f"tollway: database_url: {error}", file=sys.stderr)
        return 2


async def _with_database(command: Command, named: str | None) -> int:
    settings = settings_of()
    with closing(await existing(settings)) as database:
        org = None if named is None else await named_org(database, named)
        return await command(settings, database, org)


async def _status(_settings: Settings, database: Database, org: OrgId | None) -> int:
    found = {one for one, *_ in await database.read(list_destinations)} if org is None else {org}
    is_well = True
    for one in sorted(found):
        name = await database.read(name_of, one)
        statuses = await database.read(status_of, one, SystemClock().now_us())
        for kind, status in statuses.items():
            is_well = is_well and status.state in ("ok", OFF.state)
            print(_line(name, kind, status))
    return 0 if is_well else 1


def _line(name: str, kind: str, status: ReceiverStatus) -> str:
    said = [f"{name} {kind} {status.state}"]
    if status.state != OFF.state:
        said.append(f"last success {status.last_success or 'never'}")
        said.append(f"lag {status.lag_s:.0f} s, {status.lag_rows} rows")
        said += [f"{count} {reason}" for reason, count in status.dropped.items() if count]
        said += [f"protocol {status.protocol}"] if status.protocol else []
        said += [status.last_error] if status.last_error else []
    return "; ".join(said)


async def _test(settings: Settings, database: Database, org: OrgId | None) -> int:
    if org is None:
        raise AssertionError("unreachable: the argument is required")
    now_us = SystemClock().now_us()
    outbound = outbound_of(settings)
    try:
        answers = await probe_stored(
            database, org, outbound=outbound, vault=vault_of(settings), now_us=now_us
        )
    except Forbidden as error:
        print(f"tollway: --org: {error}", file=sys.stderr)
        return 2
    for kind, answer in answers.items():
        if answer is None:
            print(f"{kind}: off")
            continue
        how = "took the probe" if answer.is_ok else "did not take the probe"
        said = ", ".join(str(part) for part in (answer.protocol, answer.text or answer.status) if part)
        print(f"{kind}: {how}: {said}")
    return 0 if all(answer.is_ok for answer in answers.values() if answer) else 1
