"""Organisations: made with their creator in charge, and current for them."""

import asyncio

from tests.world.stage import Stage


async def test_the_creator_of_an_organisation_may_do_everything_in_it(stage: Stage) -> None:
    token = await stage.user()
    body = {"org_name": "acme", "org_display_name": "Acme", "billing_email": "bills@example.com"}
    made = await stage.request("POST", "/v1/orgs", token=token, body=body)
    assert made.status == 201
    shown = await stage.request("GET", "/v1/orgs/current", token=token)
    assert shown.json == made.json
    assert (shown.json["org_display_name"], shown.json["billing_email"]) == ("Acme", "bills@example.com")
    app = await stage.request("POST", "/v1/apps/create", token=token, body={"name": "x"})
    assert app.status == 201


async def test_the_newest_organisation_is_current_for_its_creator(stage: Stage) -> None:
    token = await stage.user()
    for name in ("first", "second"):
        await stage.request("POST", "/v1/orgs", token=token, body={"org_name": name})
    shown = await stage.request("GET", "/v1/orgs/current", token=token)
    assert shown.json["org_name"] == "second"


async def test_of_two_who_want_one_name_at_once_one_gets_it(stage: Stage) -> None:
    tokens = [await stage.user(f"{number}@example.com") for number in range(4)]
    made = await asyncio.gather(
        *(stage.request("POST", "/v1/orgs", token=token, body={"org_name": "acme"}) for token in tokens)
    )
    assert sorted(answer.status for answer in made) == [201, 409, 409, 409]
    for token, answer in zip(tokens, made, strict=True):
        shown = await stage.request("GET", "/v1/orgs/current", token=token)
        assert shown.status == (200 if answer.status == 201 else 404)
