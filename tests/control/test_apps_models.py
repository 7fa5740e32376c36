"""Models on and off for an app: refused in the gateway, not listed, and nobody else notices."""

from typing import Any

import pytest

from tests.world.entries import ON_SQLITE
from tests.world.stage import Answer, Stage, Tenant
from tollway.domain.ids import AppId

SMALL, LARGE = "demo/small", "demo/large"


async def switch(stage: Stage, tenant: Tenant, model: str, query: str = "") -> Answer:
    path = f"/v1/apps/{tenant.app_id}/models/{model}/toggle{query}"
    answer = await stage.request("PUT", path, token=tenant.user_token)
    await stage.world.refresh()
    return answer


async def shown(stage: Stage, tenant: Tenant) -> dict[str, Any]:
    answer = await stage.request("GET", f"/v1/apps/{tenant.app_id}/models", token=tenant.user_token)
    assert answer.status == 200, answer.body
    models: dict[str, Any] = answer.json
    return models


async def names(stage: Stage, tenant: Tenant) -> list[str]:
    """What its key finds."""
    listed = await stage.request("GET", "/v1/models", token=tenant.app_key)
    return [model["id"] for model in listed.json["data"]]


async def test_every_model_is_on_at_first(stage: Stage) -> None:
    acme = await stage.tenant()
    assert await shown(stage, acme) == {
        "active_models": 2,
        "base_model_settings": [
            {"id": SMALL, "provider": "demo", "active": True},
            {"id": LARGE, "provider": "demo", "active": True},
        ],
    }


async def test_a_model_that_is_off_is_refused_to_the_apps_keys_until_it_is_on_again(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    assert (await stage.chat(acme)).status == 200
    for _ in range(2):
        off = await switch(stage, acme, SMALL, "?enable=false")
        assert off.json == {
            "success": True,
            "model": {"id": SMALL, "provider": "demo", "active": False},
            "active": False,
        }
    refused = await stage.chat(acme)
    assert (refused.status, refused.json["error"]["code"]) == (403, "model_switched_off")
    assert refused.json["error"]["param"] == "model"
    assert (await stage.chat(acme, model=LARGE)).status == 200
    assert (await stage.chat(beta)).status == 200
    assert await names(stage, acme) == [LARGE]
    assert await names(stage, beta) == [SMALL, LARGE]
    one = await stage.request("GET", f"/v1/models/{SMALL}", token=acme.app_key)
    assert (one.status, one.json["error"]["code"]) == (403, "model_switched_off")
    models = await shown(stage, acme)
    assert (models["active_models"], models["base_model_settings"][0]["active"]) == (1, False)
    app = (await stage.request("GET", f"/v1/apps/{acme.app_id}", token=acme.user_token)).json
    assert app["main"]["models_off"] == [SMALL]

    assert (await switch(stage, acme, SMALL)).json["active"]
    assert (await stage.chat(acme)).status == 200
    assert await names(stage, acme) == [SMALL, LARGE]
    await stage.settled()
    assert (await stage.record(acme))["num_requests"] == 3


async def test_it_is_known_from_the_view_alone(stage: Stage) -> None:
    acme = await stage.tenant()
    await switch(stage, acme, SMALL, "?enable=false")
    await stage.chat(acme)
    view = stage.world.gateway.live.known(acme.app_key)
    assert view is not None
    assert (view.app_id, view.models_off) == (AppId(acme.app_id), frozenset({SMALL}))


@pytest.mark.parametrize("name", ["demo%2Fsmall", "demo/small"])
@ON_SQLITE
async def test_a_name_may_have_its_slash_as_it_is(stage: Stage, name: str) -> None:
    acme = await stage.tenant()
    assert (await switch(stage, acme, name, "?enable=0")).json["model"]["id"] == SMALL


@pytest.mark.parametrize("name", ["demo/gone", "gone/gone", "%00", "..%2F..", "gone"])
@ON_SQLITE
async def test_a_model_that_nobody_has_is_not_found(stage: Stage, name: str) -> None:
    acme = await stage.tenant()
    answer = await switch(stage, acme, name)
    assert (answer.status, "no vendor here has this model" in answer.json["detail"]) == (404, True)
    assert (await switch(stage, acme, SMALL, "?enable=perhaps")).status == 422


async def test_a_revoked_app_has_no_models(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
    assert (await switch(stage, acme, SMALL)).status == 404
    path = f"/v1/apps/{acme.app_id}/models"
    assert (await stage.request("GET", path, token=acme.user_token)).status == 404
