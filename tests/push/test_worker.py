"""Tenants apart, pictures that replace each other, and receivers that change."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest

from tests.push.rows import change_integration, fold_entries, integration_of, plain_entry
from tests.world.stage import Stage, Tenant
from tollway.demo.loki import LokiReceiver
from tollway.demo.prometheus import PrometheusReceiver
from tollway.demo.receiver import ScriptedAnswer
from tollway.domain.destination import DestinationKind
from tollway.domain.ids import OrgId
from tollway.push.samples import Labels
from tollway.push.worker import REFUSED_PAUSE_S, Delivery
from tollway.store.integrations import (
    Integration,
    list_destinations,
    put_integration,
    sealing_context,
)

KINDS: tuple[DestinationKind, ...] = ("prom", "loki")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An organisation's own Prometheus and Loki."""

    user: str
    token: str
    prom: PrometheusReceiver
    loki: LokiReceiver

    def body(self) -> dict[str, object]:
        """What PUT is sent to push here."""
        basic = {"id": self.user, "token": self.token}
        return {
            "prom": {**basic, "endpoint": f"{self.prom.url}/api/v1/write"},
            "loki": {**basic, "endpoint": f"{self.loki.url}/loki/api/v1/push"},
        }


@asynccontextmanager
async def pair(stage: Stage, user: str, token: str) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        now = stage.clock.now_s
        prom = await stack.enter_async_context(
            PrometheusReceiver(user=user, token=token, now=now, accepts="2.0")
        )
        loki = await stack.enter_async_context(LokiReceiver(user=user, token=token, now=now))
        yield Pair(user=user, token=token, prom=prom, loki=loki)


async def put(stage: Stage, tenant: Tenant, body: object) -> None:
    answer = await stage.request("PUT", "/v1/orgs/integrations", token=tenant.user_token, body=body)
    assert answer.status == 200, answer.body


async def delivery_of(stage: Stage, tenant: Tenant, kind: DestinationKind) -> Delivery:
    places = await stage.world.database.read(list_destinations)
    (where,) = (place for place in places if place[:2] == (tenant.org_id, kind))
    return Delivery(stage.world.pusher, where)


def orgs_in(prom: PrometheusReceiver) -> set[str]:
    return {dict(labels)["org"] for labels in prom.series()}


def of_apps(prom: PrometheusReceiver) -> set[Labels]:
    """The series of calls, without those of the organisation as a whole."""
    return {labels for labels in prom.series() if "app" in dict(labels)}


async def test_each_organisation_gets_its_own_series_and_lines_and_nobody_elses(stage: Stage) -> None:
    async with (
        pair(stage, "1", "token-of-acme-1") as for_acme,
        pair(stage, "2", "token-of-beta-2") as for_beta,
    ):
        acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
        await put(stage, acme, for_acme.body())
        await put(stage, beta, for_beta.body())
        for turn in range(3):
            await stage.chat(acme, "for acme")
            for _ in range(turn + 1):
                await stage.chat(beta, "for beta, which is longer")
            stage.clock.advance(15)
            await stage.settled()
        for tenant, mine, calls in ((acme, for_acme, 3), (beta, for_beta, 6)):
            assert orgs_in(mine.prom) == {tenant.org_name}
            assert {dict(labels)["app"] for labels in of_apps(mine.prom)} == {f"{tenant.org_name}-app"}
            assert mine.prom.total("tollway_requests_total") == calls
            lines = mine.loki.lines()
            assert len(lines) == calls
            assert {line.labels["org"] for line in lines} == {tenant.org_name}
            assert {msgspec.json.decode(line.text)["app_id"] for line in lines} == {tenant.app_id}
            record = await stage.record(tenant)
            assert record["total_tokens"] == mine.prom.total("tollway_tokens_total")


async def test_a_token_is_sent_to_its_own_receiver_only(stage: Stage) -> None:
    async with (
        pair(stage, "1", "token-of-acme-1") as for_acme,
        pair(stage, "2", "token-of-beta-2") as for_beta,
    ):
        acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
        await put(stage, acme, for_acme.body())
        await put(stage, beta, for_beta.body())
        await stage.chat(acme)
        await stage.chat(beta)
        await stage.settled()
        for one, other in ((for_acme, for_beta), (for_beta, for_acme)):
            sent = [request.headers["Authorization"] for request in [*one.prom.requests, *one.loki.requests]]
            foreign = {request.headers["Authorization"] for request in other.prom.requests}
            assert len(sent) == 2
            assert not foreign & set(sent)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_receiver_copied_to_another_organisation_in_the_database_is_not_used(
    stage: Stage, kind: DestinationKind
) -> None:
    async with (
        pair(stage, "1", "token-of-acme-1") as for_acme,
        pair(stage, "2", "token-of-beta-2") as for_beta,
    ):
        acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
        await put(stage, acme, for_acme.body())
        await put(stage, beta, for_beta.body())
        await stage.chat(beta)
        await stage.world.folder.fold_all()
        stolen = await integration_of(stage.world.database, acme, kind)
        await change_integration(
            stage.world.database,
            beta,
            kind,
            user=stolen.user,
            endpoint=stolen.endpoint,
            token_sealed=stolen.token_sealed,
        )
        delivery = await delivery_of(stage, beta, kind)
        assert await delivery.turn() == REFUSED_PAUSE_S
        await delivery.close()
        assert for_acme.prom.requests == for_acme.loki.requests == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_endpoint_changed_in_the_database_does_not_get_the_stored_token(
    stage: Stage, kind: DestinationKind
) -> None:
    async with pair(stage, "1", "token-of-acme-1") as right, pair(stage, "1", "token-of-acme-1") as evil:
        acme = await stage.tenant()
        await put(stage, acme, right.body())
        await stage.chat(acme)
        elsewhere = str(msgspec.convert(evil.body()[kind], dict[str, str])["endpoint"])
        await change_integration(stage.world.database, acme, kind, endpoint=elsewhere)
        await stage.settled()
        assert evil.prom.requests == evil.loki.requests == []


async def test_a_new_user_at_the_same_endpoint_is_another_receiver(stage: Stage) -> None:
    """At Grafana Cloud the user is the tenant, and the endpoint is everybody's."""
    acme = await stage.tenant()
    await stage.integrate(acme)
    await stage.chat(acme)
    await stage.world.folder.fold_all()
    deliveries = [await delivery_of(stage, acme, kind) for kind in KINDS]
    for delivery in deliveries:
        await delivery.turn()
    endpoints = {"prom": f"{stage.prometheus.url}/api/v1/write", "loki": f"{stage.loki.url}/loki/api/v1/push"}
    await put(
        stage,
        acme,
        {kind: {"id": "654321", "token": "another-token", "endpoint": endpoints[kind]} for kind in KINDS},
    )
    await stage.chat(acme)
    await stage.world.folder.fold_all()
    stage.clock.advance(15)
    for delivery in deliveries:
        await delivery.turn()
        await delivery.close()
    assert stage.prometheus.total("tollway_requests_total") == 1
    assert len(stage.loki.lines()) == 1
    assert (await integration_of(stage.world.database, acme, "loki")).cursor_seq == 1
    for double in (stage.prometheus, stage.loki):
        first, second = double.requests
        assert first.headers["Authorization"] != second.headers["Authorization"]


@pytest.mark.parametrize("status", [500, 429, 260, 401, 400])
async def test_a_picture_that_failed_is_replaced_by_a_newer_one(stage: Stage, status: int) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    said = ScriptedAnswer(status=status, body="not now")
    # A 400 may mean that 2.0 is not understood: the other version gets it, too.
    stage.prometheus.scripted.extend([said] * (2 if status == 400 else 1))
    await stage.chat(acme)
    await stage.settled()
    assert stage.prometheus.series() == {}
    stored = await integration_of(stage.world.database, acme, "prom")
    assert stored.last_error == f"{status} not now"
    assert stored.dropped == (status == 400)
    await stage.chat(acme)
    stage.clock.advance(15)
    await stage.settled()
    assert stage.prometheus.total("tollway_requests_total") == 2
    stored = await integration_of(stage.world.database, acme, "prom")
    assert (stored.last_error, stored.last_success_us) == (None, stage.clock.now_us())


async def test_an_integration_that_was_removed_gets_nothing_more(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await stage.chat(acme)
    await stage.settled()
    deliveries = [await delivery_of(stage, acme, kind) for kind in KINDS]
    before = len(stage.prometheus.requests), len(stage.loki.requests)
    await put(stage, acme, {"prom": None, "loki": None})
    await stage.chat(acme)
    stage.clock.advance(60)
    await stage.settled()
    for delivery in deliveries:  # a task that has not heard of it yet
        assert await delivery.turn() > 0
        await delivery.close()
    assert (len(stage.prometheus.requests), len(stage.loki.requests)) == before


async def test_one_kind_that_was_removed_leaves_the_other(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await put(stage, acme, {"loki": None})
    await stage.chat(acme)
    await stage.settled()
    assert stage.prometheus.total("tollway_requests_total") == 1
    assert stage.loki.requests == []


async def test_a_changed_endpoint_goes_on_from_the_cursor(stage: Stage) -> None:
    async with pair(stage, "9", "another-token-there") as moved:
        acme = await stage.tenant()
        await stage.integrate(acme)
        first = await stage.chat(acme)
        await stage.settled()
        second = await stage.chat(acme)
        await put(stage, acme, moved.body())
        third = await stage.chat(acme)
        stage.clock.advance(15)
        await stage.settled()
    sent = [line.metadata["request_id"] for line in stage.loki.lines()]
    assert sent == [first.headers["x-request-id"]]
    sent = [line.metadata["request_id"] for line in moved.loki.lines()]
    assert sent == [second.headers["x-request-id"], third.headers["x-request-id"]]
    assert moved.prom.total("tollway_requests_total") == 3


async def test_an_integration_made_again_starts_now(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await put(stage, acme, {"prom": None, "loki": None})
    await stage.chat(acme, "while nobody listens")
    await stage.world.folder.fold_all()
    stage.clock.advance(15)
    await stage.integrate(acme)
    later = await stage.chat(acme, "while somebody does")
    await stage.settled()
    (line,) = stage.loki.lines()
    assert line.metadata["request_id"] == later.headers["x-request-id"]
    assert stage.prometheus.total("tollway_requests_total") == 2


async def test_more_series_than_fit_into_one_request_arrive_in_several(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    made = [plain_entry(acme, stage.clock.now_us(), model=f"model-{number}") for number in range(130)]
    await fold_entries(stage, made)
    await stage.settled()
    assert len(of_apps(stage.prometheus)) == 130 * (13 + 2 + 1 + 2 + 2 + 2)
    assert len(stage.prometheus.requests) == 2
    assert stage.prometheus.total("tollway_requests_total") == 130


async def test_a_picture_is_given_up_at_its_first_failure(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    made = [plain_entry(acme, stage.clock.now_us(), model=f"model-{number}") for number in range(130)]
    await fold_entries(stage, made)
    stage.prometheus.scripted.append(ScriptedAnswer(status=503))
    await stage.settled()
    assert len(stage.prometheus.requests) == 1


async def test_an_organisation_without_calls_is_pushed_what_there_is_now_of_it(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await stage.settled()
    assert of_apps(stage.prometheus) == set()
    assert stage.prometheus.value("tollway_spend_usd", org="acme") == 0
    assert stage.prometheus.value("tollway_rate_limit_requests_per_minute") == 200
    assert stage.loki.lines() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_endpoint_that_is_none_any_more_is_refused_and_tried_slowly(
    stage: Stage, kind: DestinationKind
) -> None:
    acme = await stage.tenant()
    endpoint = "https://[v1.fe]/push"
    context = sealing_context(OrgId(acme.org_id), kind, "1", endpoint)
    made = Integration(
        kind=kind,
        user="1",
        endpoint=endpoint,
        token_sealed=stage.world.vault.seal("a token", context),
        token_masked="••••",
    )
    now_us = stage.clock.now_us()
    await stage.world.database.write(put_integration, OrgId(acme.org_id), made, now_us)
    delivery = await delivery_of(stage, acme, kind)
    assert await delivery.turn() == REFUSED_PAUSE_S
    await delivery.close()
    stored = await integration_of(stage.world.database, acme, kind)
    assert stored.state == "refused"
    assert stored.last_error
