"""Who may do what: each operation with each permission, and with none."""

import pytest
from sqlalchemy import Connection, update

from tests.control.people import member
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.control.access import current_org, permitted_org
from tollway.domain.caller import Person
from tollway.domain.errors import Forbidden, NotFound
from tollway.domain.ids import OrgId, UserId
from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.store.schema import orgs

NEEDS: dict[str, Permission | None] = {
    "show the organisation": None,
    "put integrations": Permission.EDITOR_ORG,
    "create an app": Permission.EDITOR_APP,
    "revoke an app": Permission.EDITOR_APP,
}


async def attempt(stage: Stage, tenant: Tenant, operation: str, token: str | None) -> Answer:
    match operation:
        case "show the organisation":
            return await stage.request("GET", "/v1/orgs/current", token=token)
        case "put integrations":
            return await stage.request("PUT", "/v1/orgs/integrations", token=token, body={"prom": None})
        case "create an app":
            return await stage.request("POST", "/v1/apps/create", token=token, body={"name": "x"})
        case _:
            return await stage.request("DELETE", f"/v1/apps/{tenant.app_id}", token=token)


@pytest.mark.parametrize("operation", NEEDS)
async def test_each_operation_needs_its_own_permission_and_no_other(stage: Stage, operation: str) -> None:
    acme = await stage.tenant()
    needed = NEEDS[operation]
    for number, permission in enumerate(Permission):
        token = await member(stage, acme, f"{number}@example.com", [permission])
        answer = await attempt(stage, acme, operation, token)
        allowed = needed is None or permission == needed
        assert (answer.status < 300) == allowed, (permission, answer.body)
        if not allowed:
            assert answer.status == 403
            assert str(needed) in str(answer.json["detail"])


@pytest.mark.parametrize("operation", NEEDS)
async def test_everything_but_the_one_permission_is_not_enough(stage: Stage, operation: str) -> None:
    acme = await stage.tenant()
    others = EVERY_PERMISSION - {NEEDS[operation]}
    token = await member(stage, acme, "other@example.com", others)
    answer = await attempt(stage, acme, operation, token)
    assert answer.status == (200 if NEEDS[operation] is None else 403)
    record = await stage.record(acme)
    assert (record["num_apps"], record["modified_on"]) == (1, record["added_on"])


@pytest.mark.parametrize("operation", NEEDS)
async def test_a_user_of_no_organisation_is_told_to_make_one(stage: Stage, operation: str) -> None:
    acme = await stage.tenant()
    answer = await attempt(stage, acme, operation, await stage.user("nobody@example.com"))
    assert answer.status == 404
    assert "POST /v1/orgs" in str(answer.json["detail"])


@pytest.mark.parametrize("operation", NEEDS)
async def test_without_a_users_token_nothing_is_done(stage: Stage, operation: str) -> None:
    acme = await stage.tenant()
    for token in (None, "junk", acme.app_key, OPERATOR_TOKEN, acme.user_token[:-1] + "?"):
        assert (await attempt(stage, acme, operation, token)).status == 401
    assert (await stage.record(acme))["num_apps"] == 1


@pytest.mark.parametrize("operation", [name for name, needed in NEEDS.items() if needed])
async def test_an_organisation_that_is_not_active_can_only_be_read(stage: Stage, operation: str) -> None:
    acme = await stage.tenant()

    def switch_off(db: Connection) -> None:
        db.execute(update(orgs).where(orgs.c.id == acme.org_id).values(is_active=False))

    await stage.world.database.write(switch_off)
    answer = await attempt(stage, acme, operation, acme.user_token)
    assert answer.status == 403
    record = await stage.record(acme)
    assert (record["is_active"], record["num_apps"]) == (False, 1)


def person(org: str | None, permissions: frozenset[Permission]) -> Person:
    return Person(
        id=UserId("u"),
        email="ada@example.com",
        name="Ada",
        org_id=None if org is None else OrgId(org),
        permissions=permissions,
    )


def test_the_decision_is_the_persons_current_organisation_or_an_error() -> None:
    someone = person("acme", frozenset({Permission.EDITOR_ORG}))
    assert current_org(someone) == permitted_org(someone, Permission.EDITOR_ORG) == "acme"
    with pytest.raises(Forbidden, match="editor:app"):
        permitted_org(someone, Permission.EDITOR_APP)
    with pytest.raises(NotFound):
        permitted_org(person(None, EVERY_PERMISSION), Permission.EDITOR_ORG)
