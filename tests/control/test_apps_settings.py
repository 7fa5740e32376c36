"""Apps listed, shown and changed, and their sandboxes."""

from typing import Any

import pytest

from tests.control.people import member
from tests.world.entries import ON_SQLITE
from tests.world.stage import Answer, Stage, Tenant
from tollway.domain.ids import new_id
from tollway.domain.org import Permission

DEFAULTS: dict[str, Any] = {
    "weights": {"cost": 0, "latency": 0, "quality": 1},
    "policies": {
        "privacy_level": None,
        "max_cost": 0.02,
        "max_same_model_retries": 1,
        "max_switch_model_retries": 1,
        "optimize_internal_requests": 0,
    },
    "settings": {"instructions": None, "max_tokens": 4096, "temperature": 0.7},
}


async def create(stage: Stage, tenant: Tenant, name: str, **fields: object) -> Answer:
    body = {"name": name, **fields}
    return await stage.request("POST", "/v1/apps/create", token=tenant.user_token, body=body)


async def listed(stage: Stage, tenant: Tenant, query: str = "", slash: str = "/") -> dict[str, Any]:
    answer = await stage.request("POST", f"/v1/apps{slash}{query}", token=tenant.user_token, body={})
    assert answer.status == 200, answer.body
    page: dict[str, Any] = answer.json
    return page


async def shown(stage: Stage, tenant: Tenant, app_id: str | None = None) -> dict[str, Any]:
    path = f"/v1/apps/{app_id or tenant.app_id}"
    answer = await stage.request("GET", path, token=tenant.user_token)
    assert answer.status == 200, answer.body
    settings: dict[str, Any] = answer.json
    return settings


async def update(stage: Stage, tenant: Tenant, **fields: object) -> Answer:
    body = {"id": tenant.app_id, **fields}
    return await stage.request("PUT", "/v1/apps/update", token=tenant.user_token, body=body)


async def test_an_app_is_shown_with_its_defaults_and_no_key(stage: Stage) -> None:
    acme = await stage.tenant()
    settings = await shown(stage, acme)
    app = settings["main"]["app"]
    assert (app["id"], app["org_id"], app["name"], app["slug"]) == (
        *(acme.app_id, acme.org_id),
        *("acme app", "acme-app"),
    )
    assert {name: app[name] for name in DEFAULTS} == DEFAULTS
    assert (app["key_end"], app["is_active"], app["modified_by"]) == (acme.app_key[-4:], True, None)
    assert (app["benchmark_model"], app["has_failover_chain"]) == ("demo/large", False)
    assert (settings["main"]["models_off"], settings["sandboxes"]) == ([], [])
    document = (await stage.request("GET", "/openapi.json")).json["components"]["schemas"]
    assert list(document["App"]["properties"]) == list(app)
    assert list(document["AppMain"]["properties"]) == list(settings["main"])


async def test_apps_are_listed_in_pages_the_newest_first(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    for number in range(4):
        stage.clock.advance(1)
        await create(stage, acme, f"App {number}")
    page = await listed(stage, acme, "?page=2&size=2")
    assert [app["name"] for app in page["items"]] == ["App 1", "App 0"]
    assert {name: page[name] for name in ("total", "page", "size", "pages")} == {
        "total": 5,
        "page": 2,
        "size": 2,
        "pages": 3,
    }
    whole = await listed(stage, acme, slash="")
    assert (len(whole["items"]), whole["size"], whole["pages"]) == (5, 40, 1)
    assert whole["items"][0] == (await shown(stage, acme, whole["items"][0]["id"]))["main"]["app"]
    assert (await listed(stage, acme, "?page=9"))["items"] == []
    assert [app["id"] for app in (await listed(stage, beta))["items"]] == [beta.app_id]
    await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
    assert (await listed(stage, acme))["total"] == 4


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CHAT", ["Chat bot"]),
        ("100%25", ["100% sure"]),
        ("%25", ["100% sure"]),
        ("_", []),
        ("talks", ["Chat bot"]),
        ("0-sure", ["100% sure"]),
        ("nothing", []),
        ("'--", []),
    ],
)
async def test_apps_are_found_by_a_part_of_their_text(stage: Stage, text: str, found: list[str]) -> None:
    acme = await stage.tenant()
    await create(stage, acme, "Chat bot", description="It talks.")
    await create(stage, acme, "100% sure", description=None)
    assert [app["name"] for app in (await listed(stage, acme, f"?search={text}"))["items"]] == found


@pytest.mark.parametrize("query", ["page=0", "size=0", "size=101", "page=1000001", "page=x", "search=%00"])
@ON_SQLITE
async def test_a_page_that_is_none_is_refused(stage: Stage, query: str) -> None:
    acme = await stage.tenant()
    answer = await stage.request("POST", f"/v1/apps?{query}", token=acme.user_token)
    assert answer.status == 422
    assert answer.json["detail"][0]["loc"] == ["query", query.partition("=")[0]]


async def test_what_is_named_is_changed_and_the_rest_stays(stage: Stage) -> None:
    acme = await stage.tenant()
    before = (await shown(stage, acme))["main"]["app"]
    stage.clock.advance(60)
    first = await update(
        stage,
        acme,
        name="New",
        weights={"cost": 0.4, "latency": 2},
        policies={"max_cost": 0.000000001, "privacy_level": 1},
        settings={"instructions": "Be\nbrief.", "temperature": 0},
        has_failover_chain=True,
    )
    assert first.status == 200, first.body
    assert b'"max_cost":0.000000001' in first.body
    app = first.json["main"]["app"]
    assert app["modified_on"] > before["modified_on"]
    assert app["modified_by"] == before["auth0_id"]
    assert (app["name"], app["slug"], app["has_failover_chain"]) == ("New", "acme-app", True)
    second = (await update(stage, acme, weights={"quality": 0}, policies={}, description="d")).json
    assert second == await shown(stage, acme)
    app = second["main"]["app"]
    assert app["weights"] == {"cost": 0.4, "latency": 2, "quality": 0}
    assert app["policies"] == {**DEFAULTS["policies"], "max_cost": 1e-9, "privacy_level": 1}
    assert app["settings"] == {"instructions": "Be\nbrief.", "max_tokens": 4096, "temperature": 0}
    assert (app["name"], app["description"], app["has_failover_chain"]) == ("New", "d", True)
    reset = (await update(stage, acme, description=None, policies={"privacy_level": None})).json
    assert reset["main"]["app"]["description"] is None
    assert reset["main"]["app"]["policies"]["privacy_level"] is None


async def test_benchmark_and_privacy_level_are_in_force_at_once(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await stage.chat(acme)).status == 200
    await update(stage, acme, benchmark_model=None, policies={"privacy_level": 1}, app_logo="https://a.b/c")
    await stage.world.refresh()
    assert (await stage.chat(acme)).status == 200
    view = stage.world.gateway.live.known(acme.app_key)
    assert view is not None
    assert (view.benchmark_model, view.privacy_level) == (None, 1)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": ""}, ["name"]),
        ({"name": None}, ["name"]),
        ({"weights": {"cost": -1}}, ["weights", "cost"]),
        ({"weights": {"cost": 1001}}, ["weights", "cost"]),
        ({"weights": {"cost": True}}, ["weights", "cost"]),
        ({"weights": {"speed": 1}}, ["weights", "speed"]),
        ({"policies": {"privacy_level": 4}}, ["policies", "privacy_level"]),
        ({"policies": {"max_cost": 0}}, ["policies", "max_cost"]),
        ({"policies": {"max_same_model_retries": 4}}, ["policies", "max_same_model_retries"]),
        ({"policies": {"max_switch_model_retries": 6}}, ["policies", "max_switch_model_retries"]),
        ({"policies": {"max_switch_model_retries": 1.5}}, ["policies", "max_switch_model_retries"]),
        ({"policies": {"optimize_internal_requests": 2}}, ["policies", "optimize_internal_requests"]),
        ({"settings": {"temperature": 1.01}}, ["settings", "temperature"]),
        ({"settings": {"temperature": "1"}}, ["settings", "temperature"]),
        ({"settings": {"max_tokens": 0}}, ["settings", "max_tokens"]),
        ({"benchmark_model": "demo/none"}, ["benchmark_model"]),
        ({"slug": "mine"}, ["slug"]),
    ],
)
@ON_SQLITE
async def test_what_cannot_be_set_is_refused_and_nothing_changes(
    stage: Stage, fields: dict[str, object], place: list[str]
) -> None:
    acme = await stage.tenant()
    before = await shown(stage, acme)
    answer = await update(stage, acme, description="not stored", **fields)
    assert answer.status == 422, answer.body
    assert answer.json["detail"][0]["loc"][: len(place) + 1] == ["body", *place]
    assert await shown(stage, acme) == before


async def test_a_sandbox_is_an_app_that_ends_with_its_parent(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    made = (await create(stage, acme, "Sandbox", sandbox_of=acme.app_id)).json
    settings = await shown(stage, acme)
    assert [(app["id"], app["sandbox_of"]) for app in settings["sandboxes"]] == [(made["id"], acme.app_id)]
    assert (await shown(stage, acme, made["id"]))["main"]["app"] == settings["sandboxes"][0]
    assert (await stage.record(acme))["num_apps"] == 2
    for parent in (made["id"], beta.app_id, new_id(stage.clock.now_us()), "x"):
        refused = await create(stage, acme, "No", sandbox_of=parent)
        assert (refused.status, refused.json["detail"][0]["loc"]) == (422, ["body", "sandbox_of"])
    body = {"model": "demo/small", "messages": [{"role": "user", "content": "Hello!"}]}
    chat = ("POST", "/v1/chat/completions")
    assert (await stage.request(*chat, token=made["created_key"], body=body)).status == 200
    await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
    await stage.world.refresh()
    assert (await stage.request(*chat, token=made["created_key"], body=body)).status == 403
    assert (await stage.record(acme))["num_apps"] == 0
    assert (await stage.chat(beta)).status == 200


async def test_without_the_permission_the_list_is_empty_and_an_app_closed(stage: Stage) -> None:
    acme = await stage.tenant()
    grace = await member(stage, acme, "grace@example.com", [Permission.VIEWER_MEMBERS])
    answer = await stage.request("POST", "/v1/apps/", token=grace, body={})
    assert (answer.status, answer.json["items"], answer.json["total"]) == (200, [], 0)
    assert (await stage.request("GET", f"/v1/apps/{acme.app_id}", token=grace)).status == 403
