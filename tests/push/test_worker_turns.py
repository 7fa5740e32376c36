"""Who pushes, and when: one process at a time, times that rise, pauses that grow."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from tests.push.rows import fold_entries, integration_of, plain_entry
from tests.push.test_worker import put
from tests.push.test_worker_logs import seqs
from tests.world.clock import TurningClock
from tests.world.stage import RECEIVER_TOKEN, RECEIVER_USER, Stage, Tenant
from tollway.demo.loki import LokiReceiver
from tollway.demo.receiver import ScriptedAnswer
from tollway.domain.destination import DestinationKind
from tollway.domain.ids import OrgId
from tollway.push.streams import MAX_LINES_PER_PUSH
from tollway.push.worker import LONGEST_PAUSE_S, REFUSED_PAUSE_S, Delivery, Pusher
from tollway.store.database import Database
from tollway.store.integrations import list_destinations
from tollway.store.vault import Vault

INTERVAL_S = 10.0


def pusher(stage: Stage, id_: str, *, vault: Vault | None = None) -> Pusher:
    world = stage.world
    return Pusher(
        id=id_,
        database=world.database,
        vault=vault or world.vault,
        clock=stage.clock,
        outbound=replace(world.pusher.outbound, deadline_s=INTERVAL_S),
        interval_s=INTERVAL_S,
    )


async def delivery(by: Pusher, tenant: Tenant, kind: DestinationKind) -> Delivery:
    places = await by.database.read(list_destinations)
    (where,) = (place for place in places if place[:2] == (tenant.org_id, kind))
    return Delivery(by, where)


def times(stage: Stage) -> list[int]:
    """The times of the samples of one series."""
    return [
        at_ms
        for labels, found in stage.prometheus.series().items()
        if ("__name__", "tollway_requests_total") in labels
        for at_ms, _ in found
    ]


@pytest.mark.parametrize("kind", ["prom", "loki"])
async def test_of_two_pushers_one_pushes_and_the_other_takes_over_after_expiry(
    stage: Stage, kind: DestinationKind
) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    double = stage.prometheus if kind == "prom" else stage.loki
    one = await delivery(pusher(stage, "one"), acme, kind)
    two = await delivery(pusher(stage, "two"), acme, kind)
    await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    await one.turn()
    assert len(double.requests) == 1
    assert await two.turn() == INTERVAL_S / 2
    stage.clock.advance(INTERVAL_S)  # the first is a little late, which is no reason yet
    await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    assert await two.turn() == INTERVAL_S / 2
    assert len(double.requests) == 1
    assert (await integration_of(stage.world.database, acme, kind)).pusher == "one"
    stage.clock.advance(INTERVAL_S / 2)
    assert await two.turn() == INTERVAL_S
    assert len(double.requests) == 2
    assert await one.turn() == INTERVAL_S / 2
    assert (await integration_of(stage.world.database, acme, kind)).pusher == "two"
    for made in (one, two):
        await made.close()


class InterruptedLoki(LokiReceiver):
    """Once it has taken a push, and before it says so, something else happens: once, or each time."""

    def __init__(self, clock: TurningClock) -> None:
        super().__init__(user=RECEIVER_USER, token=RECEIVER_TOKEN, now=clock.now_s)
        self.meanwhile: deque[Callable[[], Awaitable[object]]] = deque()

    async def handle(self, request: web.Request) -> web.Response:
        """The usual answer, afterwards."""
        answer = await super().handle(request)
        if self.meanwhile:
            await self.meanwhile.popleft()()
        return answer

    def body(self) -> dict[str, object]:
        """What PUT is sent to push here."""
        endpoint = f"{self.url}/loki/api/v1/push"
        return {"loki": {"id": RECEIVER_USER, "token": RECEIVER_TOKEN, "endpoint": endpoint}}


async def test_a_pusher_that_wakes_up_after_another_took_over_moves_nothing(stage: Stage) -> None:
    acme = await stage.tenant()
    async with InterruptedLoki(stage.clock) as loki:
        await put(stage, acme, loki.body())
        one = await delivery(pusher(stage, "one"), acme, "loki")
        two = await delivery(pusher(stage, "two"), acme, "loki")
        count = MAX_LINES_PER_PUSH + 5
        await fold_entries(stage, [plain_entry(acme, stage.clock.now_us() + n) for n in range(count)])

        async def overtake() -> None:
            stage.clock.advance(60)
            loki.blocked = True
            await two.turn()

        loki.meanwhile.append(overtake)
        await one.turn()
        stored = await integration_of(stage.world.database, acme, "loki")
        assert (stored.cursor_seq, stored.pusher) == (0, "two")
        assert stored.last_error.startswith("260 ")  # the second's news, not the first's
        assert len(loki.requests) == 2  # the first one's second batch is not its to send any more
        loki.blocked = False
        stage.clock.advance(1)
        await two.turn()
        assert (await integration_of(stage.world.database, acme, "loki")).last_error is None
        assert seqs(loki) == list(range(1, count + 1))
        for made in (one, two):
            await made.close()


async def test_a_push_to_a_receiver_that_was_changed_meanwhile_moves_nothing(stage: Stage) -> None:
    acme = await stage.tenant()
    async with InterruptedLoki(stage.clock) as loki:
        await put(stage, acme, loki.body())
        mine = await delivery(pusher(stage, "one"), acme, "loki")
        await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
        loki.meanwhile.append(partial(stage.integrate, acme))
        await mine.turn()
        await mine.close()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.last_success_us) == (0, None)
    await stage.settled()
    assert seqs(stage.loki) == [1]


async def test_a_push_to_a_receiver_that_was_made_again_meanwhile_moves_nothing(stage: Stage) -> None:
    acme = await stage.tenant()
    async with InterruptedLoki(stage.clock) as loki:
        await put(stage, acme, loki.body())
        mine = await delivery(pusher(stage, "one"), acme, "loki")
        await fold_entries(stage, [plain_entry(acme, stage.clock.now_us()) for _ in range(3)])

        async def make_again() -> None:
            stage.clock.advance(0.001)
            await put(stage, acme, {"loki": None})
            await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
            await stage.integrate(acme)

        loki.meanwhile.append(make_again)
        await mine.turn()
        await mine.close()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.last_success_us) == (4, None)


async def test_a_search_that_outlasts_the_turn_is_carried_on_by_the_next_pusher(stage: Stage) -> None:
    acme = await stage.tenant()
    async with InterruptedLoki(stage.clock) as loki:
        await put(stage, acme, loki.body())
        one = await delivery(pusher(stage, "one"), acme, "loki")
        two = await delivery(pusher(stage, "two"), acme, "loki")
        loki.line_limit_bytes = 2_000
        too_long = {"labels": {"note": "x" * 3_000}}
        await fold_entries(stage, [plain_entry(acme, stage.clock.now_us() + n, **too_long) for n in range(4)])

        async def take_long() -> None:
            stage.clock.advance(5)

        async def die() -> None:
            stage.clock.advance(60)
            task.cancel()
            await asyncio.sleep(0)

        # All, half, and the first two lines, twice each, take 30 s, with turns of 12.5; then it dies.
        loki.meanwhile.extend([take_long] * 6 + [die])
        task = asyncio.create_task(one.turn())
        with pytest.raises(asyncio.CancelledError):
            await task
        stored = await integration_of(stage.world.database, acme, "loki")
        assert (stored.cursor_seq, stored.dropped) == (2, 2)
        await two.turn()
        stored = await integration_of(stage.world.database, acme, "loki")
        assert (stored.cursor_seq, stored.dropped) == (4, 4)
        for made in (one, two):
            await made.close()


async def test_times_of_samples_rise_across_pushers_and_while_the_clock_stands(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    one = await delivery(pusher(stage, "one"), acme, "prom")
    two = await delivery(pusher(stage, "two"), acme, "prom")
    for _ in range(3):
        await one.turn()
        await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    stage.clock.advance(60)
    await two.turn()
    stage.clock.advance(60)
    await one.turn()
    stage.clock.advance(-120)  # an unlucky clock
    await one.turn()
    found = times(stage)
    assert len(found) == len(set(found)) == 6
    assert found == sorted(found)
    assert found[0] == stage.clock.now_us() // 1000
    for made in (one, two):
        await made.close()


async def test_pauses_double_while_a_receiver_fails_and_end_with_success(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    mine = await delivery(pusher(stage, "one"), acme, "loki")
    stage.loki.scripted.extend(ScriptedAnswer(status=500) for _ in range(20))
    pauses = [await mine.turn() for _ in range(20)]
    for failures, pause_s in enumerate(pauses):
        wanted_s = min(INTERVAL_S * 2**failures, LONGEST_PAUSE_S)
        assert 0.8 * wanted_s <= pause_s <= 1.2 * wanted_s
    assert await mine.turn() == INTERVAL_S
    stage.loki.scripted.append(ScriptedAnswer(status=500))
    await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    assert await mine.turn() <= 1.2 * INTERVAL_S
    await mine.close()


@pytest.mark.parametrize(
    ("answer", "least_s", "most_s"),
    [
        (ScriptedAnswer(status=429, headers={"Retry-After": "77"}), 77, 77),
        (ScriptedAnswer(status=503, headers={"Retry-After": "1"}), 8, 12),
        (ScriptedAnswer(status=429, headers={"Retry-After": "9" * 400}), 3_600, 3_600),
        (ScriptedAnswer(status=401), REFUSED_PAUSE_S, REFUSED_PAUSE_S),
        (ScriptedAnswer(status=404), REFUSED_PAUSE_S, REFUSED_PAUSE_S),
        (ScriptedAnswer(status=400), INTERVAL_S, INTERVAL_S),
    ],
)
async def test_a_verdict_says_how_long_the_pause_is_and_the_turn_outlasts_it(
    stage: Stage, answer: ScriptedAnswer, least_s: float, most_s: float
) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    stage.prometheus.scripted.append(answer)
    mine = await delivery(pusher(stage, "one"), acme, "prom")
    pause_s = await mine.turn()
    await mine.close()
    assert least_s <= pause_s <= most_s
    stored = await integration_of(stage.world.database, acme, "prom")
    assert stored.pusher_until_us > stage.clock.now_us() + pause_s * 1_000_000


async def test_a_token_sealed_with_a_key_that_is_gone_is_not_sent_and_pushed_later(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    mine = await delivery(pusher(stage, "one", vault=Vault([bytes(32)])), acme, "loki")
    assert await mine.turn() == REFUSED_PAUSE_S
    await mine.close()
    assert stage.loki.requests == []
    await stage.settled()
    assert seqs(stage.loki) == [1]


async def test_a_database_that_is_away_is_waited_for(stage: Stage, tmp_path: Path) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    by = pusher(stage, "one")
    away = Database(f"sqlite:///{tmp_path}/nobody/is/here.db")
    try:
        mine = Delivery(replace(by, database=away), (OrgId(acme.org_id), "loki", 0))
        pauses = [await mine.turn() for _ in range(3)]
    finally:
        away.close()
    await mine.close()
    assert pauses == sorted(pauses)
    assert pauses[0] >= 0.8 * INTERVAL_S
