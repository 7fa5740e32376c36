"""Apps: slugs that are unique and fixed, keys shown once, and nobody else's apps."""

import asyncio

import pytest
from sqlalchemy import Connection, select

from tests.world.stage import Answer, Stage, Tenant
from tollway.domain.ids import new_id
from tollway.domain.token import digest
from tollway.store.schema import app_keys, apps


async def create(stage: Stage, tenant: Tenant, name: str, **fields: object) -> Answer:
    body = {"name": name, **fields}
    return await stage.request("POST", "/v1/apps/create", token=tenant.user_token, body=body)


async def revoke(stage: Stage, tenant: Tenant, app_id: str) -> Answer:
    return await stage.request("DELETE", f"/v1/apps/{app_id}", token=tenant.user_token)


async def slugs(stage: Stage, tenant: Tenant) -> list[str]:
    def read(db: Connection) -> list[str]:
        return sorted(db.execute(select(apps.c.slug).where(apps.c.org_id == tenant.org_id)).scalars())

    return await stage.world.database.read(read)


async def test_slugs_are_unique_in_an_organisation_and_free_in_another(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    for name in ("My App", "my app", "MY-APP!", "my app 2", "日本"):
        assert (await create(stage, acme, name)).status == 201
    await create(stage, beta, "My App")
    assert await slugs(stage, acme) == ["acme-app", "app", "my-app", "my-app-2", "my-app-2-2", "my-app-3"]
    assert await slugs(stage, beta) == ["beta-app", "my-app"]


async def test_a_slug_stays_taken_when_its_app_is_revoked(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await revoke(stage, acme, acme.app_id)).status == 200
    await create(stage, acme, "acme app")
    assert await slugs(stage, acme) == ["acme-app", "acme-app-2"]


async def test_apps_of_one_name_made_at_once_get_slugs_of_their_own(stage: Stage) -> None:
    acme = await stage.tenant()
    made = await asyncio.gather(*(create(stage, acme, "twin") for _ in range(8)))
    assert [answer.status for answer in made] == [201] * 8
    assert len({answer.json["id"] for answer in made}) == 8
    assert len({answer.json["created_key"] for answer in made}) == 8
    wanted = ["twin", *(f"twin-{number}" for number in range(2, 9))]
    assert await slugs(stage, acme) == ["acme-app", *wanted]


async def test_of_a_key_only_its_hash_and_its_end_are_stored(stage: Stage) -> None:
    acme = await stage.tenant()
    made = (await create(stage, acme, "another")).json
    key = made["created_key"]
    assert made["key_end"] == key[-4:]

    def read(db: Connection) -> list[object]:
        row = db.execute(select(app_keys).where(app_keys.c.app_id == made["id"])).one()
        return list(row)

    stored = await stage.world.database.read(read)
    assert digest(key) in stored
    assert all(key not in str(value) for value in stored)


async def test_a_revoked_app_is_refused_and_the_other_apps_are_not(stage: Stage) -> None:
    acme = await stage.tenant()
    other = (await create(stage, acme, "other")).json["created_key"]
    assert (await stage.chat(acme)).status == 200
    revoked = await revoke(stage, acme, acme.app_id)
    assert (revoked.status, revoked.json) == (200, {"id": acme.app_id})
    await stage.world.refresh()
    assert (await stage.chat(acme)).status == 403
    body = {"model": "demo/small", "messages": [{"role": "user", "content": "Hello!"}]}
    assert (await stage.request("POST", "/v1/chat/completions", token=other, body=body)).status == 200
    assert (await stage.record(acme))["num_apps"] == 1


async def test_an_app_of_another_organisation_looks_like_one_that_is_not_there(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    unknown = new_id(stage.clock.now_us())
    foreign, nobodys = await revoke(stage, acme, beta.app_id), await revoke(stage, acme, unknown)
    assert (foreign.status, nobodys.status) == (404, 404)
    assert foreign.body.decode().replace(beta.app_id, "ID") == nobodys.body.decode().replace(unknown, "ID")
    assert (await stage.chat(beta)).status == 200
    assert (await stage.record(beta))["num_apps"] == 1


@pytest.mark.parametrize("app_id", ["x", "%00", "1'--", "00000000-0000-0000-0000-00000000000", "A" * 3_000])
async def test_what_is_no_id_is_not_found(stage: Stage, app_id: str) -> None:
    acme = await stage.tenant()
    assert (await revoke(stage, acme, app_id)).status == 404


async def test_revoking_twice_is_not_found_the_second_time(stage: Stage) -> None:
    acme = await stage.tenant()
    at_once = await asyncio.gather(*(revoke(stage, acme, acme.app_id) for _ in range(4)))
    assert sorted(answer.status for answer in at_once) == [200, 404, 404, 404]


@pytest.mark.parametrize("model", ["demo/none", "nobody/has-this"])
async def test_a_benchmark_model_without_a_price_is_refused_and_no_app_is_made(
    stage: Stage, model: str
) -> None:
    acme = await stage.tenant()
    answer = await create(stage, acme, "x", benchmark_model=model)
    assert answer.status == 422
    assert answer.json["detail"][0]["loc"] == ["body", "benchmark_model"]
    assert (await stage.record(acme))["num_apps"] == 1


async def test_what_was_said_of_an_app_is_answered(stage: Stage) -> None:
    acme = await stage.tenant()
    made = (
        await create(stage, acme, "Ünï", description="two\nlines", app_logo="https://example.com/a.png")
    ).json
    assert (made["name"], made["description"], made["org_id"]) == ("Ünï", "two\nlines", acme.org_id)
