"""Pushes while receivers fail and pushers die: each organisation's numbers, and nobody else's.

Owns what befalls receivers and processes, and what must have come of it; does not own the receivers
(`tenants.py`). At rest, each receiver's sums are its organisation's record to the nano-dollar, and
each Loki has every row of the ledger, in order.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select

from tests.peers.monitor import MonitorServer
from tests.peers.postgres import PostgresServer
from tests.soak.books import wrong_words
from tests.soak.installation import Installation, installation
from tests.soak.scenarios import Progress, Report, silent
from tests.soak.tenants import Tenant, doubles, orgs_at, tenants
from tests.soak.witnesses import SampleWitness
from tests.world.waiting import until
from tollway.demo.receiver import Receiver, ScriptedAnswer
from tollway.domain.clock import US_PER_MS, SystemClock
from tollway.store.database import Database, all_orgs
from tollway.store.schema import integrations
from tollway.store.usage import read_entries

INTERVAL_S = 1.0
MOST_LAG_S = 2 * INTERVAL_S
SLACK_S = 1.5
"""What a busy machine may take for what it has to do."""
RECOVERED_S = 60.0

_VENDOR = ("--faults", "none")
_LAGS_S = 0.5
_WARM_S = 3.0
_ROWS = 1_000_000
_NANO = 10**9

Strike = Callable[[Receiver], Awaitable[None]]


async def _errors(receiver: Receiver) -> None:
    receiver.scripted.extend([ScriptedAnswer(status=500)] * 2)


async def _too_many(receiver: Receiver) -> None:
    receiver.scripted.append(ScriptedAnswer(status=429, headers={"Retry-After": "2"}))


async def _wrong_token(receiver: Receiver) -> None:
    receiver.scripted.append(ScriptedAnswer(status=401))


async def _hang(receiver: Receiver) -> None:
    receiver.scripted.extend([ScriptedAnswer(status=500, delay_s=3 * INTERVAL_S)] * 2)


async def _away(receiver: Receiver) -> None:
    port = int(receiver.url.rpartition(":")[2])
    await receiver.stop()
    await asyncio.sleep(3 * INTERVAL_S)
    await receiver.start(port)


# What befalls the receivers of ten organisations; real servers are stopped and started instead.
_OF_SAMPLES: Mapping[int, Strike] = {5: _errors, 6: _too_many, 7: _wrong_token, 8: _hang, 9: _away}
_OF_LINES: Mapping[int, Strike] = {1: _errors, 3: _too_many, 5: _wrong_token, 6: _hang, 7: _away}
_RESTARTED, _AWAY = 1, 2
"""The second's own server is restarted; the one that the third shares is away for seconds."""


@dataclass(slots=True, kw_only=True)
class Lags:
    """The longest lag of each receiver that nothing befell, by organisation and kind."""

    longest_s: dict[tuple[str, str], float] = field(default_factory=dict)
    asked: int = 0


async def faults(
    folder: Path,
    seed: int,
    *,
    orgs: int,
    rounds: int,
    postgres: PostgresServer | None = None,
    progress: Progress = silent,
) -> Report:
    """Receivers fail in turn, while all organisations ask; with PostgreSQL, two processes push."""
    url = ""
    if postgres is not None:
        postgres.create_database(f"pushes_{seed}")
        url = postgres.url(f"pushes_{seed}")
    chance = random.Random(seed)  # noqa: S311 - it has to be replayed
    processes = 1 if postgres is None else 2
    async with _pushing(folder, seed, orgs, url=url, processes=processes, real=True) as (made, found):
        lags = Lags()
        async with _asking(found):
            await asyncio.sleep(_WARM_S)
            sampling = asyncio.create_task(_sample_lags(made, _healthy(found), lags))
            for number in range(1, rounds + 1):
                async with asyncio.TaskGroup() as group:
                    for tenant in found:
                        group.create_task(_befall(made, tenant, chance.uniform(0, 3 * INTERVAL_S)))
                progress(f"{number} of {rounds} rounds of faults")
            sampling.cancel()
            await asyncio.wait([sampling])
        differences = await _at_rest(made, found, processes)
        worst_s = max(lags.longest_s.values())
        differences += [
            f"{kind} of {name} lagged {lag_s:.2f} s"
            for (name, kind), lag_s in lags.longest_s.items()
            if lag_s > MOST_LAG_S + SLACK_S
        ]
        notes = [f"the healthy ones lagged {worst_s:.2f} s at most, asked {lags.asked} times"]
        return await _report(made, found, f"pushes of {processes}", differences, notes)


async def handovers(
    folder: Path,
    seed: int,
    *,
    postgres: PostgresServer,
    orgs: int,
    rounds: int = 1,
    progress: Progress = silent,
) -> Report:
    """The pushing process of two is killed, then the next one is paused and woken."""
    postgres.create_database(f"handovers_{seed}")
    url = postgres.url(f"handovers_{seed}")
    async with _pushing(folder, seed, orgs, url=url, processes=1, real=False) as (made, found):
        differences: list[str] = []
        notes: list[str] = []
        async with _asking(found):
            await asyncio.sleep(_WARM_S)
            pusher, other = made.servers  # the first has all turns, and keeps them
            for number in range(1, rounds + 1):
                await other.start()
                await asyncio.sleep(_WARM_S)
                since_ms, before = _now_ms(), await _pushers(made)
                await pusher.kill()
                await asyncio.sleep(4 * INTERVAL_S)
                differences += await _late(found, since_ms, "killed", notes)
                differences += _kept(before, await _pushers(made), "killed")

                await pusher.start()
                await asyncio.sleep(_WARM_S)
                since_ms, before = _now_ms(), await _pushers(made)
                other.process.send(signal.SIGSTOP)
                await asyncio.sleep(5 * INTERVAL_S)
                other.process.send(signal.SIGCONT)
                await asyncio.sleep(2 * INTERVAL_S)
                differences += await _late(found, since_ms, "paused", notes)
                differences += _kept(before, await _pushers(made), "paused")
                await other.stop()
                progress(f"{number} of {rounds} rounds of handovers")
        differences += await _at_rest(made, found, 1)
        return await _report(made, found, "handovers", differences, notes)


@asynccontextmanager
async def _pushing(
    folder: Path, seed: int, orgs: int, *, url: str, processes: int, real: bool
) -> AsyncIterator[tuple[Installation, list[Tenant]]]:
    """Two places for processes, so many of them running, and organisations that are pushed."""
    async with (
        installation(
            folder,
            seed=seed,
            database_url=url,
            servers=2,
            vendor_flags=_VENDOR,
            push_interval_s=f"{INTERVAL_S:g}",
            push_deadline_s=f"{INTERVAL_S:g}",
            push_allow_cidrs="127.0.0.0/8",
        ) as made,
        tenants(made, orgs, seed, real=real) as found,
    ):
        if processes > 1:
            await made.servers[1].start()
        yield made, found


@asynccontextmanager
async def _asking(found: Sequence[Tenant]) -> AsyncIterator[None]:
    """All organisations ask while the block runs."""
    async with AsyncExitStack() as stack:
        for tenant in found:
            await stack.enter_async_context(tenant.load.running())
        yield


def _healthy(found: Sequence[Tenant]) -> list[tuple[Tenant, str]]:
    """Receivers that nothing befalls."""
    stopped = {found[number].prom for number in (_RESTARTED, _AWAY)}
    proms = [(one, "prom") for one in found if one.number % 10 not in _OF_SAMPLES and one.prom not in stopped]
    return proms + [(one, "loki") for one in found if one.number % 10 not in _OF_LINES]


async def _sample_lags(made: Installation, healthy: Sequence[tuple[Tenant, str]], lags: Lags) -> None:
    """Ask how it goes, until it is cancelled."""
    while True:
        for tenant, kind in healthy:
            lag_s = (await tenant.status(made))[kind]["lag_s"]
            key = tenant.name, kind
            lags.longest_s[key] = max(lag_s, lags.longest_s.get(key, 0.0))
        lags.asked += 1
        await asyncio.sleep(_LAGS_S)


async def _befall(made: Installation, tenant: Tenant, after_s: float) -> None:
    """What is this organisation's to suffer, until its receivers are served again."""
    await asyncio.sleep(after_s)
    number = tenant.number % 10
    strikes = {"prom": _OF_SAMPLES.get(number), "loki": _OF_LINES.get(number)}
    if isinstance(tenant.prom, MonitorServer) and tenant.number in (_RESTARTED, _AWAY):
        await asyncio.to_thread(tenant.prom.stop)
        await asyncio.sleep(3 * INTERVAL_S if tenant.number == _AWAY else 0)
        await asyncio.to_thread(tenant.prom.start)
    for kind, receiver in doubles(tenant).items():
        strike = strikes[kind]
        if strike is None:
            continue
        await strike(receiver)
        await until(partial(_was_tried, receiver), f"{tenant.name} is not tried", within_s=RECOVERED_S)
        if strike is _wrong_token:
            await _until_state(made, tenant, kind, "refused")
            await tenant.put(made, kind)
        await _until_state(made, tenant, kind, "ok")


def _was_tried(receiver: Receiver) -> bool:
    """Whether it has answered all that it was told to answer."""
    return not receiver.scripted


async def _until_state(made: Installation, tenant: Tenant, kind: str, state: str) -> None:
    async def is_so() -> bool:
        await asyncio.sleep(INTERVAL_S / 5)
        return bool((await tenant.status(made))[kind]["state"] == state)

    await until(is_so, f"{kind} of {tenant.name} is not {state}", within_s=RECOVERED_S)


async def _late(found: Sequence[Tenant], since_ms: int, what: str, notes: list[str]) -> list[str]:
    """Organisations that waited for their next picture, or for the one after it, for too long."""
    gaps_s = [await tenant.longest_gap_s(since_ms - round(INTERVAL_S * 1_000)) for tenant in found]
    notes.append(f"{what}: {max(gaps_s):.2f} s without a picture at most")
    return [
        f"{tenant.name} waited {gap_s:.2f} s when its pusher was {what}"
        for tenant, gap_s in zip(found, gaps_s, strict=True)
        # From the picture before to the one after: what is allowed begins up to an interval later.
        if gap_s > INTERVAL_S + MOST_LAG_S + SLACK_S
    ]


def _kept(before: Mapping[str, str], after: Mapping[str, str], what: str) -> list[str]:
    """Turns that the process which had most of them still has.

    The other may have had some: a turn ends when it is a quarter of an interval late.
    """
    pusher, _ = Counter(before.values()).most_common(1)[0]
    return [f"the turn of {one} was kept by the {what} one" for one in after if after[one] == pusher]


async def _pushers(made: Installation) -> dict[str, str]:
    """Who pushes, by receiver."""
    with closing(Database(made.sql_url)) as database:
        return await database.read(_read_pushers)


@all_orgs
def _read_pushers(db: Connection) -> dict[str, str]:
    columns = integrations.c
    rows = db.execute(select(columns.org_id, columns.kind, columns.pusher))
    return {f"{row.org_id} {row.kind}": row.pusher for row in rows}


async def _at_rest(made: Installation, found: Sequence[Tenant], alive: int) -> list[str]:
    """Wait until all is folded and every receiver has it; what differs when it should not any more."""
    await made.adopted(alive)
    with suppress(AssertionError):  # said in full below
        await until(partial(_agree, made, found), within_s=RECOVERED_S)
    differences = [difference for tenant in found for difference in await _wrong(made, tenant)]
    return differences + await _others(found)


async def _agree(made: Installation, found: Sequence[Tenant]) -> bool:
    for tenant in found:
        if await _wrong(made, tenant):
            return False
    return True


async def _wrong(made: Installation, tenant: Tenant) -> list[str]:
    """What its receivers have otherwise than its record and its ledger."""
    return [*await _wrong_samples(made, tenant), *await _wrong_lines(made, tenant)]


async def _wrong_samples(made: Installation, tenant: Tenant) -> list[str]:
    """Sums that are not the record's."""
    record = await made.ask("GET", "/v1/orgs/current", tenant.user_token)
    cost = await tenant.total("tollway_cost_usd_total")
    sums = {
        "requests": (await tenant.total("tollway_requests_total"), record["num_requests"]),
        "tokens": (await tenant.total("tollway_tokens_total"), record["total_tokens"]),
        "nano-dollars": (round(cost * _NANO), round(record["total_tokens_cost"] * _NANO)),
    }
    return [
        f"{tenant.name} has {here} {what} at its receiver, {there} in its record"
        for what, (here, there) in sums.items()
        if here != there or not there
    ]


async def _wrong_lines(made: Installation, tenant: Tenant) -> list[str]:
    """Rows that its Loki has not, or has and there are none."""
    with closing(Database(made.sql_url)) as database:
        rows = await database.read(read_entries, tenant.org, limit=_ROWS)
    wanted = {row.seq: str(row.entry.request_id) for row in rows}
    missing = wanted.items() - tenant.loki.rows().items()
    foreign = tenant.loki.rows().items() - wanted.items()
    if not (missing or foreign):
        return []
    return [
        f"{tenant.name}: {len(missing)} of {len(wanted)} rows are not in Loki, {len(foreign)} are strange"
    ]


async def _others(found: Sequence[Tenant]) -> list[str]:
    """Numbers and lines of one organisation at another's receiver, and times that did not rise."""
    differences = []
    for prom in dict.fromkeys(tenant.prom for tenant in found):
        own = {tenant.name for tenant in found if tenant.prom is prom}
        if (seen := await orgs_at(prom)) != own:
            differences.append(f"a receiver of {sorted(own)} has series of {sorted(seen)}")
        if isinstance(prom, SampleWitness):
            differences += list(prom.wrong_times())[:3]
            differences += [f"{sorted(own)} was sent what it dropped: {prom.silently_dropped[:2]}"] * bool(
                prom.silently_dropped
            )
    for tenant in found:
        if (seen := tenant.loki.orgs()) != {tenant.name}:
            differences.append(f"the Loki of {tenant.name} has lines of {sorted(seen)}")
        differences += list(tenant.loki.wrong_order())[:3]
        times_ms = await tenant.times_ms()
        if len(set(times_ms)) != len(times_ms):
            differences.append(f"{tenant.name} has two pictures of one time")
    return differences


async def _report(
    made: Installation, found: Sequence[Tenant], name: str, differences: list[str], notes: list[str]
) -> Report:
    """With what was refused, and what was said."""
    refusals = [
        f"{tenant.name}: {text.strip()[:120]}"
        for tenant in found
        for receiver in (tenant.prom, tenant.loki)
        if not isinstance(receiver, MonitorServer)
        for text in receiver.refusals
    ]
    notes.append(f"{len(refusals)} pushes were refused for what was in them {refusals[:2]}")
    pictures = [len(await tenant.times_ms()) for tenant in found]
    lines = sum(len(tenant.loki.rows()) for tenant in found)
    notes.append(f"{sum(pictures)} pictures and {lines} lines of {len(found)} organisations")
    differences += [f"it said: {line}" for line in wrong_words(made.said)]
    return Report(name=name, folder=made.folder, differences=differences, notes=notes)


def _now_ms() -> int:
    return SystemClock().now_us() // US_PER_MS
