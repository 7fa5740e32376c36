"""Users: made by the operator, with a token that is shown once."""

import asyncio

from sqlalchemy import Connection, select

from tests.world.stage import OPERATOR_TOKEN, Stage
from tollway.domain.token import Bearer, digest, is_minted
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
