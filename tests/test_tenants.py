"""Another organisation's ids: answered like ids that nobody has, to the byte, whatever they are of."""

from collections.abc import Callable
from itertools import product

import pytest

from tests.scenes import IDS, OF_NOBODY, PAGE, Scene, attempt, names_in, scene
from tests.test_permissions import seen
from tests.world.entries import ON_SQLITE
from tests.world.stage import Answer, Stage
from tollway.domain.ids import new_id
from tollway.domain.operation import Operation, Who
from tollway.domain.token import Bearer, mint

WITH_IDS = [
    operation
    for operation in Operation
    if any(name in IDS for name in names_in(operation.value.path))
    and operation.value.need is not Who.OPERATOR
]
OF_THE_OPERATOR = [
    operation
    for operation in Operation
    if names_in(operation.value.path) and operation.value.need is Who.OPERATOR
]


@ON_SQLITE
async def test_every_path_that_names_something_is_tried(stage: Stage) -> None:
    paths = (await stage.request("GET", "/openapi.json")).json["paths"]
    naming = {
        (method.upper(), path) for path, methods in paths.items() for method in methods if names_in(path)
    }
    tried = {(each.value.method, each.value.path) for each in (*WITH_IDS, *OF_THE_OPERATOR)}
    of_nobody = {route for route in naming if set(names_in(route[1])) <= set(OF_NOBODY)}
    assert naming - of_nobody == tried, "add the route to domain/operation.py, and to tests/scenes.py"


def told(answer: Answer, ids: dict[str, str]) -> tuple[int, bytes, list[str]]:
    """An answer but for the ids that it repeats."""
    body = answer.body
    for name, id_ in ids.items():
        body = body.replace(id_.encode(), f"<{name}>".encode())
    return answer.status, body, sorted(answer.headers)


@ON_SQLITE
@pytest.mark.parametrize("operation", WITH_IDS, ids=[operation.title for operation in WITH_IDS])
async def test_an_id_of_another_organisation_is_like_one_that_nobody_has(
    stage: Stage, operation: Operation
) -> None:
    acme, beta = await scene(stage, "acme"), await scene(stage, "beta")
    before = await seen(stage, acme)
    names = [name for name in names_in(operation.value.path) if name in IDS]
    own = {name: IDS[name](beta) for name in names}
    of_acme = [{name: IDS[name](acme) for name in names}]
    if "id" in names:  # of a member, or of an invite
        of_acme.append({**of_acme[0], "id": acme.invite_id})
    for anothers, chosen in product(of_acme, product((True, False), repeat=len(names))):
        wrong = {name for name, is_wrong in zip(names, chosen, strict=True) if is_wrong}
        if not wrong:
            continue
        others = {**own, **{name: anothers[name] for name in wrong}}
        nobodys = {**own, **{name: new_id(stage.clock.now_us()) for name in wrong}}
        found = told(await attempt(stage, operation, beta, beta.actor, others), others)
        assert found == told(await attempt(stage, operation, beta, beta.actor, nobodys), nobodys)
        assert found[0] == 404
        for odd in ("x", "%00", new_id(0).upper()):
            junk = {**own, **dict.fromkeys(wrong, odd)}
            assert (await attempt(stage, operation, beta, beta.actor, junk)).status == 404
    assert await seen(stage, acme) == before


@pytest.mark.parametrize("operation", OF_THE_OPERATOR, ids=[operation.title for operation in OF_THE_OPERATOR])
async def test_to_members_what_is_the_operators_is_closed_whoever_the_id_is_of(
    stage: Stage, operation: Operation
) -> None:
    acme, beta = await scene(stage, "acme"), await scene(stage, "beta")
    before = await seen(stage, acme)
    answers = [
        told(await attempt(stage, operation, beta, beta.actor, {"org_id": org_id}), {"org_id": org_id})
        for org_id in (acme.org_id, beta.org_id, new_id(stage.clock.now_us()))
    ]
    assert answers == [answers[0]] * 3
    assert answers[0][0] == 403
    assert await seen(stage, acme) == before


Body = Callable[[Scene], dict[str, object]]
IN_BODIES: dict[str, tuple[Operation, Body, Body]] = {
    "a member's id": (
        Operation.PUT_PERMISSIONS,
        lambda acme: {"auth0_id": acme.bystander_id, "permissions": "viewer"},
        lambda _: {"auth0_id": new_id(0), "permissions": "viewer"},
    ),
    "an invite of its organisation": (
        Operation.RESEND_INVITE,
        lambda acme: {"email": acme.invited, "invite_link": PAGE, "org_id": acme.org_id},
        lambda _: {"email": "nobody@example.com", "invite_link": PAGE, "org_id": new_id(0)},
    ),
    "an organisation's id": (
        Operation.UPDATE_ORG,
        lambda acme: {"id": acme.org_id, "org_display_name": "Mine"},
        lambda _: {"id": new_id(0), "org_display_name": "Mine"},
    ),
    "an app's id": (
        Operation.UPDATE_APP,
        lambda acme: {"id": acme.app_id, "name": "Mine"},
        lambda _: {"id": new_id(0), "name": "Mine"},
    ),
    "an invite's token": (
        Operation.JOIN_ORG,
        lambda acme: {"email": acme.actor_email, "token": acme.token_for_actor},
        lambda acme: {"email": acme.actor_email, "token": mint(Bearer.INVITE)},
    ),
    "an invite's token with one's own address": (
        Operation.JOIN_ORG,
        lambda acme: {"email": "actor@beta.example.com", "token": acme.token_for_actor},
        lambda _: {"email": "actor@beta.example.com", "token": mint(Bearer.INVITE)},
    ),
}


@pytest.mark.parametrize("what", IN_BODIES)
async def test_what_a_body_names_of_another_organisation_is_like_what_nobody_has(
    stage: Stage, what: str
) -> None:
    acme, beta = await scene(stage, "acme"), await scene(stage, "beta")
    before = await seen(stage, acme)
    operation, anothers, nobodys = IN_BODIES[what]
    method, path = operation.value.method, operation.value.path
    answers = [
        told(await stage.request(method, path, token=beta.actor, body=body(acme)), {})
        for body in (anothers, nobodys)
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert await seen(stage, acme) == before
