"""Limits under load: four processes on one PostgreSQL, 64 clients, and the vendor's own bill.

Owns what is limited, what befalls those who hold the limits, and what must have come of it; does
not own the comparison of the books (`books.py`). The vendor honours caps and fails never.
"""

import asyncio
import os
import random
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
from sqlalchemy import Connection, func, select

from tests.cli.fleet import frozen
from tests.peers.postgres import PostgresServer
from tests.soak.crowd import Crowd, Habit, body_of, connection
from tests.soak.installation import MAX_RATE, PROVIDER, Installation, installation
from tests.soak.load import Seen, asked
from tests.soak.scenarios import Progress, Report, settled, silent
from tests.world.waiting import until
from tollway.domain.clock import US_PER_S, SystemClock
from tollway.domain.limit import MINUTE_US, minute_of
from tollway.domain.series import Metric
from tollway.store.database import Database, all_orgs
from tollway.store.schema import leases, ledger, series_totals

WORKERS = 4
RATE = 600
LEAST_WITH_A_KILL = 590
HARD_USD = Decimal("1.00")
REACHED_USD = Decimal("0.99")
CHEAP, DEAR = f"{PROVIDER}/small", f"{PROVIDER}/large"
REST_S = 60.0
"""What lies idle comes back after half of it at the latest."""

_STEP_S = 0.1
_WORDS = 900
"""So many that an answer reaches its cap, and a call costs much of what it may cost at most."""
_BOUNDARY_US = US_PER_S // 2
_ACCEPTS = re.compile(r"\[worker (\d+)\] \S+ process (\d+) accepts connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What one clock minute let through."""

    start_us: int
    with_kill: bool
    billed: int
    rows: int

    def __str__(self) -> str:
        return f"{self.billed} on the bill, {self.rows} rows{' (a worker was killed)' * self.with_kill}"


async def spending(folder: Path, seed: int, *, postgres: PostgresServer) -> Report:
    """A hard limit of a dollar: all clients ask until they are refused."""
    async with _fleet(folder, seed, postgres) as made:
        await made.ask("PUT", "/v1/billing/limits", made.user_token, {"spending_limit_hard": float(HARD_USD)})
        await asyncio.sleep(1)  # it is in force within a second
        # A refusal is repeated for a second without asking: the next is news only after that.
        habit = Habit(model=DEAR, words=(_WORDS, _WORDS), refusals=2, back_off_s=(1.1, 1.4))
        crowd = Crowd(made.bases()[0], made.app_key, habit, seed)
        await crowd.until_refused()
        last = await _by_each(made, DEAR, _WORDS, times=4)
        seen = [*crowd.seen, *last]
        differences = [
            f"after the limit was reached: {one}" for one in last if one.code != "spending_limit_reached"
        ]
        differences += await _held_at_rest(made)
        if not crowd.counts["shortened"]:
            differences.append("no call was shortened")
        differences += await _miscounted(made, seen)
        record = (await made.record()).total_tokens_cost
        report = await settled(made, "hard limit", differences, seen=seen)
        billed = sum((Decimal(line.cost_usd) for line in await made.bill()), Decimal(0))
        rows = sum((row.cost_usd or Decimal(0) for row in await made.rows()), Decimal(0))
        for what, spent in (("bill", billed), ("ledger", rows), ("record", record)):
            if not REACHED_USD <= spent <= HARD_USD:
                report.differences.append(f"the {what} says ${spent} of ${HARD_USD}")
        report.notes.append(
            f"${billed} on the bill, ${rows} in rows, ${record} on the record; {_shown(crowd)}"
        )
        return report


async def minutes(
    folder: Path,
    seed: int,
    *,
    postgres: PostgresServer,
    kills: Sequence[bool] = (False, True, False, False),
    last_s: float = 60,
    progress: Progress = silent,
) -> Report:
    """A rate limit of 600: minute after minute is used up, a worker being killed in some of them.

    Of the last minute, only the first `last_s` seconds are looked at.
    """
    chance = random.Random(seed)  # noqa: S311 - it has to be replayed
    async with _fleet(folder, seed, postgres) as made:
        await made.change_org(rate_limit=RATE)
        habit = Habit(model=CHEAP, words=(1, 20), back_off_s=(0.05, 0.15))
        crowd = Crowd(made.bases()[0], made.app_key, habit, seed)
        start_us = minute_of(SystemClock().now_us()) + MINUTE_US
        await _until(start_us + _BOUNDARY_US)
        async with crowd.asking():
            for number, with_kill in enumerate(kills):
                begin_us = start_us + number * MINUTE_US
                await _until(begin_us)
                if with_kill:
                    await asyncio.sleep(chance.uniform(0.2, 0.8))
                    worker = chance.choice(sorted(_workers(made)))
                    os.kill(_workers(made)[worker], signal.SIGKILL)
                is_last = number == len(kills) - 1
                await _until(begin_us + (int(last_s * US_PER_S) if is_last else MINUTE_US))
                progress(f"minute {number + 1} of {len(kills)}: {crowd.counts}")
        report = await settled(made, "rate limit", seen=crowd.seen, killed=any(kills))
        found = await _minutes(made, start_us, kills)
        for minute in found:
            # What the killed worker had is used up by the others; the vendor may not have seen all.
            least_billed = LEAST_WITH_A_KILL if minute.with_kill else RATE
            if minute.rows != RATE or not least_billed <= minute.billed <= RATE:
                report.differences.append(f"a minute let through {minute}")
        report.notes.extend(f"a minute: {minute}" for minute in found)
        report.notes.append(_shown(crowd))
        return report


async def disconnects(
    folder: Path, seed: int, *, postgres: PostgresServer, times: int, recalls: bool = False
) -> Report:
    """Clients leave at any moment: nothing stays reserved, and no call counts as running.

    `recalls`: what lies idle is asked for by changing a limit, instead of waiting half a minute.
    """
    async with _fleet(folder, seed, postgres, chunk_ms="0-5") as made:
        # So near that some calls are shortened, so far that none is refused.
        limit = {"spending_limit_hard": 15}
        await made.ask("PUT", "/v1/billing/limits", made.user_token, limit)
        await made.change_org(max_in_flight=1_000, tokens_per_minute=MAX_RATE)
        await asyncio.sleep(1)
        habit = Habit(model=CHEAP, words=(1, 100), stream_share=0.6, back_off_s=(0, 0.1), stays_s=(0, 1))
        crowd = Crowd(made.bases()[0], made.app_key, habit, seed)
        await crowd.until_left(times)
        differences = await _held_at_rest(made, recalls=recalls)
        await made.change_org(max_in_flight=1)
        await asyncio.sleep(1)
        last = await _by_each(made, CHEAP, 1, times=2)
        differences += [f"one at a time: {one}" for one in last if not one.is_done]
        differences += await _held_at_rest(made, recalls=recalls)
        seen = [*crowd.seen, *last]
        report = await settled(made, "disconnects", differences, seen=seen)
        report.notes.append(_shown(crowd))
        return report


@asynccontextmanager
async def _fleet(
    folder: Path, seed: int, postgres: PostgresServer, *, chunk_ms: str = "0"
) -> AsyncIterator[Installation]:
    """Four processes that accept connections, on a database of their own."""
    name = f"limits_{folder.name}_{seed}"
    postgres.create_database(name)
    url = postgres.url(name)
    flags = ("--faults", "none", "--chunk-ms", chunk_ms)
    async with installation(
        folder, seed=seed, database_url=url, vendor_flags=flags, workers=str(WORKERS)
    ) as made:
        await until(lambda: len(_workers(made)) >= WORKERS, within_s=REST_S)
        yield made


def _workers(made: Installation) -> dict[int, int]:
    """The process of each worker, by its number."""
    return {int(number): int(process) for number, process in _ACCEPTS.findall(made.said)}


async def _by_each(made: Installation, model: str, words: int, times: int) -> list[Seen]:
    """So many calls one after the other, by each worker in turn."""
    base = made.bases()[0]
    found: list[Seen] = []
    for number, process in _workers(made).items():
        async with AsyncExitStack() as stack:
            with ExitStack() as others:
                for other in _workers(made).values():
                    if other != process:
                        others.enter_context(frozen(other))
                session = await stack.enter_async_context(connection(base, made.app_key))
            for time in range(times):
                seen = Seen(user=f"{model}-{number}-{time}-{len(found)}", is_stream=bool(time % 2))
                await asked(session, base, msgspec.json.encode(body_of(seen, model, words)), seen)
                found.append(seen)
    return found


async def _held_at_rest(made: Installation, *, recalls: bool = False) -> list[str]:
    """Wait until no process has anything of a limit in dollars; what some have after all the time."""
    with closing(Database(made.sql_url)) as database:
        deadline = asyncio.get_running_loop().time() + REST_S
        while held := await database.read(_leases):
            if asyncio.get_running_loop().time() > deadline:
                return [f"still reserved at rest: {each}" for each in held]
            if recalls:
                await made.change_org(tokens_per_minute=MAX_RATE)
            await asyncio.sleep(_STEP_S)
    return []


async def _miscounted(made: Installation, seen: Sequence[Seen]) -> list[str]:
    """Wait until as many calls are counted as refused as clients saw refused."""
    expected = sum(one.code == "spending_limit_reached" for one in seen)
    with closing(Database(made.sql_url)) as database:
        deadline = asyncio.get_running_loop().time() + REST_S
        while (counted := await database.read(_refused)) != expected:
            if asyncio.get_running_loop().time() > deadline:
                return [f"{counted} refusals were counted, clients saw {expected}"]
            await asyncio.sleep(_STEP_S)
    return []


async def _minutes(made: Installation, start_us: int, kills: Sequence[bool]) -> list[Minute]:
    """What each minute let through, by the bill and by the rows.

    A line is written when its call ends, a row begins before its call is let through, and clocks
    differ by a little. At a minute's end nobody is let through, so each is cut a moment before.
    """
    lines = [line.time_us for line in await made.bill()]
    with closing(Database(made.sql_url)) as database:
        rows = await database.read(_begun)
    return [
        Minute(
            start_us=begin_us,
            with_kill=with_kill,
            billed=_within(lines, begin_us),
            rows=_within(rows, begin_us),
        )
        for begin_us, with_kill in ((start_us + at * MINUTE_US, kill) for at, kill in enumerate(kills))
    ]


def _within(times_us: Sequence[int], begin_us: int) -> int:
    return sum(0 <= time_us - begin_us + _BOUNDARY_US < MINUTE_US for time_us in times_us)


async def _until(us: int) -> None:
    await asyncio.sleep(max(0, us - SystemClock().now_us()) / US_PER_S)


def _shown(crowd: Crowd) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(crowd.counts.items()))


@all_orgs
def _leases(db: Connection) -> list[str]:
    where = (leases.c.minute_us == 0, leases.c.lent != 0)
    return [str(tuple(row)) for row in db.execute(select(leases).where(*where))]


@all_orgs
def _begun(db: Connection) -> list[int]:
    return list(db.execute(select(ledger.c.started_us).where(ledger.c.kind == "usage")).scalars())


@all_orgs
def _refused(db: Connection) -> int:
    where = series_totals.c.metric == Metric.REFUSED.value
    return int(
        db.execute(select(func.coalesce(func.sum(series_totals.c.value), 0)).where(where)).scalar_one()
    )
