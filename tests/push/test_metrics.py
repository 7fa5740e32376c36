"""Samples on their way: protocols that receivers prove, series that end, and what is remembered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Literal

import pytest

from tests.metering.ledgers import forget
from tests.push.rows import fold_entries, integration_of, plain_entry
from tests.push.test_worker import delivery_of, put
from tests.push.test_worker_tasks import opened, pushing
from tests.world.stage import Stage, Tenant
from tests.world.waiting import until
from tollway.demo.prometheus import PrometheusReceiver, is_stale
from tollway.demo.receiver import ScriptedAnswer
from tollway.settings import Settings
from tollway.store.picture import DELETED_APP_US


def versions(prometheus: PrometheusReceiver) -> list[str]:
    """Of remote write, request by request."""
    return [request.headers["X-Prometheus-Remote-Write-Version"] for request in prometheus.requests]


async def pushed(stage: Stage) -> None:
    stage.clock.advance(15)
    await stage.settled()


@asynccontextmanager
async def one_call(stage: Stage) -> AsyncIterator[Tenant]:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await stage.chat(acme)
    yield acme


@pytest.mark.parametrize(
    ("accepts", "first", "then", "protocol"),
    [
        ("2.0", ["2.0.0"], ["2.0.0"], "2.0"),
        ("1.0", ["2.0.0", "0.1.0"], ["0.1.0"], "1.0"),
        ("415", ["2.0.0", "0.1.0"], ["0.1.0"], "1.0"),
    ],
)
async def test_a_receiver_is_spoken_to_in_what_it_proves_to_understand_and_that_is_remembered(
    stage: Stage, accepts: Literal["1.0", "2.0", "415"], first: list[str], then: list[str], protocol: str
) -> None:
    async with one_call(stage) as acme:
        stage.prometheus.accepts = accepts
        await stage.settled()
        assert versions(stage.prometheus) == first
        assert (await integration_of(stage.world.database, acme, "prom")).protocol == protocol
        assert stage.prometheus.total("tollway_requests_total") == 1
        await stage.chat(acme)
        await pushed(stage)
        assert versions(stage.prometheus) == first + then
        assert stage.prometheus.total("tollway_requests_total") == 2


async def test_a_receiver_that_is_replaced_by_an_older_one_loses_nothing(stage: Stage) -> None:
    async with one_call(stage) as acme:
        await stage.settled()
        stage.prometheus.accepts = "1.0"
        await stage.chat(acme)
        await pushed(stage)
        assert versions(stage.prometheus) == ["2.0.0", "2.0.0", "0.1.0"]
        assert stage.prometheus.total("tollway_requests_total") == 2


async def test_an_endpoint_that_is_put_again_may_prove_another_protocol(stage: Stage) -> None:
    async with one_call(stage) as acme:
        stage.prometheus.accepts = "1.0"
        await stage.settled()
        stage.prometheus.accepts = "2.0"
        await stage.integrate(acme)
        await pushed(stage)
        assert (await integration_of(stage.world.database, acme, "prom")).protocol == "2.0"


async def test_a_refusal_that_proves_2_0_is_not_sent_again_as_1_0(stage: Stage) -> None:
    async with one_call(stage) as acme:
        proof = {"X-Prometheus-Remote-Write-Samples-Written": "0"}
        stage.prometheus.scripted.append(ScriptedAnswer(status=400, headers=proof, body="no"))
        await stage.settled()
        assert versions(stage.prometheus) == ["2.0.0"]
        assert (await integration_of(stage.world.database, acme, "prom")).protocol == "2.0"


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_an_answer_that_is_not_about_the_content_proves_nothing(stage: Stage, status: int) -> None:
    async with one_call(stage) as acme:
        stage.prometheus.scripted.append(ScriptedAnswer(status=status))
        await stage.settled()
        assert versions(stage.prometheus) == ["2.0.0"]
        assert (await integration_of(stage.world.database, acme, "prom")).protocol is None


def last_values(prometheus: PrometheusReceiver) -> list[float]:
    return [samples[-1][1] for samples in prometheus.series().values()]


async def test_the_series_of_an_integration_that_is_removed_end_with_stale_markers(
    stage: Stage, settings: Settings
) -> None:
    async with opened(stage, settings):
        acme = await stage.tenant()
        await stage.integrate(acme)
        await stage.chat(acme)
        await stage.world.folder.fold_all()
        await until(lambda: stage.prometheus.total("tollway_requests_total") == 1)
        await put(stage, acme, {"prom": None})
        await until(lambda: all(map(is_stale, last_values(stage.prometheus))))
        await until(lambda: not [name for name in pushing() if "prom" in name])
    assert stage.prometheus.series()


async def test_the_series_of_a_restored_database_begin_anew_and_the_former_ones_end(
    stage: Stage, settings: Settings
) -> None:
    async with opened(stage, settings):
        acme = await stage.tenant()
        await stage.integrate(acme)
        for _ in range(3):
            await stage.chat(acme)
        await stage.world.folder.fold_all()
        await until(lambda: stage.prometheus.total("tollway_requests_total") == 3)
        forget(stage.world.database)
        await stage.world.recover()
        former = {"instance": stage.world.deployment}
        stage.clock.advance(1)
        await until(lambda: not stage.prometheus.total("tollway_requests_total", **former))
        await until(lambda: stage.prometheus.total("tollway_requests_total") == 3)
    falls = [
        labels
        for labels, samples in stage.prometheus.series().items()
        for (_, before), (_, after) in pairwise(samples)
        if dict(labels)["__name__"].endswith(("_total", "_bucket", "_count")) and after < before
    ]
    assert falls == []


async def test_the_series_go_on_where_only_the_token_of_their_receiver_was_sent_again(
    stage: Stage, settings: Settings
) -> None:
    async with opened(stage, settings):
        acme = await stage.tenant()
        await stage.integrate(acme)
        await until(lambda: stage.prometheus.series() != {})
        stage.clock.advance(1)
        seen = len(stage.prometheus.requests)
        await stage.integrate(acme)
        await until(lambda: len(stage.prometheus.requests) > seen + 1)
    assert not any(map(is_stale, last_values(stage.prometheus)))


async def test_the_series_of_a_deleted_app_end_an_hour_later_and_others_go_on(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    now_us = stage.clock.now_us()
    await fold_entries(stage, [plain_entry(acme, now_us), plain_entry(acme, now_us, app="other-app")])
    delivery = await delivery_of(stage, acme, "prom")
    await delivery.turn()
    path = f"/v1/apps/{acme.app_id}"
    assert (await stage.request("DELETE", path, token=acme.user_token)).status == 200
    stage.clock.advance(DELETED_APP_US / 1_000_000 - 1)
    await delivery.turn()
    assert stage.prometheus.total("tollway_requests_total") == 2
    for _ in range(2):
        stage.clock.advance(15)
        await delivery.turn()
        assert stage.prometheus.total("tollway_requests_total") == 1
    await delivery.close()
    ended = [
        [is_stale(value) for _, value in samples]
        for labels, samples in stage.prometheus.series().items()
        if ("app", "acme-app") in labels
    ]
    assert ended
    assert all(each == [False, False, True] for each in ended)


async def test_gauges_say_how_it_is_now(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    limits = {"spending_limit_soft": 1.5, "spending_limit_hard": 2.25}
    assert (
        await stage.request("PUT", "/v1/billing/limits", token=acme.user_token, body=limits)
    ).status == 200
    await stage.chat(acme)
    await stage.settled()
    value = stage.prometheus.value
    assert value("tollway_spending_limit_usd", kind="soft") == 1.5
    assert value("tollway_spending_limit_usd", kind="hard") == 2.25
    assert value("tollway_rate_limit_requests_per_minute") == 200
    assert value("tollway_free_balance_usd") == 0
    assert value("tollway_spend_usd") == (await stage.record(acme))["total_tokens_cost"] > 0
    month_s = 40 * 86_400
    stage.clock.advance(month_s)
    await stage.settled()
    assert value("tollway_spend_usd") == 0
    assert stage.prometheus.total("tollway_requests_total") == 1


async def test_the_time_to_the_first_token_is_that_of_streams(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    now_us = stage.clock.now_us()
    started = {"started_us": now_us - 3_000_000}
    waited: list[dict[str, int]] = [{}, {"first_token_us": 300_000}, {"first_token_us": 20_000}]
    await fold_entries(stage, [plain_entry(acme, now_us, **started, **each) for each in waited])
    await stage.settled()
    name = "tollway_time_to_first_token_seconds"
    assert stage.prometheus.value(f"{name}_count") == 2
    assert stage.prometheus.value(f"{name}_sum") == 0.32
    assert stage.prometheus.value(f"{name}_bucket", le="0.05") == 1
    assert stage.prometheus.value(f"{name}_bucket", le="0.5") == 2
