"""May this person do this here? By the table of operations, in the organisation that is current."""

import pytest
from sqlalchemy import Connection, update

from tests.control.people import in_no_organisation
from tests.world.entries import make_org
from tests.world.stage import Stage
from tollway.control.access import acting_org, current_org, permitted_org, require_able
from tollway.domain.caller import Person
from tollway.domain.errors import Forbidden, Limited, NotFound
from tollway.domain.ids import OrgId, UserId
from tollway.domain.operation import Operation
from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.store.database import Database
from tollway.store.schema import orgs


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
    assert current_org(someone) == permitted_org(someone, Operation.PUT_INTEGRATIONS) == "acme"
    with pytest.raises(Forbidden, match="editor:app"):
        permitted_org(someone, Operation.CREATE_APP)
    with pytest.raises(NotFound):
        permitted_org(person(None, EVERY_PERMISSION), Operation.PUT_INTEGRATIONS)


def test_a_member_needs_no_permission_for_what_every_member_may() -> None:
    assert permitted_org(person("acme", frozenset()), Operation.SHOW_ORG) == "acme"


@pytest.mark.parametrize(
    ("values", "operation", "refusal"),
    [
        ({}, Operation.CREATE_APP, None),
        ({"is_active": False}, Operation.CREATE_APP, Forbidden),
        ({"is_active": False}, Operation.SHOW_ORG, None),
        ({"is_active": False}, Operation.DELETE_ORG, None),
        ({"spaces_subscription_status": "active"}, Operation.CREATE_APP, None),
        ({"spaces_subscription_status": "unpaid"}, Operation.CREATE_APP, Limited),
        ({"spaces_subscription_status": "unpaid"}, Operation.SHOW_ORG, None),
        ({"spaces_subscription_status": "unpaid"}, Operation.PUT_SPENDING_LIMITS, None),
        ({"spaces_subscription_status": "unpaid", "is_active": False}, Operation.CREATE_APP, Forbidden),
    ],
)
def test_the_state_of_the_organisation_decides_too(
    database: Database,
    values: dict[str, object],
    operation: Operation,
    refusal: type[Exception] | None,
) -> None:
    org = database.write_here(make_org)
    someone = person(org, EVERY_PERMISSION)

    def work(db: Connection) -> None:
        if values:
            db.execute(update(orgs).values(**values))
        if refusal is None:
            require_able(db, org, operation)
            assert acting_org(db, someone, operation) == org
        else:
            with pytest.raises(refusal):
                require_able(db, org, operation)
            with pytest.raises(refusal):
                acting_org(db, someone, operation)

    database.write_here(work)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/orgs/current", None),
        ("GET", "/v1/orgs/cycles", None),
        ("PUT", "/v1/orgs/integrations", {"prom": None}),
        ("POST", "/v1/apps/create", {"name": "x"}),
        ("POST", "/v1/orgs/leave", None),
    ],
)
async def test_a_user_of_no_organisation_is_told_to_make_one(
    stage: Stage, method: str, path: str, body: object
) -> None:
    answer = await stage.request(method, path, token=await in_no_organisation(stage), body=body)
    assert (answer.status, "POST /v1/orgs" in answer.json["detail"]) == (404, True)
