"""What an organisation's plan and its own editors limit its apps and keys to."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from tests.control.people import member
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.domain.ids import new_id
from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.domain.subscription import PlanSettings
from tollway.settings import Settings
from tollway.store.changes import position, since
from tollway.store.schema import orgs

REFUSED = {
    "rate_limit": ["0", "-1", "1000000001", "1.5", "1.0", '"5"', "true", "9" * 5_000],
    "tokens_per_minute": ["0", "-1", "1000000000000001", "1e3"],
    "spending_limit": ["0", "0.0", "-1", "0.0000000001", "1000000000.1", '"5"', "true", "NaN"],
    "requests": ["5"],
}


async def put(stage: Stage, tenant: Tenant, path: str, body: str, token: str | None = None) -> Answer:
    """Limits as JSON text, so that numbers are sent as they are written."""
    headers = {"Content-Type": "application/json"}
    return await stage.request(
        "PUT",
        f"/v1/apps/{path}/limits",
        token=token or tenant.user_token,
        data=body.encode(),
        headers=headers,
    )


async def show(stage: Stage, tenant: Tenant, path: str) -> Answer:
    return await stage.request("GET", f"/v1/apps/{path}/limits", token=tenant.user_token)


async def limits(stage: Stage, tenant: Tenant) -> dict[str, Any]:
    answer = await show(stage, tenant, tenant.app_id)
    assert answer.status == 200, answer.body
    read: dict[str, Any] = json.loads(answer.body, parse_float=Decimal)
    return read


async def create(stage: Stage, tenant: Tenant, name: str = "another") -> Answer:
    return await stage.request("POST", "/v1/apps/create", token=tenant.user_token, body={"name": name})


async def test_limits_of_an_app_and_of_its_key_are_shown_without_the_key(stage: Stage) -> None:
    acme = await stage.tenant()
    shown = await show(stage, acme, acme.app_id)
    (key,) = shown.json["keys"]
    none = {"rate_limit": None, "tokens_per_minute": None, "spending_limit": None}
    assert shown.json == {
        **none,
        "id": acme.app_id,
        "keys": [{**none, "id": key["id"], "key_end": acme.app_key[-4:]}],
    }
    assert acme.app_key.encode() not in shown.body


async def test_limits_are_set_exactly_and_what_is_left_out_stays(stage: Stage) -> None:
    acme = await stage.tenant()
    (key,) = (await limits(stage, acme))["keys"]
    body = '{"rate_limit": 60, "tokens_per_minute": 1000, "spending_limit": 999999999.000000001}'
    wanted = {"rate_limit": 60, "tokens_per_minute": 1_000, "spending_limit": Decimal("999999999.000000001")}
    for path in (acme.app_id, f"{acme.app_id}/keys/{key['id']}"):
        answer = await put(stage, acme, path, body)
        assert answer.status == 200, answer.body
        read = json.loads(answer.body, parse_float=Decimal)
        assert {name: read[name] for name in wanted} == wanted
    shown = await limits(stage, acme)
    assert shown == {**wanted, "id": acme.app_id, "keys": [{**key, **wanted}]}

    assert (await put(stage, acme, acme.app_id, '{"spending_limit": null, "rate_limit": 5}')).status == 200
    assert (await put(stage, acme, f"{acme.app_id}/keys/{key['id']}", "{}")).status == 200
    assert await limits(stage, acme) == {**shown, "spending_limit": None, "rate_limit": 5}


async def test_what_is_no_limit_is_refused_and_nothing_is_stored(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await limits(stage, acme)
    for path in (acme.app_id, f"{acme.app_id}/keys/{before['keys'][0]['id']}"):
        for name, values in REFUSED.items():
            sound = '"tokens_per_minute": 7' if name != "tokens_per_minute" else '"rate_limit": 7'
            for value in values:
                answer = await put(stage, acme, path, f'{{{sound}, "{name}": {value}}}')
                assert answer.status == 422, (name, value, answer.body)
                assert [fault["loc"] for fault in answer.json["detail"]] == [["body", name]]
    assert await limits(stage, acme) == before


async def test_another_organisations_ids_are_not_found_and_change_nothing(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    before = await limits(stage, beta)
    foreign, own = before["keys"][0]["id"], (await limits(stage, acme))["keys"][0]["id"]
    nobodys = new_id(stage.clock.now_us())
    told = await stage.world.database.read(position)
    for path in (
        beta.app_id,
        nobodys,
        "x",
        "%00",
        f"{beta.app_id}/keys/{foreign}",
        f"{beta.app_id}/keys/{own}",
        f"{acme.app_id}/keys/{foreign}",
        f"{acme.app_id}/keys/{nobodys}",
        f"{acme.app_id}/keys/x",
    ):
        assert (await put(stage, acme, path, '{"rate_limit": 5}')).status == 404, path
        assert (await show(stage, acme, path)).status in (404, 405), path
    assert await limits(stage, beta) == before
    assert await stage.world.database.read(position) == told


async def test_a_revoked_app_is_not_found(stage: Stage) -> None:
    acme = await stage.tenant()
    (key,) = (await limits(stage, acme))["keys"]
    await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
    for path in (acme.app_id, f"{acme.app_id}/keys/{key['id']}"):
        assert (await put(stage, acme, path, '{"rate_limit": 5}')).status == 404
    assert (await show(stage, acme, acme.app_id)).status == 404


async def test_only_who_may_change_apps_limits_them_and_every_member_sees(stage: Stage) -> None:
    acme = await stage.tenant()
    key_path = f"{acme.app_id}/keys/{(await limits(stage, acme))['keys'][0]['id']}"
    others = EVERY_PERMISSION - {Permission.EDITOR_APP, Permission.ADMIN_APP}
    reader = await member(stage, acme, "reader@example.com", others)
    editor = await member(stage, acme, "editor@example.com", [Permission.EDITOR_APP])
    for path in (acme.app_id, key_path):
        for token, status in ((reader, 403), ("junk", 401), (acme.app_key, 401), (OPERATOR_TOKEN, 401)):
            assert (await put(stage, acme, path, '{"rate_limit": 5}', token)).status == status
        assert (await put(stage, acme, path, '{"rate_limit": 5}', editor)).status == 200
    shown = await stage.request("GET", f"/v1/apps/{acme.app_id}/limits", token=reader)
    assert (shown.status, shown.json["rate_limit"]) == (200, 5)
    await stage.world.database.write(lambda db: db.execute(update(orgs).values(is_active=False)))
    for path in (acme.app_id, key_path):
        assert (await put(stage, acme, path, '{"rate_limit": 6}')).status == 403
    assert (await limits(stage, acme))["rate_limit"] == 5


async def test_a_change_is_told_to_every_process(stage: Stage) -> None:
    acme = await stage.tenant()
    key_path = f"{acme.app_id}/keys/{(await limits(stage, acme))['keys'][0]['id']}"
    for path in (acme.app_id, key_path):
        before = await stage.world.database.read(position)
        await put(stage, acme, path, '{"rate_limit": 5}')
        assert (await stage.world.database.read(since, before)).org_ids == {acme.org_id}


class TestPlan:
    """Where new organisations have a plan of two apps."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        plans = {"_TRIAL_": PlanSettings(max_apps=2), "STARTUP": PlanSettings(max_apps=0)}
        return replace(settings, new_org_tier="_TRIAL_", plans=plans)

    async def test_beyond_the_plans_apps_none_is_made(self, stage: Stage) -> None:
        acme = await stage.tenant()
        assert (await create(stage, acme)).status == 201
        refused = await create(stage, acme)
        assert (refused.status, refused.json["code"]) == (402, "plan_exhausted")
        assert "plan, _TRIAL_, allows 2 active apps" in refused.json["detail"]
        assert (await stage.record(acme))["num_apps"] == 2
        await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
        assert (await create(stage, acme)).status == 201

    async def test_of_many_at_once_as_many_are_made_as_the_plan_allows(self, stage: Stage) -> None:
        acme = await stage.tenant()
        made = await asyncio.gather(*(create(stage, acme) for _ in range(6)))
        assert sorted(answer.status for answer in made) == [201, *[402] * 5]

    async def test_each_tier_has_its_own_number_and_one_without_a_plan_none(self, stage: Stage) -> None:
        acme = await stage.tenant()
        for tier, status in (("STARTUP", 402), ("GROWTH", 201), ("_INTERNAL_", 201), (None, 201)):
            body = {"subscription_tier": tier}
            path = f"/v1/operator/orgs/{acme.org_id}"
            assert (await stage.request("PATCH", path, token=OPERATOR_TOKEN, body=body)).status == 200
            assert (await create(stage, acme)).status == status
