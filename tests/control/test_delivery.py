"""How pushing goes, as the admin sees it, and probes: what receivers say, and to whom tokens go."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, select

from tests.control.people import member
from tests.push.certificates import Authority
from tests.push.rows import change_integration, fold_entries, integration_of, plain_entry
from tests.push.test_worker import pair, put
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.demo.receiver import ScriptedAnswer
from tollway.domain.clock import US_PER_S
from tollway.domain.moment import iso
from tollway.push.probe import PROBE_METRIC
from tollway.settings import Settings
from tollway.store.deployment import renew_instance
from tollway.store.outbox_schema import outbox

OFF = {
    "state": "off",
    "last_success": None,
    "last_error": None,
    "lag_s": 0.0,
    "lag_rows": 0,
    "dropped": {"refused": 0, "too_old": 0},
    "protocol": None,
}


async def status(stage: Stage, tenant: Tenant) -> dict[str, Any]:
    answer = await stage.request("GET", "/v1/orgs/integrations/status", token=tenant.user_token)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


async def probe(stage: Stage, token: str, body: object = None) -> Answer:
    return await stage.request("POST", "/v1/orgs/integrations/test", token=token, body=body or {})


async def letters(stage: Stage) -> list[tuple[str, Any]]:
    def read(db: Connection) -> list[tuple[str, Any]]:
        return [(row.kind, row.content) for row in db.execute(select(outbox))]

    return await stage.world.database.read(read)


class TestStatus:
    async def test_without_receivers_all_is_off(self, stage: Stage) -> None:
        assert await status(stage, await stage.tenant()) == {"prom": OFF, "loki": OFF}

    async def test_before_the_first_push_it_is_still_being_tried(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        stage.clock.advance(3)
        found = await status(stage, acme)
        assert (found["prom"]["state"], found["prom"]["lag_s"]) == ("retrying", 3)
        assert (found["loki"]["state"], found["loki"]["lag_s"]) == ("retrying", 0)

    async def test_what_is_taken_is_ok(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        await stage.chat(acme)
        await stage.settled()
        at = iso(stage.clock.now_us())
        stage.clock.advance(7)
        assert await status(stage, acme) == {
            "prom": {**OFF, "state": "ok", "last_success": at, "lag_s": 7, "protocol": "2.0"},
            "loki": {**OFF, "state": "ok", "last_success": at, "protocol": "json"},
        }

    async def test_rows_that_wait_are_counted_with_how_long_the_oldest_does(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        stage.loki.scripted.append(ScriptedAnswer(status=503, body="busy"))
        await fold_entries(stage, [plain_entry(acme, stage.clock.now_us()) for _ in range(3)])
        await stage.world.pusher.push_once()
        stage.clock.advance(20)
        found = (await status(stage, acme))["loki"]
        assert (found["state"], found["last_error"]) == ("retrying", "503 busy")
        assert (found["lag_rows"], found["lag_s"]) == (3, 20)

    async def test_a_refusal_is_told_in_the_receivers_words_and_once_by_letter(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        refused = ScriptedAnswer(status=401, body="who are you?")
        for _ in range(3):
            stage.prometheus.scripted.append(refused)
            stage.clock.advance(300)
            await stage.settled()
        found = (await status(stage, acme))["prom"]
        assert (found["state"], found["last_error"]) == ("refused", "401 who are you?")
        ((kind, content),) = await letters(stage)
        endpoint = f"{stage.prometheus.url}/api/v1/write"
        assert kind == "integration.refused"
        assert content == {"kind": "prom", "endpoint": endpoint, "answer": "401 who are you?"}
        stage.clock.advance(300)
        await stage.settled()
        assert (await status(stage, acme))["prom"]["state"] == "ok"
        stage.prometheus.scripted.append(refused)
        stage.clock.advance(300)
        await stage.settled()
        assert len(await letters(stage)) == 2

    async def test_what_is_dropped_is_counted_by_reason(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        await change_integration(stage.world.database, acme, "loki", dropped=2, too_old=3)
        assert (await status(stage, acme))["loki"]["dropped"] == {"refused": 2, "too_old": 3}

    async def test_nobody_else_sees_it(self, stage: Stage) -> None:
        acme, other = await stage.tenant(), await stage.tenant("other")
        await stage.integrate(acme)
        assert await status(stage, other) == {"prom": OFF, "loki": OFF}
        refused = await stage.request("GET", "/v1/orgs/integrations/status", token=acme.app_key)
        assert refused.status == 401


class TestProbes:
    async def test_stored_receivers_get_one_probe_each_and_say_what_they_think(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        taken = {"ok": True, "status": 204, "answer": None}
        answer = await probe(stage, acme.user_token)
        assert answer.json == {
            "prom": {**taken, "protocol": "2.0"},
            "loki": {**taken, "protocol": None},
        }
        assert stage.prometheus.value(PROBE_METRIC, org="acme") == stage.clock.now_us() / US_PER_S
        (line,) = stage.loki.lines(org="acme")
        assert line.text == '{"message":"a test of the integration","org":"acme"}'
        stored = await integration_of(stage.world.database, acme, "loki")
        assert (stored.cursor_seq, stored.last_success_us) == (0, None)

    async def test_a_kind_that_is_not_there_is_null(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        await put(stage, acme, {"loki": None})
        assert (await probe(stage, acme.user_token)).json["loki"] is None

    @pytest.mark.parametrize("status", [401, 404, 429, 500])
    async def test_a_refusal_comes_in_the_receivers_own_words(self, stage: Stage, status: int) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        stage.prometheus.scripted.append(ScriptedAnswer(status=status, body="not you"))
        found = (await probe(stage, acme.user_token)).json
        said = {"ok": False, "status": status, "answer": f"{status} not you", "protocol": None}
        assert found["prom"] == said
        assert found["loki"]["ok"]

    async def test_a_receiver_that_is_not_there_is_told(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        await stage.loki.stop()
        found = (await probe(stage, acme.user_token)).json["loki"]
        assert (found["ok"], found["status"]) == (False, None)
        assert "no connection" in found["answer"]

    async def test_a_given_receiver_is_probed_and_not_stored(self, stage: Stage) -> None:
        acme = await stage.tenant()
        async with pair(stage, "7", "a-token-that-is-given") as given:
            body = given.body()
            answer = await probe(stage, acme.user_token, {"prom": body["prom"]})
            assert answer.json["prom"]["ok"]
            assert answer.json["loki"] is None
            assert len(given.prom.requests) == 1
        assert await integration_of(stage.world.database, acme, "prom") is None

    @pytest.mark.parametrize("token", ["••••self", "••••"])
    async def test_a_masked_token_is_never_sent_anywhere(self, stage: Stage, token: str) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        async with pair(stage, "7", "a-token-that-is-given") as other:
            receiver = {"id": "7", "token": token, "endpoint": f"{other.prom.url}/api/v1/write"}
            answer = await probe(stage, acme.user_token, {"prom": receiver})
            assert answer.status == 422
            assert answer.json["detail"][0]["loc"] == ["body", "prom", "token"]
            assert other.prom.requests == stage.prometheus.requests == []

    @pytest.mark.parametrize(
        "body",
        [
            {"prom": {"endpoint": "https://receiver.example.com/push"}},
            {"prom": {"id": "1", "token": "a-token"}},
            {"prom": {"id": "1", "token": "a-token", "endpoint": "http://10.0.0.1/push"}},
            {"prom": {"id": "1", "token": "a-token", "endpoint": "http://169.254.169.254/latest"}},
            {"prometheus": None},
        ],
    )
    async def test_what_is_not_complete_or_may_not_be_reached_is_a_422(
        self, stage: Stage, body: object
    ) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        assert (await probe(stage, acme.user_token, body)).status == 422
        assert stage.prometheus.requests == stage.loki.requests == []

    async def test_who_may_not_change_receivers_may_not_try_them(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        reader = await member(stage, acme, "reader@example.com", [])
        assert (await probe(stage, reader)).status == 403
        assert stage.prometheus.requests == []

    async def test_an_endpoint_changed_in_the_database_does_not_get_the_stored_token(
        self, stage: Stage
    ) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        async with pair(stage, "123456", "whatever-it-is") as evil:
            endpoint = f"{evil.prom.url}/api/v1/write"
            await change_integration(stage.world.database, acme, "prom", endpoint=endpoint)
            found = (await probe(stage, acme.user_token)).json["prom"]
            assert (found["ok"], found["answer"]) == (
                False,
                "the stored token does not open: send it again",
            )
            assert evil.prom.requests == []

    async def test_an_inactive_organisation_sends_none(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        await stage.request(
            "PATCH", f"/v1/operator/orgs/{acme.org_id}", token=OPERATOR_TOKEN, body={"is_active": False}
        )
        assert (await probe(stage, acme.user_token)).status == 403
        assert stage.prometheus.requests == []

    async def test_its_samples_are_of_the_instance_that_pushes_are(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        database = stage.world.database
        instance = await database.write(renew_instance, stage.clock.now_us())
        assert (await probe(stage, acme.user_token)).json["prom"]["ok"]
        (labels,) = [labels for labels in stage.prometheus.series() if ("__name__", PROBE_METRIC) in labels]
        assert ("instance", instance) in labels


class TestAuthorities:
    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        return Authority(tmp_path).bundle

    @pytest.fixture
    def settings(self, settings: Settings, bundle: Path) -> Settings:
        return msgspec.structs.replace(settings, push_ca_bundle=str(bundle))

    async def test_are_read_at_the_start_and_not_for_each_probe(self, stage: Stage, bundle: Path) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        await asyncio.to_thread(bundle.unlink)
        found = (await probe(stage, acme.user_token)).json
        assert (found["prom"]["ok"], found["loki"]["ok"]) == (True, True)
