"""What befalls an installation under load, and then the comparison of its books.

Owns the misfortunes; does not own what must agree after them (`books.py`). Each scenario takes a
folder that is not there yet and a seed.
"""

import asyncio
import errno
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.postgres import PostgresServer
from tests.soak.books import REFUSED, Row, compare, wrong_words
from tests.soak.installation import Installation, installation
from tests.soak.load import Pace, Seen
from tests.soak.processes import EndedError
from tests.world.waiting import until
from tollway.domain.clock import US_PER_S, SystemClock
from tollway.domain.limit import MINUTE_US, minute_of

PATIENCE_S = 60.0
MIB = 1024 * 1024
SMALL_DISK_BYTES = 4 * MIB
_FSYNCS = ("interval", "group", "never")
UNLENT = "limits_unavailable"
"""While the database is away, what a process has of a minute can be used up; the next is shared."""
ASKED_US = 6 * US_PER_S
"""What was asked before a minute began is answered by then."""
MORE_MEMORY_BYTES = 64 * MIB
"""What a server may take more while its database is away, however long that is."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a scenario went."""

    name: str
    folder: Path
    differences: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def silent(_progress: str) -> None:
    """Show nothing."""


async def kills(
    folder: Path, seed: int, *, times: int, database_url: str = "", progress: Progress = silent
) -> Report:
    """`kill -9` while it serves, while it starts and recovers, and while it stops."""
    chance = random.Random(seed)  # noqa: S311 - it has to be replayed
    fsync = _FSYNCS[seed % len(_FSYNCS)]
    async with installation(folder, seed=seed, database_url=database_url, journal_fsync=fsync) as made:
        async with made.load(seed, Pace()).running():
            for number in range(1, times + 1):
                await _until_its_end(made, chance)
                await made.server.kill()
                await made.server.begin()
                progress(f"{number} of {times} kills, {len(made.calls)} calls")
            await made.server.ready()
        return await settled(made, "kills", killed=True)


async def stops(folder: Path, seed: int, *, database_url: str = "") -> Report:
    """SIGTERM under load, with more, less and no time to drain: nothing is unsettled."""
    chance = random.Random(seed)  # noqa: S311 - it has to be replayed
    slow = ("--first-byte-ms", "5-400", "--chunk-ms", "0-40")
    async with installation(folder, seed=seed, database_url=database_url, vendor_flags=slow) as made:
        differences = []
        async with made.load(seed, Pace()).running():
            for next_drain_s in (1, 0, 0):  # after the default
                await asyncio.sleep(chance.uniform(1, 2))
                if (code := await made.server.stop()) != 0:
                    differences.append(f"the stop before drain_s = {next_drain_s} ended with {code}")
                await made.server.start("--drain-s", str(next_drain_s))
        return await settled(made, "stops", differences)


async def database_away(
    folder: Path, seed: int, *, postgres: PostgresServer, away_s: float, progress: Progress = silent
) -> Report:
    """PostgreSQL is stopped and started again under load; then once more, with a `kill -9` meanwhile."""
    name = f"away_{seed}"
    postgres.create_database(name)
    async with installation(folder, seed=seed, database_url=postgres.url(name)) as made:
        notes, differences = [], []
        async with made.load(seed, Pace()).running():
            await _until(lambda: _has_answers(made, 50), "it answers nobody")
            await asyncio.sleep(1)  # all know the key by now, and that nothing about it changed since
            before, rss_bytes = len(made.calls), made.server.process.rss_bytes
            await asyncio.to_thread(postgres.stop)
            full_us, full_at = minute_of(SystemClock().now_us()) + MINUTE_US, None
            for second in range(int(away_s)):
                await asyncio.sleep(1)
                if full_at is None and SystemClock().now_us() > full_us + ASKED_US:
                    full_at = len(made.calls)
                progress(f"away for {second + 1} of {away_s:g} s, {len(made.calls) - before} calls")
            calls = len(made.calls) - before
            more_bytes = made.server.process.rss_bytes - rss_bytes
            status, checks = await made.readiness()
            await asyncio.to_thread(postgres.start)
            await _until(lambda: _is_ready(made), "it does not find its database again")
        notes.append(f"{calls} calls while the database was away; {more_bytes / MIB:+.1f} MiB of memory")
        full_at = len(made.calls) if full_at is None else full_at
        unlent = sum(one.code == UNLENT for one in made.calls[before:full_at])
        notes.append(f"{unlent} were refused until the next full minute, as no more of it was lent")
        if status != 503 or checks["database"] == "ok" or checks["journal"] != "ok":
            differences.append(f"readyz while it was away: {status} {checks}")
        if calls == 0 or more_bytes > MORE_MEMORY_BYTES:
            differences.append(notes[-1])
        differences += [
            f"not answered: {one}"
            for at, one in enumerate(made.calls)
            if not one.hung_up and not _is_served(one) and not (before <= at < full_at and one.code == UNLENT)
        ]
        async with made.load(seed + 1, Pace()).running():
            await asyncio.sleep(0.5)
            await asyncio.to_thread(postgres.stop)
            await asyncio.sleep(1)
            await made.server.kill()
        await asyncio.to_thread(postgres.start)
        return await settled(made, "database away", differences, notes, killed=True)


async def disk_full(folder: Path, seed: int) -> Report:
    """The journals' disk fills up under load, twice; the second time the server dies of something else."""
    async with installation(folder, seed=seed, journal_disk_bytes=SMALL_DISK_BYTES) as made:
        journals, differences = made.data / "journal", []
        async with made.load(seed, Pace()).running():
            await _until(lambda: _has_answers(made, 50), "it answers nobody")
            filler = _fill(journals)
            await _until(lambda: _has_refusals(made, 0), "it never refused")
            status, checks = await made.readiness()
            if status != 503 or checks["journal"] == "ok":
                differences.append(f"readyz while the disk is full: {status} {checks}")
            await asyncio.sleep(1)
            filler.unlink()
            await _until(lambda: _is_ready(made), "it does not recover")
            before = len(made.calls)
            await _until(lambda: _has_answers(made, before), "it answers nobody after it recovered")

            filler = _fill(journals)
            filled_at = len(made.calls)
            await _until(lambda: _has_refusals(made, filled_at), "it never refused again")
            await made.server.kill()
            try:
                await made.server.start()
                differences.append("it started although it can record nothing")
            except EndedError as refused:
                if "no journal can be kept" not in str(refused):
                    differences.append(f"a start on a full disk: {refused}")
            filler.unlink()
            await made.server.start()
            started_at = len(made.calls)
            await _until(lambda: _has_answers(made, started_at), "it answers nobody after the start")
        return await settled(made, "disk full", differences, killed=True)


async def restored_file(folder: Path, seed: int) -> Report:
    """An older copy of the SQLite file is put back; `tollway ledger replay` brings the rows since then."""
    async with installation(folder, seed=seed) as made:
        file, older = made.data / "tollway.db", folder / "older.db"
        async with made.load(seed, Pace()).running():
            await asyncio.sleep(1)
            await asyncio.to_thread(_copy, file, older)
            await asyncio.sleep(1)
            await made.server.kill()  # one journal that the copy knows, and has a part of
            await made.server.start()
            await asyncio.sleep(1)
            await made.server.stop()  # and one that it has never heard of
        before = await made.rows()
        older.replace(file)
        for name in ("tollway.db-wal", "tollway.db-shm"):
            (made.data / name).unlink(missing_ok=True)
        differences = await _replayed(made)
        missing = _said(before) - _said(await made.rows())
        differences += [f"not replayed: {row}" for row in sorted(missing)]
        return await settled(made, "restored file", differences, killed=True)


async def restored_below(folder: Path, seed: int, *, postgres: PostgresServer) -> Report:
    """PostgreSQL is set back to an older state below a server that goes on serving, and beside a replay."""
    name, older = f"restored_{seed}", f"older_{seed}"
    postgres.create_database(name)
    async with installation(folder, seed=seed, database_url=postgres.url(name)) as made:
        async with made.load(seed, Pace()).running():
            await asyncio.sleep(1)
            await made.server.stop()
            await asyncio.to_thread(postgres.create_database, older, name)
            await made.server.start()
            await asyncio.sleep(1)
            await made.server.kill()
            await made.server.start()
            await asyncio.sleep(1)
            await asyncio.to_thread(postgres.drop_database, name)
            await asyncio.to_thread(postgres.create_database, name, older)
            differences = await _replayed(made)
            await _until(lambda: _is_ready(made), "it does not find its database again")
        return await settled(made, "restored below", differences, killed=True)


async def two_servers(folder: Path, seed: int, *, postgres: PostgresServer, times: int = 2) -> Report:
    """Two servers share folder and database; one is killed, and the other takes its journal over."""
    chance = random.Random(seed)  # noqa: S311 - it has to be replayed
    name = f"two_{seed}"
    postgres.create_database(name)
    async with installation(folder, seed=seed, database_url=postgres.url(name), servers=2) as made:
        async with made.load(seed, Pace()).running():
            await made.servers[1].start()
            for _ in range(times):
                await asyncio.sleep(chance.uniform(0.3, 1))
                victim = chance.choice(made.servers)
                await victim.kill()
                await made.adopted(alive=1)
                await victim.start()
        return await settled(made, "two servers", killed=True)


async def _until_its_end(made: Installation, chance: random.Random) -> None:
    """Up to a random moment of a server's life: while it starts, serves or stops."""
    match chance.choice(("start", "serve", "serve", "serve", "stop")):
        case "start":
            await asyncio.sleep(chance.uniform(0.4, 1.1) * made.start_s)
        case "serve":
            await made.server.ready()
            await asyncio.sleep(chance.uniform(0, 1))
        case _:
            await made.server.ready()
            await asyncio.sleep(chance.uniform(0, 0.5))
            made.server.process.send(signal.SIGTERM)
            await asyncio.sleep(chance.uniform(0, 0.3))


async def _until(holds: Callable[[], bool | Awaitable[bool]], complaint: str) -> None:
    """As `until`, with the patience that a misfortune takes."""
    await until(holds, complaint, within_s=PATIENCE_S)


def _has_answers(made: Installation, after: int) -> bool:
    """Whether completions have come since the first `after` calls."""
    return any(one.is_done for one in made.calls[after:])


def _has_refusals(made: Installation, after: int) -> bool:
    """Whether calls were refused since the first `after` ones."""
    return any(one.code == "metering_unavailable" for one in made.calls[after:])


async def _is_ready(made: Installation) -> bool:
    """Whether `/readyz` says so."""
    status, _ = await made.readiness()
    return status == 200


async def _replayed(made: Installation) -> list[str]:
    """`tollway ledger replay`; what it complained of."""
    code, said = await made.command("ledger", "replay")
    return [] if code == 0 else [f"tollway ledger replay: {said}"]


def _said(rows: Iterable[Row]) -> set[tuple[str, str, str]]:
    """What rows say, however they are numbered."""
    return {(row.request_id, row.kind, row.outcome) for row in rows}


def _is_served(seen: Seen) -> bool:
    """Whether it has an answer, be it the vendor's refusal."""
    return seen.is_complete and seen.code not in REFUSED


def _fill(folder: Path) -> Path:
    """Take all the room that a disk has left; the file that does."""
    filler = folder / ".filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler


def _copy(file: Path, target: Path) -> None:
    """A copy of a database that is in use, by SQLite's own means."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


async def settled(
    made: Installation,
    name: str,
    differences: list[str] | None = None,
    notes: list[str] | None = None,
    *,
    killed: bool = False,
    seen: Iterable[Seen] | None = None,
) -> Report:
    """Let everything settle by a last stop and start, of one process, and compare the books.

    `seen`: what clients saw, where they were not the installation's own.
    """
    differences = differences or []
    for server in made.servers:
        if server.base is not None and (code := await server.stop()) != 0:
            differences.append(f"its stop ended with {code}")
    await made.server.start("--workers", "1")
    await made.adopted(alive=1)
    record = await made.record()
    if (code := await made.server.stop()) != 0:
        differences.append(f"its last stop ended with {code}")
    open_ = [state.id for state in await made.journals() if state.closed_us is None]
    differences += [f"journal {journal} is not closed" for journal in open_]
    bill, rows, (code, audited) = await asyncio.gather(made.bill(), made.rows(), made.command("audit"))
    books = compare(bill, rows, made.calls if seen is None else seen, record)
    if books.counts["unsettled"] and not killed:
        differences.append(f"{books.counts['unsettled']} calls are unsettled, though nobody was killed")
    differences += books.differences
    if code != 0:
        differences.append(f"tollway audit: {audited}")
    differences += [f"it said: {line}" for line in wrong_words(made.said)]
    return Report(
        name=name,
        folder=made.folder,
        differences=differences,
        counts=books.counts,
        notes=notes or [],
    )
