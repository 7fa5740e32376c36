"""Members of an app: roles in one app, for people of its organisation, gone when they leave."""

from typing import Any

import pytest

from tests.control.people import member
from tests.world.entries import ON_SQLITE
from tests.world.stage import Answer, Stage, Tenant
from tollway.domain.ids import new_id
from tollway.domain.org import Permission

NO_APP = "there is no such active app in your current organisation"
NO_MEMBER = "there is no such member in your current organisation"


async def id_of(stage: Stage, token: str) -> str:
    return str((await stage.request("GET", "/v1/users/me", token=token)).json["id"])


async def put(stage: Stage, tenant: Tenant, user: str, *roles: str, token: str | None = None) -> Answer:
    body = {"auth0_id": user, "permissions": roles}
    path = f"/v1/apps/{tenant.app_id}/members"
    return await stage.request("POST", path, token=token or tenant.user_token, body=body)


async def listed(stage: Stage, tenant: Tenant) -> list[dict[str, Any]]:
    answer = await stage.request("GET", f"/v1/apps/{tenant.app_id}/members", token=tenant.user_token)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json
    return found


async def apps_of(stage: Stage, token: str) -> list[str]:
    answer = await stage.request("POST", "/v1/apps/", token=token, body={})
    return [app["id"] for app in answer.json["items"]]


async def test_a_member_of_an_app_finds_that_app_only(stage: Stage) -> None:
    acme = await stage.tenant()
    other = await stage.request("POST", "/v1/apps/create", token=acme.user_token, body={"name": "Other"})
    grace = await member(stage, acme, "grace@example.com", [])
    user = await id_of(stage, grace)
    assert await apps_of(stage, grace) == []
    made = await put(stage, acme, user, "viewer", "editor")
    assert made.status == 200
    assert made.json == {
        "id": made.json["id"],
        "app_id": acme.app_id,
        "auth0_id": user,
        "permissions": "editor",
        "added_on": made.json["added_on"],
        "name": "Grace",
        "email": "grace@example.com",
        "picture": None,
    }
    assert await listed(stage, acme) == [made.json]
    assert await apps_of(stage, grace) == [acme.app_id]
    assert (await stage.request("GET", f"/v1/apps/{acme.app_id}", token=grace)).status == 200
    assert (await stage.request("GET", f"/v1/apps/{other.json['id']}", token=grace)).status == 403


async def test_a_role_is_changed_and_taken_away(stage: Stage) -> None:
    acme = await stage.tenant()
    grace = await member(stage, acme, "grace@example.com", [])
    user = await id_of(stage, grace)
    first = (await put(stage, acme, user, "admin")).json
    second = (await put(stage, acme, user, "viewer")).json
    assert (first["id"], second["permissions"]) == (second["id"], "viewer")
    assert (await put(stage, acme, user, "admin", token=grace)).status == 403
    path = f"/v1/apps/{acme.app_id}/members/{user}"
    gone = await stage.request("DELETE", path, token=acme.user_token)
    assert (gone.status, gone.json) == (200, {"id": user})
    assert (await stage.request("GET", f"/v1/apps/{acme.app_id}", token=grace)).status == 403
    again = await stage.request("DELETE", path, token=acme.user_token)
    assert (again.status, again.json["detail"]) == (404, "the app has no such member")
    assert await listed(stage, acme) == []


async def test_an_apps_admin_gives_roles_in_it_and_an_editor_of_all_apps_does_not(stage: Stage) -> None:
    acme = await stage.tenant()
    grace = await member(stage, acme, "grace@example.com", [])
    editor = await member(stage, acme, "edith@example.com", [Permission.VIEWER_APP, Permission.EDITOR_APP])
    linus = await id_of(stage, await member(stage, acme, "linus@example.com", []))
    await put(stage, acme, await id_of(stage, grace), "admin")
    assert (await put(stage, acme, linus, "viewer", token=editor)).status == 403
    assert (await put(stage, acme, linus, "admin", token=grace)).status == 200


async def test_who_leaves_the_organisation_loses_their_roles(stage: Stage) -> None:
    acme = await stage.tenant()
    grace = await member(stage, acme, "grace@example.com", [])
    await put(stage, acme, await id_of(stage, grace), "admin")
    assert (await stage.request("POST", "/v1/orgs/leave", token=grace)).status == 200
    assert await listed(stage, acme) == []
    assert (await stage.request("GET", f"/v1/apps/{acme.app_id}", token=grace)).status == 404


async def test_people_of_other_organisations_are_like_ids_that_nobody_has(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    stranger, nobody = await id_of(stage, beta.user_token), new_id(stage.clock.now_us())
    answers = [await put(stage, acme, user, "viewer") for user in (stranger, nobody, "x", "")]
    assert [(answer.status, answer.json["detail"]) for answer in answers] == [(404, NO_MEMBER)] * 4
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize("roles", [[], ["owner"], ["viewer:app"]])
@ON_SQLITE
async def test_what_is_no_role_is_refused(stage: Stage, roles: list[str]) -> None:
    acme = await stage.tenant()
    assert (await put(stage, acme, await id_of(stage, acme.user_token), *roles)).status == 422


async def test_a_revoked_app_has_no_members(stage: Stage) -> None:
    acme = await stage.tenant()
    own = await id_of(stage, acme.user_token)
    await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
    path = f"/v1/apps/{acme.app_id}/members"
    answers = [
        await stage.request("GET", path, token=acme.user_token),
        await put(stage, acme, own, "viewer"),
        await stage.request("DELETE", f"{path}/{own}", token=acme.user_token),
    ]
    assert [(answer.status, answer.json["detail"]) for answer in answers] == [(404, NO_APP)] * 3
