"""What pushing costs: 1,000 organisations with 50 series each, every 15 s, by one process.

The receiver is another process, which takes all it is sent. Run: `python -m bench.pushing`; with a
folder and the receiver's port it is the process that pushes.
"""

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import uvloop
from sqlalchemy import Connection, insert

from bench.processes import line_of, running
from tollway.domain.ids import OrgId, UserId, new_id
from tollway.domain.series import BUCKET_LABELS, NO_GAUGES, Metric, Series, Totals
from tollway.domain.token import masked
from tollway.push.samples import Picture
from tollway.settings import Settings
from tollway.store.integrations import Integration, put_integration, sealing_context
from tollway.store.orgs import create_org
from tollway.store.schema import series_totals
from tollway.store.users import create_user
from tollway.store.vault import Vault
from tollway.world import open_world

_ORGS = 1_000
_INTERVAL_S = 15.0
_WARM_UP_INTERVALS = 3
_INTERVALS = 4
_KINDS = ("input", "cache_read", "output", "reasoning")
_PLACE = ("app", "instant/model", "instant")
_SERIES = (
    *(Series(*_PLACE, metric, kind) for metric in (Metric.TOKENS, Metric.COST) for kind in _KINDS),
    *(Series(*_PLACE, Metric.BENCHMARK_COST, kind) for kind in _KINDS),
    *(Series(*_PLACE, Metric.REQUESTS, status) for status in ("200", "429", "500", "502", "499")),
    *(
        Series(*_PLACE, metric, bound)
        for metric in (Metric.DURATION_BUCKET, Metric.TTFT_BUCKET)
        for bound in BUCKET_LABELS
    ),
    Series(*_PLACE, Metric.DURATION_SUM, ""),
    Series(*_PLACE, Metric.TTFT_SUM, ""),
)


def main() -> None:
    """Print the line."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        receiver = stack.enter_context(running("-m", "bench.instant", "receiver"))
        port = line_of(receiver, r"^(\d+)$")
        pusher = stack.enter_context(running("-m", "bench.pushing", folder, port))
        print(line_of(pusher, r"(.*MB.*)"))


async def push(folder: Path, port: int) -> None:
    """Push for some intervals, and print what that cost."""
    settings = Settings(
        data_dir=str(folder), push_interval_s=_INTERVAL_S, push_allow_cidrs="127.0.0.0/8", demo="off"
    )
    async with open_world(settings, runs_tasks=False) as world, asyncio.TaskGroup() as group:
        await world.database.write(_make_orgs, world.vault, f"http://127.0.0.1:{port}/api/v1/write")

        def start(run: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
            async def running() -> None:
                await run()

            return group.create_task(running(), name=name)

        pushing = start(lambda: world.pusher.run(start), "push")
        await asyncio.sleep(_WARM_UP_INTERVALS * _INTERVAL_S)
        begun, used = time.monotonic(), time.process_time()
        await asyncio.sleep(_INTERVALS * _INTERVAL_S)
        share = (time.process_time() - used) / (time.monotonic() - begun)
        totals = Totals(msgspec.json.encode(_SERIES).decode(), [1] * len(_SERIES))
        print(_told(share, len(Picture("org", "here").samples(totals, NO_GAUGES))))
        sys.stdout.flush()
        pushing.cancel()


def _told(share: float, num_series: int) -> str:
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{_ORGS:,} organisations with {num_series} series each, every {_INTERVAL_S:g} s: "
        f"{share:.1%} of a core, {mb:.0f} MB at most"
    )


def _make_orgs(db: Connection, vault: Vault, endpoint: str) -> None:
    now_us = time.time_ns() // 1_000
    user: UserId = create_user(db, email="user@example.com", name="user", token=new_id(now_us), now_us=now_us)
    for number in range(_ORGS):
        org = OrgId(new_id(now_us))
        create_org(
            db,
            org,
            org_name=f"org-{number}",
            display_name=None,
            billing_email=None,
            creator=user,
            tier="_INTERNAL_",
            now_us=now_us,
        )
        context = sealing_context(org, "prom", str(number), endpoint)
        receiver = Integration(
            kind="prom",
            user=str(number),
            endpoint=endpoint,
            token_sealed=vault.seal("a token of a receiver", context),
            token_masked=masked("a token of a receiver"),
        )
        put_integration(db, org, receiver, now_us)
        rows = [{"org_id": org, **series._asdict(), "value": 10**6 + number} for series in _SERIES]
        db.execute(insert(series_totals), rows)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        uvloop.run(push(Path(sys.argv[1]), int(sys.argv[2])))
    else:
        main()
