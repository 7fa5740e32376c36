"""`python -m tests.soak`: every scenario, as many kills as wanted, and what came of them.

Owns arguments, progress and the summary; does not own a scenario. Exit code 1 for differences.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from tests.peers.postgres import PostgresServer
from tests.soak import limits, pushes, scenarios
from tests.soak.scenarios import Report

KILLS_PER_ROUND = 50
"""Each round begins with an empty data folder, so that differences show before the end."""

ORGS, ROUNDS_OF_FAULTS, ROUNDS_OF_HANDOVERS = 30, 16, 8
"""So that pushes are at it for three minutes each time."""

_SHOWN = 10
_KINDS = ("stops", "full", "restored", "two", "away", "limits", "push", "kills")
_COUNTS = (
    *("calls", "answered", "hung_up", "broken_off", "refused", "limited"),
    *("lines", "billed", "settled", "estimated", "failed", "unsettled", "correction"),
)


def main() -> int:
    """Run; the exit code."""
    asked = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="tollway-soak-"))
    with PostgresServer() as postgres:
        differences = asyncio.run(_soak(asked, folder, postgres))
    if differences:
        _say(f"what was left is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="in all, on SQLite and PostgreSQL in turn")
    parser.add_argument("--away-s", type=float, default=30, help="how long the database is away")
    parser.add_argument("--disconnects", type=int, default=10_000, help="of clients that are limited")
    parser.add_argument("--seed", type=int, default=0, help="of faults, requests and moments")
    parser.add_argument("--only", choices=_KINDS, help="one kind of misfortune; else all, in this order")
    return parser.parse_args()


async def _soak(asked: argparse.Namespace, folder: Path, postgres: PostgresServer) -> int:
    """How many differences there were, all told."""
    counts: Counter[str] = Counter()
    differences = 0
    async for report in _reports(asked, folder, postgres):
        counts += report.counts
        differences += len(report.differences)
        _say(f"{report.name}: {_shown(report.counts)}")
        for note in report.notes:
            _say(f"  {note}")
        if not report.differences:
            shutil.rmtree(report.folder)
        for difference in report.differences[:_SHOWN]:
            _say(f"  DIFFERENCE {difference}")
    _say(f"in all: {_shown(counts)}")
    _say(f"{differences} differences (seed {asked.seed})")
    return differences


async def _reports(
    asked: argparse.Namespace, folder: Path, postgres: PostgresServer
) -> AsyncIterator[Report]:
    seed = asked.seed
    only = asked.only
    if only in (None, "stops"):
        yield await scenarios.stops(folder / "stops", seed)
    if only in (None, "full"):
        yield await scenarios.disk_full(folder / "full", seed)
    if only in (None, "restored"):
        yield await scenarios.restored_file(folder / "file", seed)
        yield await scenarios.restored_below(folder / "below", seed, postgres=postgres)
    if only in (None, "two"):
        yield await scenarios.two_servers(folder / "two", seed, postgres=postgres)
    if only in (None, "away"):
        yield await scenarios.database_away(
            folder / "away", seed, postgres=postgres, away_s=asked.away_s, progress=_progress
        )
    if only in (None, "limits"):
        yield await limits.spending(folder / "spending", seed, postgres=postgres)
        yield await limits.minutes(folder / "minutes", seed, postgres=postgres, progress=_progress)
        yield await limits.disconnects(
            folder / "disconnects", seed, postgres=postgres, times=asked.disconnects
        )
    if only in (None, "push"):
        for number, database in enumerate((None, postgres)):
            yield await pushes.faults(
                folder / f"pushes-{number}",
                seed + number,
                orgs=ORGS,
                rounds=ROUNDS_OF_FAULTS,
                postgres=database,
                progress=_progress,
            )
        yield await pushes.handovers(
            folder / "handovers",
            seed,
            postgres=postgres,
            orgs=ORGS,
            rounds=ROUNDS_OF_HANDOVERS,
            progress=_progress,
        )
    if only in (None, "kills"):
        for number, begin in enumerate(range(0, asked.kills, KILLS_PER_ROUND)):
            url = ""
            if number % 2:
                postgres.create_database(f"kills_{number}")
                url = postgres.url(f"kills_{number}")
            yield await scenarios.kills(
                folder / f"kills-{number}",
                seed + number,
                times=min(KILLS_PER_ROUND, asked.kills - begin),
                database_url=url,
                progress=_progress_after(begin),
            )


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in _COUNTS)


def _progress_after(kills: int) -> scenarios.Progress:
    return lambda text: _progress(f"{kills} + {text}")


def _progress(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201 - the command talks to a person


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    sys.exit(main())
