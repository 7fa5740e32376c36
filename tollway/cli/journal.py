"""`tollway journal`: the journals that there are, and giving up one whose disk is gone.

Owns what is printed; does not own a journal (`metering/`) or the registry (`store/journals.py`).
"""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import closing

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing
from tollway.domain.clock import SystemClock
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import JournalId
from tollway.domain.moment import iso
from tollway.parts import open_recovery
from tollway.settings import Settings
from tollway.store.journals import JournalState, forfeit_journal, list_journals

_COLUMNS = "{:<38}{:<28}{:>14}{:>14}  {:<28}{}"


def add(commands: Commands) -> None:
    """Add `tollway journal` and what it can do."""
    parser = commands.add_parser("journal", help="list or give up journals", description="The journals.")
    actions: Commands = parser.add_subparsers(dest="journal_command", required=True)
    what = "every journal: where it lies, how far it is in the ledger, whether its process lives"
    listed = actions.add_parser("list", help=what, description=f"{what.capitalize()}.")
    listed.set_defaults(run=lambda _asked: _told(_list(settings_of())))
    what = "give up a journal that cannot be reached any more; what it alone knew is lost"
    forfeited = actions.add_parser("forfeit", help=what, description=f"{what.capitalize()}.")
    forfeited.add_argument("journal", help="its id, as `tollway journal list` shows it")
    forfeited.set_defaults(run=lambda asked: _told(_forfeit(settings_of(), JournalId(asked.journal))))


def _told(work: Coroutine[None, None, int]) -> int:
    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        print(f"tollway: database_url: {error}", file=sys.stderr)
        return 1


async def _list(settings: Settings) -> int:
    with closing(await existing(settings)) as database:
        recovery = await open_recovery(settings, database, SystemClock())
        here = recovery.here()
        states = await database.read(list_journals)
    print(_COLUMNS.format("journal", "state", "folded to", "bytes here", "since", "place"))
    for state in states:
        lying = here.get(state.id)
        size = "" if lying is None else str(lying.size)
        shown = _state(state, None if lying is None else lying.is_alive)
        print(_COLUMNS.format(state.id, shown, state.folded_to, size, iso(state.added_us), state.place))
    for id_ in sorted(here.keys() - {state.id for state in states}):
        print(_COLUMNS.format(id_, "not in the database yet", "", here[id_].size, "", ""))
    return 0


def _state(state: JournalState, is_alive: bool | None) -> str:
    if state.closed_us is not None:
        return "closed"
    if state.forfeited_us is not None:
        return "forfeited"
    match is_alive:
        case True:
            return "alive"
        case False:
            return "dead, not folded yet"
        case None:
            return "elsewhere"


async def _forfeit(settings: Settings, journal: JournalId) -> int:
    clock = SystemClock()
    with closing(await existing(settings)) as database:
        recovery = await open_recovery(settings, database, clock)
        if journal in recovery.here():
            why = "it lies on this disk: `tollway serve` folds it, or `tollway ledger replay`"
            print(f"tollway: {journal} is not given up: {why}", file=sys.stderr)
            return 1
        if not await database.write(forfeit_journal, journal, clock.now_us()):
            print(f"tollway: there is no open journal {journal}", file=sys.stderr)
            return 1
    print(f"{journal} is given up: calls that only it knew of are in no ledger")
    return 0
