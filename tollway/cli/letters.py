"""`tollway letters`: what waits to be mailed or was given up, and one more attempt for a letter.

Owns what is printed and the exit code; does not own the letters (`store/outbox.py`) or their sending,
which a running server does.
"""

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from contextlib import closing
from dataclasses import asdict

import msgspec

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.database import existing, named_org
from tollway.domain.clock import SystemClock
from tollway.domain.errors import StoreUnavailable
from tollway.domain.moment import iso
from tollway.settings import Settings
from tollway.store.outbox import MAX_LISTED, Standing, list_letters, retry_letter

_COLUMNS = "{:<38}{:<24}{:<22}{:<10}{:>8}  {:<28}{:<28}{}"
_GIVEN_UP = "given up"


def add(commands: Commands) -> None:
    """Add `tollway letters` and what it can do."""
    parser = commands.add_parser("letters", help="list or retry letters", description="The letters.")
    actions: Commands = parser.add_subparsers(dest="letters_command", required=True)
    what = f"letters that wait or were given up, and why; the first {MAX_LISTED:,}"
    listed = actions.add_parser("list", help=what, description=f"{what.capitalize()}.")
    listed.add_argument("--org", metavar="NAME", help="only this organisation: its name or its id")
    listed.add_argument("--json", action="store_true", help="a JSON object for each, on a line of its own")
    listed.set_defaults(run=lambda asked: _told(_list(settings_of(), asked)))
    what = "let a running server try a letter again at once, and for three more days"
    retried = actions.add_parser("retry", help=what, description=f"{what.capitalize()}.")
    retried.add_argument("letter", help="its id, as `tollway letters list` shows it")
    retried.set_defaults(run=lambda asked: _told(_retry(settings_of(), asked.letter)))


def _told(work: Coroutine[None, None, int]) -> int:
    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        print(f"tollway: database_url: {error}", file=sys.stderr)
        return 1


async def _list(settings: Settings, asked: argparse.Namespace) -> int:
    with closing(await existing(settings)) as database:
        only = None if asked.org is None else await named_org(database, asked.org)
        found = await database.read(list_letters, only)
    if not asked.json:
        heads = ("letter", "organisation", "kind", "state", "attempts", "since", "next attempt", "last error")
        print(_COLUMNS.format(*heads))
    for letter in found:
        print(_json(letter) if asked.json else _line(letter))
    return 0


def _line(letter: Standing) -> str:
    due = "" if letter.due_us is None else iso(letter.due_us)
    return _COLUMNS.format(
        letter.id,
        letter.org_name,
        letter.kind,
        _state(letter),
        letter.attempts,
        iso(letter.added_us),
        due,
        letter.last_error or "",
    ).rstrip()


def _json(letter: Standing) -> str:
    shown = asdict(letter) | {
        "state": _state(letter),
        "added": iso(letter.added_us),
        "due": None if letter.due_us is None else iso(letter.due_us),
    }
    del shown["added_us"], shown["due_us"]
    return msgspec.json.encode(shown).decode()


def _state(letter: Standing) -> str:
    return _GIVEN_UP if letter.due_us is None else "waiting"


async def _retry(settings: Settings, id_: str) -> int:
    with closing(await existing(settings)) as database:
        if not await database.write(retry_letter, id_, SystemClock().now_us()):
            print(f"tollway: no letter {id_} waits or was given up", file=sys.stderr)
            return 1
    print(f"{id_} is due now: a running server sends it within seconds")
    return 0
