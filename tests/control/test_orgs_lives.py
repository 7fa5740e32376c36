"""An organisation's life: found, changed, switched to, switched off and deleted."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from tests.control.people import member
from tests.control.test_invites import invited, join
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.domain.org import EVERY_PERMISSION
from tollway.domain.role import Role
from tollway.store.changes import position, since
from tollway.store.schema import ledger, members

DETAILS = {
    "org_display_name": "Acme & Söhne",
    "org_logo": "https://acme.example.com/logo.svg",
    "billing_email": "bills@acme.example.com",
    "address_1": "1 Road",
    "address_2": "Back door",
    "address_city": "Town",
    "address_zip": "12345",
    "address_state": "State",
    "address_country": "DE",
}


async def put(stage: Stage, tenant: Tenant, **body: object) -> Answer:
    return await stage.request("PUT", "/v1/orgs/update", token=tenant.user_token, body=body)


async def delete(stage: Stage, tenant: Tenant, name: str) -> Answer:
    return await stage.request("DELETE", f"/v1/orgs/current?org_name={name}", token=tenant.user_token)


async def listed(stage: Stage, token: str) -> list[dict[str, Any]]:
    answer = await stage.request("GET", "/v1/orgs/list", token=token)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json
    return found


async def test_what_is_named_changes_and_the_rest_stays(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.record(acme)
    stage.clock.advance(1)
    answer = await put(stage, acme, **DETAILS)
    assert answer.status == 200, answer.body
    assert answer.json == {**before, **DETAILS, "modified_on": "2026-03-10T12:00:01Z"}
    assert await stage.record(acme) == answer.json
    stage.clock.advance(1)
    emptied = await put(
        stage, acme, id=acme.org_id, org_name="acme", currency="USD", org_logo=None, address_2=None
    )
    changed = {"org_logo": None, "address_2": "", "modified_on": "2026-03-10T12:00:02Z"}
    assert emptied.json == {**answer.json, **changed}
    stage.clock.advance(1)
    named = await put(stage, acme, org_display_name=None, billing_email=None)
    assert (named.json["org_display_name"], named.json["billing_email"]) == (None, "")


async def test_the_slug_is_a_label_and_never_changes(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.record(acme)
    refused = await put(stage, acme, org_name="beta", org_display_name="Beta")
    assert (refused.status, refused.json["detail"][0]["loc"]) == (422, ["body", "org_name"])
    assert "org_display_name" in refused.json["detail"][0]["msg"]
    for field, value in (
        ("spending_limit_hard", 5),
        ("is_active", False),
        ("org_display_name", ""),
        ("org_display_name", "x\x00"),
        ("billing_email", "nobody"),
        ("currency", "eur"),
        ("address_1", "x" * 201),
        ("address_1", "two\nlines"),
    ):
        wrong = await put(stage, acme, **{field: value})
        assert (wrong.status, wrong.json["detail"][0]["loc"]) == (422, ["body", field])
    assert await stage.record(acme) == before


async def test_a_name_is_checked_before_it_is_taken(stage: Stage) -> None:
    acme = await stage.tenant()

    async def check(name: str) -> Answer:
        body = {"org_name": name}
        return await stage.request("POST", "/v1/orgs/check-name", token=acme.user_token, body=body)

    assert (await check("acme")).json == {"org_name": "acme", "is_available": False}
    assert (await check("beta")).json == {"org_name": "beta", "is_available": True}
    await stage.tenant("beta")
    assert not (await check("beta")).json["is_available"]
    for wrong in ("abc", "A-name", "x" * 64, "a--b"):
        assert (await check(wrong)).status == 422


async def test_a_user_sees_their_organisations_and_switches_between_them(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    await put(stage, acme, org_display_name="Acme")
    ada = await stage.user()
    stage.clock.advance(1)
    made = await invited(stage, acme)
    assert (await join(stage, ada, made["token"])).status == 200
    home, shared = await listed(stage, ada)
    assert home["is_personal_org"]
    assert shared == {
        "auth0_id": home["auth0_id"],
        "org_id": acme.org_id,
        "org_stripe_id": None,
        "org_display_name": "Acme",
        "org_logo": None,
        "org_name": "acme",
        "is_org_setup_complete": True,
        "full_name": "Ada",
        "user_avatar": None,
        "billing_email": "",
        "is_personal_org": False,
        "permissions": "viewer:app viewer:members",
        "member_is_active": True,
        "internal_claims": {},
    }
    for access in (home, shared, shared):
        switched = await stage.request("PATCH", f"/v1/orgs/switch/{access['org_id']}", token=ada)
        assert (switched.status, switched.json) == (200, access)
        current = (await stage.request("GET", "/v1/orgs/current", token=ada)).json
        assert current["id"] == access["org_id"]
    assert (await stage.request("PATCH", f"/v1/orgs/switch/{beta.org_id}", token=ada)).status == 404
    assert (await stage.request("GET", "/v1/orgs/current", token=ada)).json["org_name"] == "acme"


async def test_who_switches_off_stops_the_keys_and_only_the_operator_switches_on(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await stage.chat(acme)).status == 200
    before = await stage.world.database.read(position)
    answer = await stage.request("POST", "/v1/orgs/deactivate", token=acme.user_token)
    assert (answer.status, answer.json["is_active"]) == (200, False)
    assert (await stage.world.database.read(since, before)).org_ids == {acme.org_id}
    await stage.world.refresh()
    assert (await stage.chat(acme)).status == 403
    assert not (await stage.record(acme))["is_active"]
    assert (await stage.request("POST", "/v1/orgs/deactivate", token=acme.user_token)).status == 403
    path, body = f"/v1/operator/orgs/{acme.org_id}", {"is_active": True}
    assert (await stage.request("PATCH", path, token=OPERATOR_TOKEN, body=body)).status == 200
    await stage.world.refresh()
    assert (await stage.chat(acme)).status == 200


async def test_a_deleted_organisation_is_gone_for_everybody_but_its_ledger(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    grace = await member(stage, acme, "grace@example.com", Role.VIEWER.permissions)
    made, ada = await invited(stage, acme), await stage.user()
    assert (await stage.chat(acme)).status == 200
    await stage.settled()
    before = await stage.world.database.read(position)
    answer = await delete(stage, acme, "acme")
    assert answer.json == {
        "org_id": acme.org_id,
        "org_name": "acme",
        "deleted_on": "2026-03-10T12:00:00Z",
        "ledger_kept_until": "2036-03-10T12:00:00Z",
    }
    assert (await stage.world.database.read(since, before)).org_ids == {acme.org_id}
    await stage.world.refresh()
    assert (await stage.chat(acme)).status == 401
    for token in (acme.user_token, grace):
        assert (await stage.request("GET", "/v1/orgs/current", token=token)).json["is_personal"]
        assert [each["is_personal_org"] for each in await listed(stage, token)] == [True]
        assert (await stage.request("PATCH", f"/v1/orgs/switch/{acme.org_id}", token=token)).status == 404
    assert (await join(stage, ada, made["token"])).status == 404
    path, body = f"/v1/operator/orgs/{acme.org_id}", {"is_active": True}
    assert (await stage.request("PATCH", path, token=OPERATOR_TOKEN, body=body)).status == 404
    taken = await stage.request("POST", "/v1/orgs", token=ada, body={"org_name": "acme"})
    assert taken.status == 409
    rows = select(func.count()).select_from(ledger).where(ledger.c.org_id == acme.org_id)
    assert await stage.world.database.read(lambda db: db.execute(rows).scalar_one()) == 1


async def test_a_key_of_a_deleted_organisation_that_was_not_seen_before_is_refused_too(stage: Stage) -> None:
    acme = await stage.tenant()
    await delete(stage, acme, "acme")
    assert (await stage.chat(acme)).status == 401


async def test_its_name_is_repeated_or_nothing_is_deleted(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.record(acme)
    for name in ("", "Acme", "acme%20", "beta", "%00"):
        refused = await delete(stage, acme, name)
        assert (refused.status, refused.json["detail"][0]["loc"]) == (422, ["query", "org_name"])
    bare = await stage.request("DELETE", "/v1/orgs/current", token=acme.user_token)
    assert (bare.status, bare.json["detail"][0]["loc"]) == (422, ["query", "org_name"])
    assert await stage.record(acme) == before


async def test_a_personal_organisation_cannot_be_deleted(stage: Stage) -> None:
    token = await stage.user()
    name = (await listed(stage, token))[0]["org_name"]
    refused = await stage.request("DELETE", f"/v1/orgs/current?org_name={name}", token=token)
    assert (refused.status, "personal organisation" in refused.json["detail"]) == (409, True)


async def test_of_two_who_delete_it_at_once_one_does(stage: Stage) -> None:
    acme = await stage.tenant()
    second = await member(stage, acme, "second@example.com", EVERY_PERMISSION)
    answers = await asyncio.gather(
        *(
            stage.request("DELETE", "/v1/orgs/current?org_name=acme", token=token)
            for token in (acme.user_token, second, acme.user_token, second)
        )
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {404, 409}  # 409: they were home, in their own organisation, already


@pytest.mark.parametrize("what", ["leave", "join"])
async def test_who_comes_or_goes_while_it_is_deleted_is_not_left_in_it(stage: Stage, what: str) -> None:
    acme = await stage.tenant()
    if what == "join":
        made, ada = await invited(stage, acme), await stage.user()
        other = join(stage, ada, made["token"])
    else:
        grace = await member(stage, acme, "grace@example.com", Role.VIEWER.permissions)
        other = stage.request("POST", "/v1/orgs/leave", token=grace)
    answer, deleted = await asyncio.gather(other, delete(stage, acme, "acme"))
    assert deleted.status == 200
    assert answer.status in (200, 404, 409)

    def count(db: Connection) -> int:
        found = select(func.count()).select_from(members).where(members.c.org_id == acme.org_id)
        return int(db.execute(found).scalar_one())

    assert await stage.world.database.read(count) == 0
