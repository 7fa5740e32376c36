"""Members: seen, changed, removed and gone; nobody gives what they lack, and an admin always stays."""

import asyncio
from typing import Any

import pytest

from tests.control.people import member
from tests.world.stage import Answer, Stage, Tenant
from tollway.control import members
from tollway.control.orgs import delete_org
from tollway.domain.caller import Person
from tollway.domain.errors import Forbidden, NotFound
from tollway.domain.ids import OrgId, UserId, new_id
from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.domain.role import Role, words_of

PERMISSIONS = "/v1/orgs/members/permissions"


async def listed(stage: Stage, token: str) -> list[dict[str, Any]]:
    answer = await stage.request("POST", "/v1/orgs/members", token=token)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json
    return found


async def ids(stage: Stage, token: str) -> dict[str, str]:
    """By e-mail."""
    return {each["email"]: each["id"] for each in await listed(stage, token)}


async def put(stage: Stage, token: str, user: str, permissions: str) -> Answer:
    body = {"auth0_id": user, "permissions": permissions}
    return await stage.request("PUT", PERMISSIONS, token=token, body=body)


async def remove(stage: Stage, token: str, id_: str) -> Answer:
    return await stage.request("DELETE", f"/v1/orgs/members/{id_}", token=token)


async def leave(stage: Stage, token: str) -> Answer:
    return await stage.request("POST", "/v1/orgs/leave", token=token)


async def second_admin(stage: Stage, tenant: Tenant) -> str:
    return await member(stage, tenant, "second@example.com", EVERY_PERMISSION)


async def test_members_are_listed_and_shown_in_one_shape(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.clock.advance(1)
    grace = await member(stage, acme, "grace@example.com", Role.VIEWER.permissions)
    found = await listed(stage, grace)
    assert [(each["email"], each["is_current_user"]) for each in found] == [
        ("admin@acme.example.com", False),
        ("grace@example.com", True),
    ]
    assert found[1] == {
        "id": found[1]["id"],
        "name": "Grace",
        "email": "grace@example.com",
        "token": None,
        "invite_status": "accepted",
        "is_current_user": True,
        "added_on": "2026-03-10T12:00:01Z",
        "last_login": None,
        "permissions": "viewer:app viewer:members",
        "auth0_id": found[1]["id"],
        "picture": None,
        "is_active": True,
    }
    for each in found:
        shown = await stage.request("GET", f"/v1/orgs/members/{each['id']}", token=grace)
        assert (shown.status, shown.json) == (200, each)


async def test_permissions_are_changed_by_role_or_one_by_one(stage: Stage) -> None:
    acme = await stage.tenant()
    grace = await member(stage, acme, "grace@example.com", Role.VIEWER.permissions)
    user = (await ids(stage, grace))["grace@example.com"]
    for asked, stored in (
        ("editor", words_of(Role.EDITOR.permissions)),
        ("viewer:app admin:org", "admin:org viewer:app"),
        ("admin", words_of(EVERY_PERMISSION)),
    ):
        answer = await put(stage, acme.user_token, user, asked)
        assert (answer.status, answer.json["permissions"]) == (200, stored)
        assert (await ids(stage, acme.user_token))["grace@example.com"] == user
    made = await stage.request("POST", "/v1/apps/create", token=grace, body={"name": "x"})
    assert made.status == 201
    for odd in ("", "owner", "viewer:app;editor:app", "x" * 2_000):
        refused = await put(stage, acme.user_token, user, odd)
        assert (refused.status, refused.json["detail"][0]["loc"]) == (422, ["body", "permissions"])
    assert (await put(stage, acme.user_token, new_id(0), "viewer")).status == 404


async def test_nobody_gives_or_takes_what_they_do_not_have(stage: Stage) -> None:
    acme = await stage.tenant()
    editor = await member(stage, acme, "editor@example.com", Role.EDITOR.permissions)
    remover = await member(stage, acme, "remover@example.com", [Permission.ADMIN_MEMBERS])
    await member(stage, acme, "viewer@example.com", Role.VIEWER.permissions)
    known = await ids(stage, editor)
    before = await listed(stage, acme.user_token)
    refused = [
        await put(stage, editor, known["editor@example.com"], "admin"),
        await put(stage, editor, known["viewer@example.com"], "viewer:app admin:app"),
        await put(stage, editor, known["admin@acme.example.com"], "viewer"),
        await remove(stage, remover, known["admin@acme.example.com"]),
        await remove(stage, remover, known["viewer@example.com"]),
    ]
    assert [answer.status for answer in refused] == [403] * len(refused)
    assert "admin:app" in refused[1].json["detail"]
    assert await listed(stage, acme.user_token) == before
    assert (await put(stage, editor, known["viewer@example.com"], "editor")).status == 200


async def test_who_is_removed_is_in_no_more_and_their_own_organisation_is_current(stage: Stage) -> None:
    acme = await stage.tenant()
    grace = await member(stage, acme, "grace@example.com", Role.VIEWER.permissions)
    user = (await ids(stage, grace))["grace@example.com"]
    assert (await stage.request("GET", "/v1/orgs/current", token=grace)).json["org_name"] == "acme"
    answer = await remove(stage, acme.user_token, user)
    assert (answer.status, answer.json) == (200, {"id": user})
    home = (await stage.request("GET", "/v1/orgs/current", token=grace)).json
    assert (home["is_personal"], home["org_creator"]) == (True, user)
    back = await stage.request("PATCH", f"/v1/orgs/switch/{acme.org_id}", token=grace)
    assert back.status == 404
    assert (await remove(stage, acme.user_token, user)).status == 404


async def test_the_last_admin_can_neither_leave_nor_be_removed_nor_demoted(stage: Stage) -> None:
    acme = await stage.tenant()
    await member(stage, acme, "grace@example.com", EVERY_PERMISSION - {Permission.ADMIN_APP})
    admin = (await ids(stage, acme.user_token))["admin@acme.example.com"]
    for refused in (
        await leave(stage, acme.user_token),
        await remove(stage, acme.user_token, admin),
        await put(stage, acme.user_token, admin, "editor"),
        await put(stage, acme.user_token, admin, words_of(EVERY_PERMISSION - {Permission.VIEWER_APP})),
    ):
        assert (refused.status, "last admin" in refused.json["detail"]) == (409, True)
    assert (await put(stage, acme.user_token, admin, "admin")).status == 200
    await second_admin(stage, acme)
    assert (await put(stage, acme.user_token, admin, "editor")).status == 200
    assert (await leave(stage, acme.user_token)).json == {"org_id": acme.org_id}


@pytest.mark.parametrize("how", ["leave", "be removed by each other", "be demoted by each other"])
async def test_two_admins_who_go_at_once_do_not_both(stage: Stage, how: str) -> None:
    for number in range(4):
        acme = await stage.tenant(f"acme-{number}")
        admins = [
            acme.user_token,
            await member(stage, acme, f"other{number}@example.com", EVERY_PERMISSION),
        ]
        known = await ids(stage, acme.user_token)
        first, second = known[f"admin@{acme.org_name}.example.com"], known[f"other{number}@example.com"]
        match how:
            case "leave":
                asked = [leave(stage, token) for token in admins]
            case "be removed by each other":
                asked = [remove(stage, *pair) for pair in zip(admins, (second, first), strict=True)]
            case _:
                asked = [put(stage, *pair, "viewer") for pair in zip(admins, (second, first), strict=True)]
        answers = await asyncio.gather(*asked)
        # The second one's request may also come after they were removed or demoted.
        done, refused = sorted(answer.status for answer in answers)
        assert (done, refused in (403, 404, 409)) == (200, True)
        found = [
            each
            for token in admins
            for each in (await stage.request("POST", "/v1/orgs/members", token=token)).json
            if each["email"].startswith((f"admin@{acme.org_name}", f"other{number}"))
        ]
        assert any(each["permissions"] == words_of(EVERY_PERMISSION) for each in found)


async def test_what_counts_is_what_the_person_may_do_once_it_is_their_turn(stage: Stage) -> None:
    acme = await stage.tenant()
    await member(stage, acme, "grace@example.com", Role.VIEWER.permissions)
    known = await ids(stage, acme.user_token)
    # As Grace was when her request came in: meanwhile she is a viewer, or in no more.
    admin = Person(
        id=UserId(known["grace@example.com"]),
        email="grace@example.com",
        name="Grace",
        org_id=OrgId(acme.org_id),
        permissions=EVERY_PERMISSION,
    )
    write = stage.world.database.write
    own = known["grace@example.com"]
    for refusal in (Forbidden, NotFound):
        with pytest.raises(refusal):
            await write(members.put_permissions, admin, own, EVERY_PERMISSION)
        with pytest.raises(refusal):
            await write(members.remove_member, admin, known["admin@acme.example.com"])
        with pytest.raises(refusal):
            await write(delete_org, admin, "acme", stage.clock.now_us())
        await remove(stage, acme.user_token, own)
    assert list(await ids(stage, acme.user_token)) == ["admin@acme.example.com"]


async def test_a_personal_organisation_cannot_be_left(stage: Stage) -> None:
    token = await stage.user()
    refused = await leave(stage, token)
    assert (refused.status, "personal organisation" in refused.json["detail"]) == (409, True)


async def test_who_leaves_goes_home_and_the_rest_stays(stage: Stage) -> None:
    acme = await stage.tenant()
    grace = await member(stage, acme, "grace@example.com", Role.VIEWER.permissions)
    assert (await leave(stage, grace)).json == {"org_id": acme.org_id}
    assert (await stage.request("GET", "/v1/orgs/current", token=grace)).json["is_personal"]
    assert list(await ids(stage, acme.user_token)) == ["admin@acme.example.com"]
    assert (await leave(stage, grace)).status == 409
