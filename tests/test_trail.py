"""Every operation that changes something leaves a row, in the change's own transaction; others leave none."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from tests.scenes import Scene, attempt, scene
from tests.world.entries import ON_SQLITE
from tests.world.stage import OPERATOR_TOKEN, Stage
from tollway.control.sign_in import sealed_handover
from tollway.domain.ids import UserId
from tollway.domain.operation import Operation, Who
from tollway.store.schema import metadata
from tollway.store.trail_schema import trail
from tollway.store.watch import BOOKS, is_secret

CHANGING_NOTHING = {
    Operation.CHAT,
    Operation.DRAW_GRAPHS,
    Operation.LIST_APPS,
    Operation.LIST_LOGS,
    Operation.RATE_LOG,
    Operation.CHECK_ORG_NAME,
    Operation.LIST_MEMBERS,
    Operation.TEST_INTEGRATIONS,
}
"""What is asked by POST, and changes nothing but a rating, which is no setting."""
BY_SIGN_IN = {Operation.TAKE_SIGN_IN}
"""With an issuer's word; tried below."""
WRITES = [
    each for each in Operation if each.value.method != "GET" and each not in CHANGING_NOTHING | BY_SIGN_IN
]
AS_IT_WAS = {Operation.PUT_INTEGRATIONS, Operation.SWITCH_ORG}
"""What these scenes put was so before; it leaves a row all the same."""
READS = [
    each
    for each in Operation
    if (each.value.method == "GET" or each in CHANGING_NOTHING) and each.value.need is not Who.ANYONE
]


async def rows(stage: Stage) -> list[Any]:
    """The whole trail, of all organisations."""

    def read(db: Connection) -> list[Any]:
        return list(db.execute(select(trail).order_by(trail.c.at_us, trail.c.request_id)).mappings())

    return await stage.world.database.read(read)


def token_for(operation: Operation, on: Scene) -> str:
    need = operation.value.need
    return {Who.OPERATOR: OPERATOR_TOKEN, Who.KEY: on.app_key}.get(need, on.actor)  # type: ignore[arg-type]  # a permission is a person's


@pytest.mark.parametrize("operation", WRITES, ids=[each.title for each in WRITES])
async def test_what_changes_something_leaves_a_row(stage: Stage, operation: Operation) -> None:
    acme = await scene(stage)
    assert await rows(stage) == []
    refused = await attempt(stage, operation, acme, "nobody's")
    assert (refused.status, await rows(stage)) == (401, [])

    answer = await attempt(stage, operation, acme, token_for(operation, acme))
    assert answer.status in (200, 201), answer.body
    (row,) = await rows(stage)
    assert row["operation"] == operation.name.lower()
    assert (row["seq"], row["at_us"]) == (1, stage.clock.now_us())
    assert (row["address"], row["request_id"]) == ("127.0.0.1", answer.headers["x-request-id"])
    if operation.value.need is Who.OPERATOR:
        assert (row["user_id"], row["who"]) == (None, "operator")
    else:
        assert (row["user_id"], row["who"]) == (acme.actor_id, acme.actor_email)
    assert row["target"]
    assert row["before"] != row["after"] or operation in AS_IT_WAS
    if isinstance(operation.value.need, Who) and operation.value.need is not Who.MEMBER:
        assert row["org_id"]
    else:
        assert row["org_id"] == acme.org_id


@pytest.mark.parametrize("operation", READS, ids=[each.title for each in READS])
@ON_SQLITE
async def test_what_changes_nothing_leaves_none(stage: Stage, operation: Operation) -> None:
    acme = await scene(stage)
    stage.clock.advance(3_600)
    answer = await attempt(stage, operation, acme, token_for(operation, acme))
    assert answer.status == 200, answer.body
    assert await rows(stage) == []


async def test_a_sign_in_is_the_user_s_own(stage: Stage) -> None:
    acme = await scene(stage)
    verifier = "v" * 43
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    code = sealed_handover(stage.world.vault, UserId(acme.actor_id), challenge, stage.clock.now_us())
    body = {"code": code, "verifier": verifier}
    made = await stage.request("POST", "/v1/auth/token", body=body)
    assert made.status == 201, made.body
    (row,) = await rows(stage)
    assert (row["operation"], row["who"], row["user_id"]) == ("take_sign_in", acme.actor_email, acme.actor_id)
    (token,) = row["after"]["user_tokens"]
    assert token["hash"] == "••••"


async def test_a_change_that_fails_leaves_none_and_the_next_has_the_next_number(stage: Stage) -> None:
    acme = await scene(stage)
    for _ in range(2):
        assert (await attempt(stage, Operation.PUT_APP_LIMITS, acme, acme.actor)).status == 200
        wrong = await stage.request(
            "PUT",
            "/v1/billing/limits",
            token=acme.actor,
            body={"spending_limit_soft": 9, "spending_limit_hard": 1},
        )
        assert wrong.status == 422
        stage.clock.advance(1)
    assert [row["seq"] for row in await rows(stage)] == [1, 2]


async def test_a_change_is_told_before_and_after_without_secrets(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    limits = await stage.request(
        "PUT", f"/v1/apps/{acme.app_id}/limits", token=acme.user_token, body={"rate_limit": 7}
    )
    assert limits.status == 200
    (limited,) = [row for row in await rows(stage) if row["operation"] == "put_app_limits"]
    assert limited["target"] == acme.app_id
    assert limited["before"] == {"apps": [{"id": acme.app_id, "rate_limit": None}]}
    assert limited["after"] == {"apps": [{"id": acme.app_id, "rate_limit": 7}]}
    (made,) = [row for row in await rows(stage) if row["operation"] == "create_app"]
    (key,) = made["after"]["app_keys"]
    assert (made["before"], key["hash"], key["key_end"]) == ({}, "••••", acme.app_key[-4:])
    (stored,) = [row for row in await rows(stage) if row["operation"] == "put_integrations"]
    assert {each["token_sealed"] for each in stored["after"]["integrations"]} == {"••••"}


def test_secrets_are_known_by_their_names() -> None:
    watched = [table for name, table in metadata.tables.items() if name not in BOOKS]
    masked = {
        f"{table.name}.{column.name}" for table in watched for column in table.c if is_secret(column.name)
    }
    assert masked == {"app_keys.hash", "integrations.token_sealed", "invites.hash", "user_tokens.hash"}, (
        "is what this new column holds a secret? Then name it so; else add it to watch.py"
    )


async def test_admins_read_it_newest_first_and_nobody_else(stage: Stage) -> None:
    acme, beta = await scene(stage, "acme"), await scene(stage, "beta")
    for limit in range(1, 6):
        body = {"rate_limit": limit}
        await stage.request("PUT", f"/v1/apps/{acme.app_id}/limits", token=acme.actor, body=body)
    await stage.request("PUT", "/v1/orgs/update", token=acme.creator, body={"address_city": "Ghent"})

    async def listed(query: str = "", token: str = acme.actor) -> Any:  # noqa: ANN401 - JSON
        answer = await stage.request("GET", f"/v1/audit/trail{query}", token=token)
        assert answer.status == 200, answer.body
        return answer.json

    first = await listed("?limit=4")
    assert [each["number"] for each in first["changes"]] == [6, 5, 4, 3]
    assert first["has_more"]
    rest = await listed(f"?limit=4&before={first['changes'][-1]['number']}")
    assert ([each["number"] for each in rest["changes"]], rest["has_more"]) == ([2, 1], False)
    assert [each["number"] for each in (await listed("?operation=update_org"))["changes"]] == [6]
    assert len((await listed(f"?who={acme.actor_email}"))["changes"]) == 5
    assert len((await listed(f"?who={acme.actor_id}"))["changes"]) == 5
    assert await listed(token=beta.actor) == {"changes": [], "has_more": False}
    wrong = await stage.request("GET", "/v1/audit/trail?operation=none", token=acme.actor)
    assert wrong.status == 422


def test_rows_are_only_ever_added() -> None:
    for path in Path("tollway").rglob("*.py"):
        assert not re.search(r"(?:update|delete)\((?:trail|trail_heads)\)", path.read_text("utf-8")), path
