"""An app's key made anew, and its access tokens: shown once, stored hashed, ended in every process."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from tests.control.people import member
from tests.world.entries import ON_SQLITE
from tests.world.stage import Answer, Stage, Tenant
from tollway.control.apps_keys import MAX_ACCESS_TOKENS
from tollway.domain.caller import KeyPermission
from tollway.domain.errors import Forbidden
from tollway.domain.ids import AppId, OrgId, new_id
from tollway.domain.org import Permission
from tollway.domain.token import Bearer, digest, is_minted, mint
from tollway.store.apps_keys import replace_key
from tollway.store.schema import app_keys

NO_APP = "there is no such active app in your current organisation"


def path(tenant: Tenant, rest: str = "access-tokens") -> str:
    return f"/v1/apps/{tenant.app_id}/{rest}"


async def put(stage: Stage, tenant: Tenant, name: str = "tool", **fields: object) -> Answer:
    body = {"name": name, "permissions": ["inference"], **fields}
    return await stage.request("POST", path(tenant), token=tenant.user_token, body=body)


async def listed(stage: Stage, tenant: Tenant) -> list[dict[str, Any]]:
    answer = await stage.request("GET", path(tenant), token=tenant.user_token)
    assert answer.status == 200, answer.body
    tokens: list[dict[str, Any]] = answer.json
    return tokens


async def chat(stage: Stage, tenant: Tenant, key: str) -> tuple[int, str | None]:
    """The status and, if it was refused, the code of a call with this key, once all is known."""
    await stage.world.refresh()
    answer = await stage.chat(replace(tenant, app_key=key))
    return answer.status, answer.json["error"]["code"] if answer.status != 200 else None


async def test_a_key_made_anew_works_and_the_old_one_ends(stage: Stage) -> None:
    acme = await stage.tenant()
    assert await chat(stage, acme, acme.app_key) == (200, None)
    made = await stage.request("POST", path(acme, "regenerate-key"), token=acme.user_token)
    assert made.status == 200
    assert made.headers["Cache-Control"] == "no-store"
    assert list(made.json) == ["id", "org_id", "created_key", "key_end", "name", "description"]
    key = made.json["created_key"]
    assert is_minted(key, Bearer.APP)
    assert made.json["key_end"] == key[-4:]
    assert await chat(stage, acme, acme.app_key) == (401, "key_revoked")
    assert await chat(stage, acme, key) == (200, None)
    shown = (await stage.request("GET", path(acme, ""), token=acme.user_token)).json["main"]
    assert shown["app"]["key_end"] == key[-4:]
    assert [each["key_end"] for each in shown["keys"]] == [key[-4:]]


async def test_a_key_made_anew_has_the_limits_of_the_old_one(stage: Stage) -> None:
    acme = await stage.tenant()
    (old,) = (await stage.request("GET", path(acme, "limits"), token=acme.user_token)).json["keys"]
    wanted = {"rate_limit": 1, "tokens_per_minute": 10_000, "spending_limit": 2.5}
    await stage.request("PUT", path(acme, f"keys/{old['id']}/limits"), token=acme.user_token, body=wanted)
    made = await stage.request("POST", path(acme, "regenerate-key"), token=acme.user_token)
    (new,) = (await stage.request("GET", path(acme, "limits"), token=acme.user_token)).json["keys"]
    assert new["id"] != old["id"]
    assert {name: new[name] for name in wanted} == wanted
    assert (await chat(stage, acme, made.json["created_key"]))[0] == 200
    assert (await chat(stage, acme, made.json["created_key"]))[0] == 429


async def test_of_keys_made_anew_at_once_one_is_left(stage: Stage) -> None:
    acme = await stage.tenant()
    asking = (stage.request("POST", path(acme, "regenerate-key"), token=acme.user_token) for _ in range(4))
    keys = [answer.json["created_key"] for answer in await asyncio.gather(*asking)]
    assert sorted([await chat(stage, acme, key) for key in keys])[:2] == [(200, None), (401, "key_revoked")]
    assert len((await stage.request("GET", path(acme, "limits"), token=acme.user_token)).json["keys"]) == 1


async def test_an_access_token_makes_calls_and_only_its_hash_is_stored(stage: Stage) -> None:
    acme = await stage.tenant()
    made = await put(stage, acme, expires_on="2027-01-01T00:00:00+01:00")
    assert made.headers["Cache-Control"] == "no-store"
    secret = made.json["secret"]
    assert made.json == {
        "id": made.json["id"],
        "name": "tool",
        "key_suffix": secret[-4:],
        "permissions": ["inference"],
        "added_on": made.json["added_on"],
        "expires_on": "2026-12-31T23:00:00Z",
        "is_expired": False,
        "secret": secret,
    }
    assert await listed(stage, acme) == [
        {name: value for name, value in made.json.items() if name != "secret"}
    ]
    assert await chat(stage, acme, secret) == (200, None)

    def stored(db: Connection) -> list[object]:
        return list(db.execute(select(app_keys).where(app_keys.c.name == "tool")).one())

    row = await stage.world.database.read(stored)
    assert digest(secret) in row
    assert all(secret not in str(value) for value in row)


async def test_an_access_token_of_the_same_name_takes_the_place_of_the_old_one(stage: Stage) -> None:
    acme = await stage.tenant()
    first, other = (await put(stage, acme)).json, (await put(stage, acme, "other")).json
    assert await chat(stage, acme, first["secret"]) == (200, None)
    limits = {"rate_limit": 77}
    await stage.request("PUT", path(acme, f"keys/{first['id']}/limits"), token=acme.user_token, body=limits)
    stage.clock.advance(1)
    second = (await put(stage, acme, permissions=["logs", "inference", "logs"])).json
    assert second["permissions"] == ["inference", "logs"]
    assert await chat(stage, acme, first["secret"]) == (401, "key_revoked")
    for key in (second["secret"], other["secret"], acme.app_key):
        assert await chat(stage, acme, key) == (200, None)
    assert [token["id"] for token in await listed(stage, acme)] == [other["id"], second["id"]]
    keys = (await stage.request("GET", path(acme, "limits"), token=acme.user_token)).json["keys"]
    assert {key["id"]: key["rate_limit"] for key in keys}[second["id"]] == 77
    # And the app's own key is not an access token's business.
    await stage.request("POST", path(acme, "regenerate-key"), token=acme.user_token)
    assert await chat(stage, acme, acme.app_key) == (401, "key_revoked")
    assert await chat(stage, acme, other["secret"]) == (200, None)


async def test_an_access_token_ends_by_itself_while_the_database_is_not_asked(stage: Stage) -> None:
    acme = await stage.tenant()
    made = (await put(stage, acme, expires_on="2026-03-10T12:00:05Z")).json  # in five seconds
    assert await chat(stage, acme, made["secret"]) == (200, None)
    live = stage.world.gateway.live
    stage.clock.advance(4.999)
    assert await chat(stage, acme, made["secret"]) == (200, None)
    stage.clock.advance(0.001)
    assert live.known(made["secret"]) is not None
    assert await chat(stage, acme, made["secret"]) == (401, "key_expired")
    (shown,) = await listed(stage, acme)
    assert shown["is_expired"]
    again = (await put(stage, acme)).json
    assert again["expires_on"] is None
    assert await chat(stage, acme, again["secret"]) == (200, None)


async def test_a_deleted_access_token_ends_and_no_other_key_can_be_deleted_so(stage: Stage) -> None:
    acme = await stage.tenant()
    made = (await put(stage, acme)).json
    assert await chat(stage, acme, made["secret"]) == (200, None)
    gone = await stage.request("DELETE", path(acme, f"access-tokens/{made['id']}"), token=acme.user_token)
    assert (gone.status, gone.json) == (200, {"id": made["id"]})
    assert await chat(stage, acme, made["secret"]) == (401, "key_revoked")
    assert await listed(stage, acme) == []
    (own,) = (await stage.request("GET", path(acme, "limits"), token=acme.user_token)).json["keys"]
    for id_ in (made["id"], own["id"], new_id(stage.clock.now_us()), "x"):
        answer = await stage.request("DELETE", path(acme, f"access-tokens/{id_}"), token=acme.user_token)
        assert (answer.status, answer.json["detail"]) == (404, "the app has no such access token")
    assert await chat(stage, acme, acme.app_key) == (200, None)


async def test_an_access_token_is_only_for_what_it_says(stage: Stage) -> None:
    acme = await stage.tenant()
    secret = (await put(stage, acme, permissions=["logs"])).json["secret"]
    assert await chat(stage, acme, secret) == (403, "key_not_permitted")
    models = await stage.request("GET", "/v1/models", token=secret)
    assert (models.status, models.json["error"]["code"]) == (403, "key_not_permitted")
    live = stage.world.gateway.live
    assert (await live.identify(secret, KeyPermission.LOGS)).app_id == acme.app_id
    assert (await live.identify(acme.app_key, KeyPermission.LOGS)).app_id == acme.app_id
    inference = (await put(stage, acme)).json["secret"]
    await stage.world.refresh()
    with pytest.raises(Forbidden):
        await live.identify(inference, KeyPermission.LOGS)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"permissions": []},
        {"permissions": ["all"]},
        {"permissions": "inference"},
        {"expires_on": "2026-03-10T12:00:00Z"},
        {"expires_on": "2027-01-01T00:00:00"},
        {"expires_on": 1_900_000_000},
        {"expires_at": None},
    ],
)
@ON_SQLITE
async def test_what_is_no_access_token_is_refused(stage: Stage, fields: dict[str, object]) -> None:
    acme = await stage.tenant()
    body = {"name": "tool", "permissions": ["inference"], **fields}
    assert (await stage.request("POST", path(acme), token=acme.user_token, body=body)).status == 422
    assert await listed(stage, acme) == []


@ON_SQLITE
async def test_an_app_has_so_many_access_tokens_and_no_more(stage: Stage) -> None:
    acme = await stage.tenant()

    def fill(db: Connection) -> None:
        for number in range(MAX_ACCESS_TOKENS):
            replace_key(
                db, OrgId(acme.org_id), AppId(acme.app_id), mint(Bearer.APP), name=f"{number}", now_us=1
            )

    await stage.world.database.write(fill)
    refused = await put(stage, acme)
    assert (refused.status, "delete one first" in refused.json["detail"]) == (409, True)
    assert (await put(stage, acme, "7")).status == 200


async def test_a_revoked_app_has_no_keys_to_see_or_make(stage: Stage) -> None:
    acme = await stage.tenant()
    made = (await put(stage, acme)).json
    await stage.request("DELETE", path(acme, ""), token=acme.user_token)
    answers = [
        await stage.request("GET", path(acme), token=acme.user_token),
        await put(stage, acme),
        await stage.request("POST", path(acme, "regenerate-key"), token=acme.user_token),
        await stage.request("DELETE", path(acme, f"access-tokens/{made['id']}"), token=acme.user_token),
    ]
    assert [(answer.status, answer.json["detail"]) for answer in answers] == [(404, NO_APP)] * 4
    assert await chat(stage, acme, made["secret"]) == (403, "app_revoked")


async def test_who_only_sees_apps_sees_ends_and_makes_no_keys(stage: Stage) -> None:
    acme = await stage.tenant()
    made = (await put(stage, acme)).json
    viewer = await member(stage, acme, "grace@example.com", [Permission.VIEWER_APP])
    seen = await stage.request("GET", path(acme), token=viewer)
    assert seen.status == 200
    assert made["secret"].encode() not in seen.body
    body = {"name": "tool", "permissions": ["inference"]}
    assert (await stage.request("POST", path(acme), token=viewer, body=body)).status == 403
    assert (await stage.request("POST", path(acme, "regenerate-key"), token=viewer)).status == 403
    assert await chat(stage, acme, made["secret"]) == (200, None)
