"""Users: made by the operator, with a token that is shown once."""

import asyncio

from sqlalchemy import Connection, select

from tests.world.stage import OPERATOR_TOKEN, Stage
from tollway.domain.org import EVERY_PERMISSION
from tollway.domain.role import words_of
from tollway.domain.token import Bearer, digest, is_minted
from tollway.store.schema import orgs, users
from tollway.store.sign_in_schema import user_tokens

ADA = {"email": "ada@example.com", "name": "Ada"}


async def test_a_new_user_has_a_token_of_which_only_the_hash_is_stored(stage: Stage) -> None:
    made = await stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=ADA)
    assert made.status == 201
    token = made.json["token"]
    assert is_minted(token, Bearer.USER)

    def read(db: Connection) -> list[object]:
        return list(db.execute(select(user_tokens)).one())

    stored = await stage.world.database.read(read)
    assert digest(token) in stored
    assert all(token not in str(value) for value in stored)


async def test_an_e_mail_is_one_users(stage: Stage) -> None:
    made = await asyncio.gather(
        *(stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=ADA) for _ in range(3))
    )
    assert sorted(answer.status for answer in made) == [201, 409, 409]


async def test_only_the_operator_makes_users(stage: Stage) -> None:
    user = await stage.user()
    body = {"email": "grace@example.com", "name": "Grace"}
    for token, status in ((None, 401), ("junk", 401), (user, 403)):
        assert (await stage.request("POST", "/v1/users", token=token, body=body)).status == status


async def test_a_new_user_has_an_organisation_of_their_own_and_the_names_they_choose_stay_free(
    stage: Stage,
) -> None:
    made = await stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=ADA)
    token = made.json["token"]
    record = (await stage.request("GET", "/v1/orgs/current", token=token)).json
    assert (record["is_personal"], record["org_creator"]) == (True, made.json["id"])
    assert (record["org_name"][:4], len(record["org_name"])) == ("ada-", 12)
    assert (record["org_display_name"], record["billing_email"]) == ("Ada", "ada@example.com")
    (access,) = (await stage.request("GET", "/v1/orgs/list", token=token)).json
    assert (access["is_personal_org"], access["permissions"]) == (True, words_of(EVERY_PERMISSION))
    app = await stage.request("POST", "/v1/apps/create", token=token, body={"name": "An app"})
    assert app.status == 201
    for name in ("adas-company", "ada-x"):
        named = await stage.request("POST", "/v1/orgs", token=token, body={"org_name": name})
        assert (named.status, named.json["is_personal"]) == (201, False)


async def test_a_user_who_is_not_made_leaves_no_organisation(stage: Stage) -> None:
    for _ in range(2):
        await stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=ADA)

    def count(db: Connection) -> tuple[int, int]:
        return len(db.execute(select(users.c.id)).all()), len(db.execute(select(orgs.c.id)).all())

    assert await stage.world.database.read(count) == (1, 1)
