"""What a ledger row says of a call: units, cost, and what the benchmark model would have cost."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.gateway.scripts import answer, entries, error, gated, only_entry
from tests.metering.journals import begin, finish, records
from tests.world.clock import TurningClock
from tests.world.stage import Stage
from tollway.demo.offer import BENCHMARK_MODEL, CHEAP_MODEL
from tollway.domain.caller import Caller
from tollway.domain.errors import Forbidden, MeteringUnavailable
from tollway.domain.ids import AppId, JournalId, KeyId, OrgId, RequestId
from tollway.domain.ledger import Entry, Outcome
from tollway.domain.usage import Unit
from tollway.gateway.call import Call
from tollway.gateway.metered import Meter, Tally
from tollway.gateway.wire import read_chat
from tollway.limits.account import Account, Desk
from tollway.limits.reservation import Reservation
from tollway.metering.disk import Disk
from tollway.metering.journal import RETRY_S, Journal
from tollway.settings import Settings

OVERLAPPING = {
    "prompt_tokens": 1_000,
    "completion_tokens": 500,
    "total_tokens": 1_500,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 50},
}


async def test_a_row_has_disjoint_units_and_their_cost(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(answer(OVERLAPPING, service_tier="priority"))
    reply = await stage.chat(acme)
    entry = await only_entry(stage, acme)
    assert entry.units == {
        Unit.INPUT: 300,
        Unit.CACHE_READ: 600,
        Unit.INPUT_AUDIO: 100,
        Unit.OUTPUT: 250,
        Unit.REASONING: 200,
        Unit.OUTPUT_AUDIO: 50,
        Unit.REQUEST: 1,
    }
    assert entry.cost.prompt == 300 * 400 + 600 * 100 + 100 * 400
    assert entry.cost.completion == 500 * 1_600
    assert entry.vendor_cost == entry.cost
    assert entry.benchmark is not None
    assert entry.benchmark_model == BENCHMARK_MODEL
    assert entry.benchmark.total == 5 * entry.cost.total
    assert entry.cost.version != entry.benchmark.version
    assert entry.service_tier == "priority"
    assert (entry.provider, entry.model, entry.app) == ("demo", CHEAP_MODEL, "acme-app")
    assert (entry.org_id, entry.app_id) == (acme.org_id, acme.app_id)
    assert reply.headers["x-request-id"] == entry.request_id
    record = await stage.record(acme)
    assert (record["prompt_tokens"], record["completion_tokens"]) == (1_000, 500)
    assert record["prompt_tokens_cost"] == 0.00022
    assert record["completion_tokens_cost_savings"] == 0.0032


async def test_savings_are_negative_where_the_benchmark_is_cheaper(stage: Stage) -> None:
    acme = await stage.tenant(benchmark=CHEAP_MODEL)
    reply = await stage.chat(acme, model=BENCHMARK_MODEL)
    entry = await only_entry(stage, acme)
    assert entry.prompt_savings + entry.completion_savings == -4 * entry.cost.total // 5
    assert reply.headers["tollway-savings-usd"].startswith("-0.")
    assert (await stage.record(acme))["total_tokens_cost_savings"] < 0


async def test_without_a_benchmark_nothing_is_saved(stage: Stage) -> None:
    acme = await stage.tenant(benchmark=None)
    reply = await stage.chat(acme)
    entry = await only_entry(stage, acme)
    assert (entry.benchmark_model, entry.benchmark) == (None, None)
    assert reply.headers["tollway-savings-usd"] == "0"
    assert (await stage.record(acme))["total_tokens_cost_savings"] == 0


async def test_a_refused_call_costs_nothing_and_saves_nothing(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(error(400))
    assert (await stage.chat(acme)).status == 400
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.units) == (Outcome.FAILED, 400, {})
    assert (entry.cost.total, entry.prompt_savings, entry.completion_savings) == (0, 0, 0)
    record = await stage.record(acme)
    assert (record["num_requests"], record["total_tokens"], record["total_tokens_cost"]) == (1, 0, 0)


async def test_one_organisation_pays_for_itself_only(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    await asyncio.gather(*(stage.chat(tenant) for tenant in (acme, other, acme)))
    assert [len(await entries(stage, tenant)) for tenant in (acme, other)] == [2, 1]
    assert (await stage.record(acme))["num_requests"] == 2
    assert (await stage.record(other))["num_requests"] == 1
    assert {entry.org_id for entry in await entries(stage, other)} == {other.org_id}


def fill(journal: Journal) -> list[Entry]:
    """Other calls in flight, until no more fit into the journal; what they end with."""
    begun = []
    with contextlib.suppress(MeteringUnavailable):
        while True:
            begun += begin(journal)
    return begun


class TestFullJournal:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, journal_segment_bytes=256 * 1024, journal_max_bytes=512 * 1024)

    async def test_a_call_that_cannot_be_recorded_is_not_made(self, stage: Stage) -> None:
        acme = await stage.tenant()
        journal = stage.world.journal
        begun = fill(journal)
        ready = await stage.request("GET", "/readyz")
        assert (ready.status, ready.json["checks"]["database"]) == (503, "ok")
        assert ready.json["checks"]["journal"] == "no new segment: the journal may take 524288 bytes"
        refused = await stage.chat(acme)
        assert (refused.status, refused.json["error"]["code"]) == (503, "metering_unavailable")
        assert stage.vendor.requests == []
        finish(journal, begun)
        await stage.settled()
        stage.clock.advance(RETRY_S)
        assert (await stage.chat(acme)).status == 200
        assert (await only_entry(stage, acme)).status == 200

    async def test_a_call_in_flight_takes_room_and_is_never_refused_its_end(self, stage: Stage) -> None:
        acme = await stage.tenant()
        async with gated(stage, b"", b"data: [DONE]\n\n") as vendor:
            first = asyncio.create_task(stage.chat(acme, stream=True))
            await vendor.asked.wait()
            begun = fill(stage.world.journal)
            assert (await stage.chat(acme)).status == 503
            vendor.gate.set()
            assert (await first).status == 200
        finish(stage.world.journal, begun)
        assert (await only_entry(stage, acme)).outcome is Outcome.ESTIMATED


class TestEnds:
    """Each way out of the block ends the call once."""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Disk:
        return Disk(tmp_path / "journal")

    @pytest.fixture
    def journal(self, disk: Disk) -> Iterator[Journal]:
        with contextlib.closing(small_journal(disk)) as journal:
            yield journal

    def tally(self, stage: Stage, journal: Journal, benchmark: str | None = None) -> Tally:
        meter = Meter(journal, stage.world.gateway.catalog, stage.clock, 0)
        asked = read_chat(b'{"model": "demo/small", "messages": []}')
        caller = Caller(
            org_id=OrgId("an-org"),
            org="acme",
            org_is_active=True,
            app_id=AppId("an-app"),
            app="app",
            app_is_active=True,
            key_id=KeyId("a-key"),
            key_is_active=True,
            benchmark_model=benchmark,
        )
        call = Call(request_id=RequestId("a-request"), received_us=0, token=None, read_body=no_body)
        account = Account(caller, Desk(caller.org_id), stage.clock)
        reservation = Reservation(account, (1, 0, 0), 0)
        route = stage.world.gateway.catalog.resolve(CHEAP_MODEL)
        return Tally(meter, call, caller, route, asked, reservation)

    def ended(self, disk: Disk, journal: Journal) -> Entry:
        assert not journal.open
        ((_, entry),) = records(disk, journal.id)
        return entry

    @pytest.mark.parametrize(
        ("error", "outcome", "status", "code"),
        [
            (Forbidden("no"), Outcome.FAILED, 403, "forbidden"),
            (asyncio.CancelledError(), Outcome.ESTIMATED, 499, "client_gone"),
            (ZeroDivisionError(), Outcome.FAILED, 500, "internal_error"),
        ],
    )
    async def test_an_error_on_the_way_ends_the_call(
        self,
        stage: Stage,
        disk: Disk,
        journal: Journal,
        error: BaseException,
        outcome: Outcome,
        status: int,
        code: str,
    ) -> None:
        with pytest.raises(type(error)), self.tally(stage, journal):
            raise error
        entry = self.ended(disk, journal)
        assert (entry.outcome, entry.status, entry.error_code) == (outcome, status, code)

    async def test_an_error_behind_the_end_does_not_end_it_twice(
        self, stage: Stage, disk: Disk, journal: Journal
    ) -> None:
        tally = self.tally(stage, journal)
        tally.count({Unit.INPUT: 5}, None, 0)
        tally.answered(200)
        with pytest.raises(Forbidden), tally:
            raise Forbidden("no")
        assert self.ended(disk, journal).outcome is Outcome.SETTLED

    async def test_a_call_ends_once(self, stage: Stage, disk: Disk, journal: Journal) -> None:
        tally = self.tally(stage, journal)
        tally.given_up()
        with pytest.raises(KeyError):
            tally.answered(200)
        assert self.ended(disk, journal).status == 499

    async def test_a_call_given_up_after_its_usage_came_is_settled(
        self, stage: Stage, disk: Disk, journal: Journal
    ) -> None:
        tally = self.tally(stage, journal)
        tally.count({Unit.INPUT: 5}, None, 0)
        tally.count({Unit.INPUT: 7}, "flex", 0)
        tally.count(None, None, 0)
        assert tally.given_up().outcome is Outcome.SETTLED
        assert (self.ended(disk, journal).units, self.ended(disk, journal).service_tier) == (
            {Unit.INPUT: 7},
            "flex",
        )

    @pytest.mark.parametrize("gone", ["demo/gone", "nobody/has-it", "gone"])
    async def test_a_benchmark_that_is_gone_saves_nothing(
        self, stage: Stage, journal: Journal, gone: str
    ) -> None:
        entry = self.tally(stage, journal, benchmark=gone).given_up()
        assert (entry.benchmark_model, entry.benchmark, entry.prompt_savings) == (None, None, 0)

    async def test_a_full_journal_admits_no_call(self, stage: Stage, journal: Journal) -> None:
        tally = self.tally(stage, journal)
        begun = fill(journal)
        with pytest.raises(MeteringUnavailable):
            self.tally(stage, journal)
        assert len(journal.open) == len(begun) + 1
        tally.answered(200)


def small_journal(disk: Disk) -> Journal:
    size = 64 * 1024
    id_ = JournalId("a-journal")
    return Journal(disk, id_, TurningClock(), segment_bytes=size, max_bytes=2 * size, fsync="never")


async def no_body() -> bytes:
    return b""


async def test_a_row_and_its_log_line_keep_what_the_caller_says_it_is_for(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    body = {"model": CHEAP_MODEL, "messages": [{"role": "user", "content": "Hello!"}], "user": "Customer-7"}
    labels = {"Tollway-Labels": '{"Team": "Search", "beta": true}'}
    path = "/v1/chat/completions"
    reply = await stage.request("POST", path, token=acme.app_key, body=body, headers=labels)
    assert reply.status == 200
    entry = await only_entry(stage, acme)
    assert (entry.end_user, entry.labels) == ("Customer-7", {"team": "search", "beta": "true"})
    assert stage.vendor.requests[-1]["user"] == "Customer-7"
    await stage.settled()
    (line,) = stage.loki.lines(org="acme")
    assert '"labels":{"team":"search","beta":"true"}' in line.text


@pytest.mark.parametrize(("level", "end_user"), [(1, "ann"), (2, "ann"), (3, None)])
async def test_at_privacy_level_3_a_row_keeps_nothing_that_a_caller_typed(
    stage: Stage, level: int, end_user: str | None
) -> None:
    acme = await stage.tenant(privacy_level=level)
    await stage.integrate(acme)
    body = {"model": CHEAP_MODEL, "messages": [], "safety_identifier": "ann"}
    labels = {"Tollway-Labels": '{"team": "search"}'}
    path = "/v1/chat/completions"
    await stage.request("POST", path, token=acme.app_key, body=body, headers=labels)
    entry = await only_entry(stage, acme)
    assert (entry.end_user, entry.labels) == (end_user, {"team": "search"} if end_user else {})
    await stage.settled()
    (line,) = stage.loki.lines(org="acme")
    assert ("search" in line.text) == (level < 3)


async def test_labels_that_cannot_be_kept_are_refused_before_the_vendor_is_called(stage: Stage) -> None:
    acme = await stage.tenant()
    body = {"model": CHEAP_MODEL, "messages": []}
    labels = {"Tollway-Labels": "team=search"}
    path = "/v1/chat/completions"
    reply = await stage.request("POST", path, token=acme.app_key, body=body, headers=labels)
    assert (reply.status, reply.json["error"]["param"]) == (400, "Tollway-Labels")
    assert stage.vendor.requests == []
    assert not stage.world.journal.open
