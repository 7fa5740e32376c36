"""Personal access tokens, over HTTP: named, ending, revocable at once, shown once, their person's only."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, select

from tests.world.entries import ON_SQLITE
from tests.world.stage import OPERATOR_TOKEN, Stage
from tests.world.waiting import until
from tollway.domain.ids import new_id
from tollway.domain.org import EVERY_PERMISSION
from tollway.domain.token import Bearer, digest, is_minted
from tollway.store.sign_in_schema import user_tokens

TOKENS = "/v1/users/tokens"
ME = "/v1/users/me"
DAY_S = 86_400


async def make(stage: Stage, token: str, name: str = "laptop", **fields: object) -> dict[str, Any]:
    made = await stage.request("POST", TOKENS, token=token, body={"name": name, **fields})
    assert made.status == 201, made.body
    assert made.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = made.json
    return body


async def listed(stage: Stage, token: str) -> list[dict[str, Any]]:
    answer = await stage.request("GET", TOKENS, token=token)
    assert answer.status == 200, answer.body
    tokens: list[dict[str, Any]] = answer.json["tokens"]
    return tokens


async def status_of(stage: Stage, token: str) -> int:
    return (await stage.request("GET", ME, token=token)).status


async def test_one_sees_who_one_is_and_where(stage: Stage) -> None:
    token = await stage.user()
    me = (await stage.request("GET", ME, token=token)).json
    assert me == {
        "id": me["id"],
        "email": "ada@example.com",
        "name": "Ada",
        "org_id": (await stage.request("GET", "/v1/orgs/current", token=token)).json["id"],
        "permissions": sorted(EVERY_PERMISSION),
    }
    org = await stage.request("POST", "/v1/orgs", token=token, body={"org_name": "acme"})
    me = (await stage.request("GET", ME, token=token)).json
    assert me["org_id"] == org.json["id"]
    assert "admin:org" in me["permissions"]


async def test_a_token_is_shown_once_and_only_its_hash_is_stored(stage: Stage) -> None:
    first = await stage.user()
    made = await make(stage, first)
    token = made["token"]
    assert is_minted(token, Bearer.USER)
    assert made == {
        "id": made["id"],
        "name": "laptop",
        "token": token,
        "token_end": token[-4:],
        "added_on": "2026-03-10T12:00:00Z",
        "expires_on": None,
        "last_used": None,
        "from_sign_in": False,
        "is_current": False,
    }
    assert await status_of(stage, token) == 200

    def stored(db: Connection) -> list[object]:
        return list(db.execute(select(user_tokens).where(user_tokens.c.id == made["id"])).one())

    row = await stage.world.database.read(stored)
    assert digest(token) in row
    assert token not in str(row)
    shown = await stage.request("GET", TOKENS, token=first)
    assert token.encode() not in shown.body


async def test_tokens_are_listed_the_newest_first_and_the_one_in_use_is_marked(stage: Stage) -> None:
    first = await stage.user()
    stage.clock.advance(1)
    laptop = await make(stage, first)
    stage.clock.advance(1)
    await make(stage, laptop["token"], "ci")
    tokens = await listed(stage, laptop["token"])
    assert [(each["name"], each["is_current"]) for each in tokens] == [
        ("ci", False),
        ("laptop", True),
        ("first token", False),
    ]
    assert tokens[2]["token_end"] == first[-4:]


async def test_a_revoked_token_is_refused_at_once_and_gone_from_the_list(stage: Stage) -> None:
    first = await stage.user()
    made = await make(stage, first)
    revoked = await stage.request("DELETE", f"{TOKENS}/{made['id']}", token=first)
    assert (revoked.status, revoked.json) == (200, {"id": made["id"]})
    assert await status_of(stage, made["token"]) == 401
    assert [each["name"] for each in await listed(stage, first)] == ["first token"]
    again = await stage.request("DELETE", f"{TOKENS}/{made['id']}", token=first)
    assert again.status == 404


async def test_a_token_may_end_itself(stage: Stage) -> None:
    token = await stage.user()
    (only,) = await listed(stage, token)
    assert (await stage.request("DELETE", f"{TOKENS}/{only['id']}", token=token)).status == 200
    assert await status_of(stage, token) == 401


async def test_a_token_ends_when_it_was_said_to(stage: Stage) -> None:
    first = await stage.user()
    made = await make(stage, first, expires_on="2026-03-11T14:00:00+02:00")
    assert made["expires_on"] == "2026-03-11T12:00:00Z"
    stage.clock.advance(DAY_S - 1)
    assert await status_of(stage, made["token"]) == 200
    stage.clock.advance(1)
    assert await status_of(stage, made["token"]) == 401
    assert [each["name"] for each in await listed(stage, first)] == ["first token"]


@ON_SQLITE
@pytest.mark.parametrize(
    "expires_on",
    [
        "2026-03-10T12:00:00Z",
        "2026-03-09T12:00:00Z",
        "2028-01-01T00:00:00",
        "2028-01-01",
        "tomorrow",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
        "",
        1_900_000_000,
        True,
    ],
)
async def test_an_end_that_is_no_moment_to_come_is_refused_in_its_place(
    stage: Stage, expires_on: object
) -> None:
    body = {"name": "laptop", "expires_on": expires_on}
    refused = await stage.request("POST", TOKENS, token=await stage.user(), body=body)
    assert refused.status == 422, refused.body
    assert [fault["loc"] for fault in refused.json["detail"]] == [["body", "expires_on"]]
    if isinstance(expires_on, str) and expires_on:
        assert expires_on not in refused.body.decode()


@ON_SQLITE
@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 201}, {"name": "a\0b"}, {"nam": "x"}])
async def test_a_token_has_a_name(stage: Stage, body: dict[str, object]) -> None:
    assert (await stage.request("POST", TOKENS, token=await stage.user(), body=body)).status == 422


async def test_another_person_s_token_is_no_other_than_one_that_never_was(stage: Stage) -> None:
    ada, eve = await stage.user(), await stage.user("eve@example.com")
    made = await make(stage, ada)
    answers = [
        await stage.request("DELETE", f"{TOKENS}/{id_}", token=eve)
        for id_ in (made["id"], new_id(stage.clock.now_us()), "no-id", "%00")
    ]
    assert [answer.status for answer in answers] == [404] * 4
    assert len({answer.body for answer in answers}) == 1
    assert await status_of(stage, made["token"]) == 200
    assert len(await listed(stage, eve)) == 1


async def test_there_are_at_most_ninety_valid_ones_however_many_are_made_at_once(stage: Stage) -> None:
    first = await stage.user()
    body = {"name": "one of many"}
    made = await asyncio.gather(*(stage.request("POST", TOKENS, token=first, body=body) for _ in range(95)))
    assert sorted(answer.status for answer in made) == [201] * 89 + [409] * 6
    assert len(await listed(stage, first)) == 90
    one = next(answer.json["id"] for answer in made if answer.status == 201)
    await stage.request("DELETE", f"{TOKENS}/{one}", token=first)
    await make(stage, first, "there is room again")


async def test_the_last_use_is_known_to_the_minute(stage: Stage) -> None:
    token = await stage.user()

    async def last_used(other: str) -> object:
        tokens = await listed(stage, other)
        return next(each["last_used"] for each in tokens if each["name"] == "first token")

    other = (await make(stage, token))["token"]

    async def is_noted(at: str) -> bool:
        return await last_used(other) == at

    await until(lambda: is_noted("2026-03-10T12:00:00Z"))
    stage.clock.advance(59)
    assert await status_of(stage, token) == 200
    stage.clock.advance(1)
    assert await last_used(other) == "2026-03-10T12:00:00Z"
    assert await status_of(stage, token) == 200
    await until(lambda: is_noted("2026-03-10T12:01:00Z"))


async def test_who_has_no_token_gets_nothing(stage: Stage) -> None:
    acme = await stage.tenant()
    for method, path in (("GET", ME), ("GET", TOKENS), ("POST", TOKENS), ("DELETE", f"{TOKENS}/x")):
        for token in (None, "junk", acme.app_key, OPERATOR_TOKEN):
            answer = await stage.request(method, path, token=token, body={"name": "x"})
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
