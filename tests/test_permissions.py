"""Every operation as every role, as a stranger, with an app's key, and without a token.

The table in domain/operation.py says what each needs; a route that is not in it fails here, and so
does one whose way to be tried is missing in tests/scenes.py.
"""

from typing import Any

import pytest
from sqlalchemy import Connection, update

from docs.generate import pages
from tests.scenes import BODIES, IDS, OF_NOBODY, Scene, attempt, names_in, scene
from tests.world.entries import ON_SQLITE
from tests.world.stage import OPERATOR_TOKEN, Stage
from tollway.domain.operation import Operation, Who
from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.domain.role import Role
from tollway.domain.token import Bearer, mint
from tollway.store.schema import orgs

OF_PEOPLE = [
    operation
    for operation in Operation
    if isinstance(operation.value.need, Permission) or operation.value.need in (Who.PERSON, Who.MEMBER)
]
NAMING_OTHERS = {
    Operation.UPDATE_ORG,
    Operation.PUT_PERMISSIONS,
    Operation.RESEND_INVITE,
    Operation.JOIN_ORG,
    Operation.UPDATE_APP,
}
"""Those whose body says on what they act."""
every_operation_of_people = pytest.mark.parametrize(
    "operation", OF_PEOPLE, ids=[operation.title for operation in OF_PEOPLE]
)


@ON_SQLITE
async def test_every_route_is_in_the_table_and_can_be_tried(stage: Stage) -> None:
    paths = (await stage.request("GET", "/openapi.json")).json["paths"]
    routes = {
        (method.upper(), path): described
        for path, methods in paths.items()
        for method, described in methods.items()
    }
    table = {(each.value.method, each.value.path): each for each in Operation}
    assert len(table) == len(Operation)
    assert set(routes) == set(table), "add the route to domain/operation.py, and to tests/scenes.py"
    for route, operation in table.items():
        assert ("requestBody" in routes[route]) == (operation in BODIES), f"{route}: what would its body be?"
        assert set(names_in(route[1])) <= {*IDS, *OF_NOBODY}, f"{route}: what stands in its path?"


@ON_SQLITE
@every_operation_of_people
async def test_a_role_may_do_what_its_permissions_say_and_no_more(stage: Stage, operation: Operation) -> None:
    need = operation.value.need
    for role in Role:
        acme = await scene(stage, role, role.permissions)
        before = await seen(stage, acme)
        answer = await attempt(stage, operation, acme, acme.actor)
        if isinstance(need, Permission) and need not in role.permissions:
            assert answer.status == 403, answer.body
            assert f"permission {need} " in answer.json["detail"]
            assert await seen(stage, acme) == before
        else:
            assert answer.status in (200, 201), answer.body


GIVEN_ONLY_BY_WHO_HAS_IT = Role.VIEWER.permissions
"""What is given or taken in these scenes."""


@ON_SQLITE
@every_operation_of_people
async def test_one_permission_is_enough_and_all_others_are_not(stage: Stage, operation: Operation) -> None:
    need = operation.value.need
    alone = frozenset({need} if isinstance(need, Permission) else {})
    if need in (Permission.EDITOR_MEMBERS, Permission.ADMIN_MEMBERS):
        alone |= GIVEN_ONLY_BY_WHO_HAS_IT
    having = await scene(stage, "having", alone)
    assert (await attempt(stage, operation, having, having.actor)).status in (200, 201)
    enough = {need, Permission.ADMIN_APP} if operation.value.in_app else {need}
    lacking = await scene(stage, "lacking", EVERY_PERMISSION - enough)
    answer = await attempt(stage, operation, lacking, lacking.actor)
    assert (answer.status == 403) == isinstance(need, Permission)


@ON_SQLITE
@every_operation_of_people
async def test_a_stranger_reaches_nothing(stage: Stage, operation: Operation) -> None:
    acme, beta = await scene(stage, "acme"), await scene(stage, "beta")
    before = await seen(stage, acme)
    answer = await attempt(stage, operation, acme, beta.actor)
    if names_in(operation.value.path) or operation in NAMING_OTHERS:
        assert answer.status == 404, answer.body
    elif operation is Operation.DELETE_ORG:  # it is their own whose name is to be repeated
        assert answer.status == 422
    assert await seen(stage, acme) == before


@pytest.mark.parametrize("operation", Operation, ids=[operation.title for operation in Operation])
@ON_SQLITE
async def test_each_kind_of_token_opens_its_own_doors_only(stage: Stage, operation: Operation) -> None:
    acme = await scene(stage)
    before = await seen(stage, acme)
    need = operation.value.need
    tried = {
        None: need is Who.ANYONE,
        "junk": need is Who.ANYONE,
        mint(Bearer.USER): need is Who.ANYONE,
        mint(Bearer.INVITE): need is Who.ANYONE,
        acme.token_for_actor: need is Who.ANYONE,
        acme.app_key: need in (Who.ANYONE, Who.KEY) or operation.value.takes_key,
        OPERATOR_TOKEN: need in (Who.ANYONE, Who.OPERATOR),
        acme.creator: need not in (Who.KEY, Who.OPERATOR),
    }
    is_untouched = True
    for token, is_let_in in tried.items():
        answer = await attempt(stage, operation, acme, token)
        if is_let_in:
            is_untouched = False
            assert answer.status not in (401, 403), (token, answer.body)
        else:
            refused = (401, 403) if need is Who.OPERATOR else (401,)
            assert answer.status in refused, (token, answer.body)
            assert not is_untouched or await seen(stage, acme) == before


STATES: dict[str, dict[str, Any]] = {
    "inactive": {"is_active": False},
    "unpaid": {"is_active": True, "spaces_subscription_status": "unpaid"},
}


@ON_SQLITE
@every_operation_of_people
async def test_what_an_organisation_cannot_do_now_is_refused(stage: Stage, operation: Operation) -> None:
    rule = operation.value
    for state, values in STATES.items():
        acme = await scene(stage, state)
        await put_state(stage, values)
        before = await seen(stage, acme)
        answer = await attempt(stage, operation, acme, acme.actor)
        if state == "inactive" and rule.needs_active:
            assert (answer.status, "not active" in answer.json["detail"]) == (403, True)
            assert await seen(stage, acme) == before
        elif state == "unpaid" and rule.needs_paid_seats:
            assert (answer.status, answer.json["code"]) == (402, "seats_unpaid")
            assert await seen(stage, acme) == before
        else:
            assert answer.status in (200, 201), answer.body


async def put_state(stage: Stage, values: dict[str, Any]) -> None:
    """Set it for all organisations; no operation does yet."""

    def change(db: Connection) -> None:
        db.execute(update(orgs).values(**values))

    await stage.world.database.write(change)


async def test_an_app_works_on_while_seats_are_not_paid(stage: Stage) -> None:
    acme = await scene(stage)
    await put_state(stage, STATES["unpaid"])
    assert (await attempt(stage, Operation.CHAT, acme, acme.app_key)).status == 200


def test_the_page_has_a_line_for_each_operation_and_a_yes_for_each_role_that_may() -> None:
    page = pages()["permissions.md"]
    for operation in Operation:
        rule = operation.value
        (line,) = (line for line in page.splitlines() if f"`{rule.method} {rule.path}`" in line)
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == operation.title
        if isinstance(rule.need, Permission):
            assert cells[2] == f"`{rule.need}`" + (", or an app's key" if rule.takes_key else "")
            assert cells[3:6] == ["yes" if rule.need in role.permissions else "" for role in Role]
        assert cells[8] == (rule.in_app or "")


OF_APPS = [operation for operation in OF_PEOPLE if operation.value.in_app]


@pytest.mark.parametrize("operation", OF_APPS, ids=[operation.title for operation in OF_APPS])
async def test_a_role_in_the_app_is_enough_there_and_nowhere_else(stage: Stage, operation: Operation) -> None:
    wanted = operation.value.in_app
    assert wanted is not None
    for role in Role:
        acme = await scene(stage, role, frozenset())
        given = {"auth0_id": acme.actor_id, "permissions": [role]}
        other = await stage.request("POST", "/v1/apps/create", token=acme.creator, body={"name": "Other"})
        for app_id in (other.json["id"], acme.app_id):
            # At first in the other app, which does not help; then in the one that is acted on.
            answer = await attempt(stage, operation, acme, acme.actor)
            assert answer.status == 403, answer.body
            assert f"permission {operation.value.need} " in answer.json["detail"]
            path = f"/v1/apps/{app_id}/members"
            put = await stage.request("POST", path, token=acme.creator, body=given)
            assert put.status == 200
        before = await seen(stage, acme)
        answer = await attempt(stage, operation, acme, acme.actor)
        if role.includes(wanted):
            assert answer.status in (200, 201), answer.body
        else:
            assert answer.status == 403, answer.body
            assert await seen(stage, acme) == before


@pytest.mark.parametrize("operation", OF_APPS, ids=[operation.title for operation in OF_APPS])
@ON_SQLITE
async def test_who_administers_apps_has_every_role_in_every_app(stage: Stage, operation: Operation) -> None:
    acme = await scene(stage, "acme", frozenset({Permission.ADMIN_APP}))
    assert (await attempt(stage, operation, acme, acme.actor)).status in (200, 201)


async def seen(stage: Stage, on: Scene) -> list[object]:
    """What its creator finds of the organisation."""
    paths = (
        ("GET", "/v1/orgs/current"),
        ("POST", "/v1/orgs/members"),
        ("GET", f"/v1/apps/{on.app_id}"),
        ("GET", f"/v1/apps/{on.app_id}/access-tokens"),
        ("GET", f"/v1/apps/{on.app_id}/limits"),
        ("GET", f"/v1/apps/{on.app_id}/members"),
        ("GET", "/v1/billing/limits"),
    )
    return [(await stage.request(method, path, token=on.creator)).json for method, path in paths]
