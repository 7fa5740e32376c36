"""What a row costs: rate cards, imported prices, unpriced models, the worst case, savings."""

import asyncio
from collections.abc import AsyncIterator
from fractions import Fraction

import pytest
from msgspec.structs import replace

from tests.gateway.labs import LAB_MODEL, import_price, put_card, with_lab
from tests.gateway.scripts import answer, entries, error, gated, only_entry
from tests.world.stage import Stage
from tests.world.waiting import until
from tollway.demo.offer import BENCHMARK_MODEL, CHEAP_MODEL
from tollway.domain.ledger import Entry, Outcome
from tollway.domain.moment import iso
from tollway.domain.money import half_even, usd
from tollway.domain.price import Cost, cost_of
from tollway.domain.usage import Unit
from tollway.gateway.ceiling import DEFAULT_COMPLETION_TOKENS, UNSEEN_TOKENS
from tollway.settings import Settings
from tollway.store.changes import prune
from tollway.store.prices import read_prices

USAGE = {
    "prompt_tokens": 1_110,
    "completion_tokens": 33,
    "total_tokens": 1_143,
    "prompt_tokens_details": {"cached_tokens": 1_023},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
# Nano-dollars a token of the demo's two models, by hand: input, cached, output.
CHEAP, DEAR = (400, 100, 1_600), (2_000, 500, 8_000)


def by_hand(rates: tuple[int, int, int], factor: str = "1") -> int:
    """What USAGE costs: 87 + 1,023 cached in, 25 + 8 thought out; rounded half to even."""
    exact = (87 * rates[0] + 1_023 * rates[1] + 33 * rates[2]) * Fraction(factor)
    return half_even(exact.numerator, exact.denominator)


async def assert_explained(stage: Stage, entry: Entry) -> None:
    """Each cost of the row can be worked out again from its units and the stored price."""
    costs: list[Cost] = [entry.cost, entry.vendor_cost, *([entry.benchmark] if entry.benchmark else [])]
    prices = await stage.world.database.read(read_prices, {cost.version for cost in costs})
    for cost in costs:
        assert cost_of(entry.units, prices[cost.version]) == cost


async def test_a_card_is_in_force_from_its_date_on(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    for tenant in (acme, other):
        stage.vendor.scripted.append(answer(USAGE))
        await stage.chat(tenant)
    put = await put_card(
        stage, acme, effective_from=iso(stage.clock.now_us() + 60_000_000), markup="1.000000001"
    )
    assert put.status == 201, put.body
    await stage.world.refresh()
    replies = []
    for tenant, seconds in ((acme, 59.999_999), (acme, 0.000_001), (other, 0)):
        stage.clock.advance(seconds)
        stage.vendor.scripted.append(answer(USAGE))
        replies.append(await stage.chat(tenant))
    *early, late = await entries(stage, acme)
    for entry in early:
        assert (entry.cost, entry.rate_card) == (entry.vendor_cost, None)
    assert late.vendor_cost.total == by_hand(CHEAP) == early[0].cost.total
    assert late.cost.total == by_hand(CHEAP, "1.000000001")
    assert late.rate_card == put.json["id"]
    assert late.cost.version == f"markup/1.000000001*{late.vendor_cost.version}"
    assert {entry.rate_card for entry in await entries(stage, other)} == {None}
    await assert_explained(stage, late)


async def test_a_markup_is_of_cost_and_benchmark_and_never_of_what_the_vendor_asks(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await put_card(stage, acme, markup="1.2501")).status == 201
    stage.vendor.scripted.append(answer(USAGE))
    reply = await stage.chat(acme)
    entry = await only_entry(stage, acme)
    assert entry.vendor_cost.total == by_hand(CHEAP) != entry.cost.total
    assert entry.cost.total == by_hand(CHEAP, "1.2501")
    assert entry.benchmark is not None
    assert entry.benchmark.total == by_hand(DEAR, "1.2501")
    assert sum(entry.cost.by_unit.values()) == entry.cost.prompt + entry.cost.completion
    assert reply.headers["tollway-cost-usd"] == usd(entry.cost.total)
    assert reply.headers["tollway-savings-usd"] == usd(entry.benchmark.total - entry.cost.total)
    record = await stage.record(acme)
    assert record["total_tokens_cost"] == float(usd(by_hand(CHEAP, "1.2501")))
    await assert_explained(stage, entry)


async def test_a_card_s_own_price_of_a_model_wins_and_the_benchmark_is_marked_up(stage: Stage) -> None:
    acme = await stage.tenant()
    prices = {CHEAP_MODEL: {"input": "3.00", "cached_input": "0.000001", "output": "12"}}
    put = await put_card(stage, acme, markup="2", prices=prices)
    stage.vendor.scripted.append(answer(USAGE))
    await stage.chat(acme)
    entry = await only_entry(stage, acme)
    assert entry.cost.total == 87 * 3_000 + 1 + 33 * 12_000  # 1,023 cached ones at 0.001
    assert entry.vendor_cost.total == by_hand(CHEAP)
    assert entry.benchmark is not None
    assert entry.benchmark.total == 2 * by_hand(DEAR)
    assert (entry.rate_card, entry.cost.version.partition("@")[0]) == (put.json["id"], "rate-card")
    await assert_explained(stage, entry)


async def test_a_card_ends_with_the_next_one(stage: Stage) -> None:
    acme = await stage.tenant()
    for markup in ("3", "1"):
        assert (await put_card(stage, acme, markup=markup)).status == 201
        await stage.world.refresh()
        await stage.chat(acme)
        stage.clock.advance(1)
    first, second = await entries(stage, acme)
    assert first.cost.total == 3 * first.vendor_cost.total
    assert (second.cost, second.rate_card) == (second.vendor_cost, None)


async def test_a_call_in_flight_keeps_the_card_and_the_prices_of_its_start(stage: Stage) -> None:
    acme = await stage.tenant()
    async with gated(stage, b"", b"data: [DONE]\n\n") as vendor:
        call = asyncio.create_task(stage.chat(acme, stream=True))
        await vendor.asked.wait()
        stage.clock.advance(1)
        assert (await put_card(stage, acme, markup="2")).status == 201
        await stage.world.refresh()
        vendor.gate.set()
        await call
    entry = await only_entry(stage, acme)
    assert (entry.cost, entry.rate_card, entry.outcome) == (entry.vendor_cost, None, Outcome.ESTIMATED)


async def test_a_refused_call_names_no_card_and_no_price(stage: Stage) -> None:
    acme = await stage.tenant()
    await put_card(stage, acme, markup="2")
    stage.vendor.scripted.append(error(400))
    await stage.chat(acme)
    entry = await only_entry(stage, acme)
    assert (entry.rate_card, entry.cost.version, entry.cost.total) == (None, "", 0)


async def test_a_failed_call_costs_what_the_vendor_reported_by_the_card(stage: Stage) -> None:
    acme = await stage.tenant()
    await put_card(stage, acme, markup="2")
    stage.vendor.scripted.append(answer(USAGE, error={"message": "broken"}))
    await stage.chat(acme)
    entry = await only_entry(stage, acme)
    assert entry.outcome is Outcome.FAILED
    assert entry.cost.total == 2 * entry.vendor_cost.total == 2 * by_hand(CHEAP)


async def test_an_open_call_holds_the_most_that_it_may_cost(stage: Stage) -> None:
    acme = await stage.tenant()
    await put_card(stage, acme, markup="1.5")
    async with gated(stage, b"", b"data: [DONE]\n\n") as vendor:
        bounded = {"stream": True, "max_completion_tokens": 10, "n": 2}
        calls = [asyncio.create_task(stage.chat(acme, **fields)) for fields in (bounded, {"stream": True})]
        await until(lambda: len(stage.world.journal.open) >= 2)
        held = sorted(start.held for start in stage.world.journal.open)
        vendor.gate.set()
        await asyncio.gather(*calls)
    completions = [20 * 1_600 * 3 // 2, DEFAULT_COMPLETION_TOKENS * 1_600 * 3 // 2]
    for most, completion in zip(held, completions, strict=True):
        prompt_tokens, rest = divmod(most - completion, 600)  # 400 each, marked up
        assert (50 < prompt_tokens - UNSEEN_TOKENS < 200, rest) == (True, 0)
    assert all(entry.cost.total <= held[0] for entry in await entries(stage, acme))


async def test_an_organisation_s_benchmark_holds_for_apps_without_one(stage: Stage) -> None:
    token = await stage.user()
    body = {"org_name": "acme", "benchmark_model": BENCHMARK_MODEL}
    made = await stage.request("POST", "/v1/orgs", token=token, body=body)
    assert made.status == 201
    keys = []
    for benchmark in (None, CHEAP_MODEL):
        wanted = {"name": "x", "benchmark_model": benchmark}
        app = await stage.request("POST", "/v1/apps/create", token=token, body=wanted)
        keys.append(app.json["created_key"])
    saved = []
    for key in keys:
        chat = {"model": CHEAP_MODEL, "messages": []}
        reply = await stage.request("POST", "/v1/chat/completions", token=key, body=chat)
        saved.append(reply.headers["tollway-savings-usd"])
    assert saved[0] != "0"
    assert saved[1] == "0"


class TestLab:
    """A vendor of whose models no price is known."""

    @pytest.fixture
    async def settings(self, settings: Settings) -> AsyncIterator[Settings]:
        async with with_lab(settings) as changed:
            yield changed

    async def test_a_model_without_a_price_is_refused_before_the_vendor_is_called(self, stage: Stage) -> None:
        acme = await stage.tenant()
        refused = await stage.chat(acme, model=LAB_MODEL)
        assert (refused.status, refused.json["error"]["code"]) == (402, "model_not_priced")
        await import_price(stage, LAB_MODEL, stage.clock.now_us() + 1, input="3", output="12")
        await stage.world.refresh()
        refused = await stage.chat(acme, model=LAB_MODEL)
        assert (refused.status, refused.json["error"]["code"]) == (402, "model_not_priced")
        assert not stage.world.journal.open
        assert await entries(stage, acme) == []

    async def test_imported_prices_are_taken_over_while_running_each_from_its_time(
        self, stage: Stage
    ) -> None:
        acme = await stage.tenant(benchmark=None)
        start_us = stage.clock.now_us()
        await import_price(stage, LAB_MODEL, input="3", output="12", request="1")
        assert (await stage.chat(acme, model=LAB_MODEL)).status == 402
        await stage.world.refresh()
        assert (await stage.chat(acme, model=LAB_MODEL)).status == 200
        await import_price(stage, LAB_MODEL, start_us + 1_000_000, input="4", output="16")
        await stage.world.refresh()
        assert (await stage.chat(acme, model=LAB_MODEL)).status == 200
        stage.clock.advance(1)
        assert (await stage.chat(acme, model=LAB_MODEL)).status == 200
        rows = await entries(stage, acme)
        for entry, (asked, told, fee) in zip(rows, ((3, 12, 1), (3, 12, 1), (4, 16, 0)), strict=True):
            units = entry.units
            by_hand = units[Unit.INPUT] * asked * 1_000 + units[Unit.OUTPUT] * told * 1_000 + fee * 10**6
            assert entry.cost.total == by_hand
            assert entry.cost.version.startswith("imported@")
            assert (entry.model, entry.benchmark_model) == (LAB_MODEL, None)
            await assert_explained(stage, entry)

    async def test_a_benchmark_may_have_an_imported_price_and_loses_it_only_with_it(
        self, stage: Stage
    ) -> None:
        await import_price(stage, LAB_MODEL, input="30", output="120")
        await stage.world.refresh()
        acme = await stage.tenant(benchmark=LAB_MODEL)
        await stage.chat(acme)
        stage.world.gateway.catalog.reprice({})
        await stage.chat(acme)
        first, second = await entries(stage, acme)
        assert first.benchmark_model == LAB_MODEL
        assert first.benchmark is not None
        assert first.benchmark.total == 75 * first.cost.total
        assert (second.benchmark_model, second.benchmark) == (None, None)

    async def test_a_feed_that_was_pruned_unread_brings_new_prices_too(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await import_price(stage, LAB_MODEL, input="3", output="12")
        await stage.world.database.write(prune, stage.clock.now_us() + 1)
        await stage.world.refresh()
        assert (await stage.chat(acme, model=LAB_MODEL)).status == 200


class TestUnpriced:
    """The same where such models are let through."""

    @pytest.fixture
    async def settings(self, settings: Settings) -> AsyncIterator[Settings]:
        async with with_lab(replace(settings, unpriced="allow")) as changed:
            yield changed

    async def test_a_row_without_a_price_is_marked_and_has_units_and_no_savings(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        await put_card(stage, acme, markup="2")
        reply = await stage.chat(acme, model=LAB_MODEL)
        assert (reply.status, reply.headers["tollway-savings-usd"]) == (200, "0")
        entry = await only_entry(stage, acme)
        assert entry.units[Unit.INPUT] > 0
        assert (entry.cost.total, entry.vendor_cost.total) == (0, 0)
        assert (entry.cost.version, entry.rate_card) == (f"unpriced/{LAB_MODEL}", None)
        assert (entry.model, entry.benchmark_model, entry.outcome) == ("lab/unpriced", None, Outcome.SETTLED)
        record = await stage.record(acme)
        assert record["total_tokens"] > 0
        assert (record["total_tokens_cost"], record["total_tokens_cost_savings"]) == (0, 0)
        (line,) = stage.loki.lines(org="acme")
        assert f'"price_version":"unpriced/{LAB_MODEL}"' in line.text
        await assert_explained(stage, entry)

    async def test_callers_cannot_make_labels_of_the_names_they_try(self, stage: Stage) -> None:
        acme = await stage.tenant()
        for number in range(5):
            reply = await stage.chat(acme, model=f"lab/try-{number}")
            assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
        assert {entry.model for entry in await entries(stage, acme)} == {"lab/unpriced"}

    async def test_a_price_ends_it(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.chat(acme, model=LAB_MODEL)
        await import_price(stage, LAB_MODEL, input="3", output="12")
        await stage.world.refresh()
        await stage.chat(acme, model=LAB_MODEL)
        models = [(entry.model, entry.cost.total > 0) for entry in await entries(stage, acme)]
        assert models == [("lab/unpriced", False), (LAB_MODEL, True)]

    async def test_a_benchmark_still_needs_a_price(self, stage: Stage) -> None:
        token = await stage.user()
        body = {"org_name": "acme", "benchmark_model": LAB_MODEL}
        refused = await stage.request("POST", "/v1/orgs", token=token, body=body)
        assert refused.status == 422
        assert refused.json["detail"][0]["loc"] == ["body", "benchmark_model"]
        assert (await stage.request("GET", "/v1/orgs/current", token=token)).json["is_personal"]

    async def test_a_benchmark_whose_price_is_still_to_come_saves_nothing(self, stage: Stage) -> None:
        await import_price(stage, LAB_MODEL, stage.clock.now_us() + 1_000_000, input="30", output="120")
        await stage.world.refresh()
        acme = await stage.tenant(benchmark=LAB_MODEL)
        await stage.chat(acme)
        stage.clock.advance(1)
        await stage.chat(acme)
        benchmarks = [entry.benchmark_model for entry in await entries(stage, acme)]
        assert benchmarks == [None, LAB_MODEL]
