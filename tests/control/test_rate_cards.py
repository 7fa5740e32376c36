"""Rate cards over HTTP: the operator's alone, and everything wrong with one is named."""

import asyncio

import pytest

from tests.gateway.labs import put_card
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.demo.offer import BENCHMARK_MODEL, CHEAP_MODEL
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import new_id
from tollway.domain.moment import iso
from tollway.store.rate_cards import MAX_TO_COME

PRICE = {"input": "3.00", "output": "12"}


def path(org_id: str) -> str:
    return f"/v1/operator/orgs/{org_id}/rate_card"


async def cards(stage: Stage, tenant: Tenant) -> Answer:
    return await stage.request("GET", path(tenant.org_id), token=OPERATOR_TOKEN)


def faults(answer: Answer) -> dict[tuple[str, ...], str]:
    """Where a request is wrong, and what is said of it."""
    assert answer.status == 422, answer.body
    return {tuple(fault["loc"]): fault["msg"] for fault in answer.json["detail"]}


async def test_a_card_is_answered_and_listed_as_it_was_put(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    prices = {CHEAP_MODEL: PRICE}
    made = await put_card(stage, acme, markup="1.25", prices=prices)
    assert made.status == 201, made.body
    assert (made.json["markup"], made.json["prices"]) == ("1.25", prices)
    assert made.json["effective_from"] == made.json["added_on"] == "2026-03-10T12:00:00Z"
    later = await put_card(stage, acme, effective_from="2026-04-01T02:00:00+02:00", markup=None)
    assert later.json["effective_from"] == "2026-04-01T00:00:00Z"
    assert (await cards(stage, acme)).json == {"rate_cards": [later.json, made.json]}
    assert (await cards(stage, other)).json == {"rate_cards": []}


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_only_the_operator_may_see_or_put_cards(stage: Stage, method: str) -> None:
    acme = await stage.tenant()
    body = {"markup": "2"} if method == "PUT" else None
    for token, status in ((None, 401), ("junk", 401), (acme.user_token, 403), (acme.app_key, 403)):
        refused = await stage.request(method, path(acme.org_id), token=token, body=body)
        assert refused.status == status, refused.body
    assert (await cards(stage, acme)).json == {"rate_cards": []}


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_an_organisation_that_is_not_there_is_not_found(stage: Stage, method: str) -> None:
    for org_id in (new_id(stage.clock.now_us()), "x", "%00", "a" * 3_000):
        body = {"markup": "2"} if method == "PUT" else None
        answer = await stage.request(method, path(org_id), token=OPERATOR_TOKEN, body=body)
        assert answer.status == 404, answer.body


@pytest.mark.parametrize("money", [1.25, 2, True, 1e308])
async def test_money_that_is_a_number_is_refused_with_what_to_do(stage: Stage, money: object) -> None:
    acme = await stage.tenant()
    told = faults(await put_card(stage, acme, markup=money))
    assert 'as text, "1.25"' in told["body", "markup"]
    told = faults(await put_card(stage, acme, prices={CHEAP_MODEL: {**PRICE, "input": money}}))
    assert 'as text, "1.25"' in told["body", "prices", CHEAP_MODEL, "input"]
    assert (await cards(stage, acme)).json == {"rate_cards": []}


@pytest.mark.parametrize("markup", ["", "x", "-1", "101", "NaN", "1e-10", "1,25", "9" * 100])
async def test_a_markup_that_is_no_factor_is_refused(stage: Stage, markup: str) -> None:
    assert list(faults(await put_card(stage, await stage.tenant(), markup=markup))) == [("body", "markup")]


async def test_everything_that_is_wrong_with_the_prices_is_named_at_once(stage: Stage) -> None:
    acme = await stage.tenant()
    prices = {
        CHEAP_MODEL: {"input": "1", "output": "-1", "inptu": "1"},
        "demo/none": PRICE,
        "nobody/x": PRICE,
        "small": PRICE,
        BENCHMARK_MODEL: {},
        "openai/gpt-4o-2024-08-06": PRICE,
    }
    told = faults(await put_card(stage, acme, markup="x", prices=prices))
    assert set(told) == {
        ("body", "markup"),
        ("body", "prices", CHEAP_MODEL, "output"),
        ("body", "prices", CHEAP_MODEL, "inptu"),
        ("body", "prices", "demo/none"),
        ("body", "prices", "nobody/x"),
        ("body", "prices", "small"),
        ("body", "prices", BENCHMARK_MODEL, "input"),
        ("body", "prices", BENCHMARK_MODEL, "output"),
        ("body", "prices", "openai/gpt-4o-2024-08-06"),
    }
    assert told["body", "prices", "small"] == f"this model is called {CHEAP_MODEL} here"
    assert "openai/gpt-4o here" in told["body", "prices", "openai/gpt-4o-2024-08-06"]
    assert "cached_input" in told["body", "prices", CHEAP_MODEL, "inptu"]
    assert (await cards(stage, acme)).json == {"rate_cards": []}


async def test_a_card_of_too_many_models_is_refused(stage: Stage) -> None:
    prices = {f"demo/{number}": PRICE for number in range(2_001)}
    assert list(faults(await put_card(stage, await stage.tenant(), prices=prices))) == [("body", "prices")]


@pytest.mark.parametrize(
    "card",
    [
        {"markup": "2", "extra": 1},
        {"prices": []},
        {"prices": {CHEAP_MODEL: "3"}},
        {"prices": {"": PRICE}},
        {"prices": {"a\x00b": PRICE}},
        {"effective_from": 5},
        {"effective_from": "soon"},
        {"effective_from": "2100-01-01"},
        {"effective_from": "1960-01-01"},
    ],
)
async def test_what_is_no_card_is_refused(stage: Stage, card: dict[str, object]) -> None:
    assert faults(await put_card(stage, await stage.tenant(), **card))


async def test_the_past_is_refused_and_this_very_moment_is_not(stage: Stage) -> None:
    acme = await stage.tenant()
    now_us = stage.clock.now_us()
    told = faults(await put_card(stage, acme, effective_from=iso(now_us - 1), markup="2"))
    assert "has passed" in told["body", "effective_from"]
    assert (await put_card(stage, acme, effective_from=iso(now_us), markup="2")).status == 201
    again = await put_card(stage, acme, markup="3")
    assert (again.status, "try again" in again.json["detail"]) == (409, True)


async def test_no_more_cards_are_to_come_than_are_worth_it(stage: Stage) -> None:
    acme = await stage.tenant()
    now_us = stage.clock.now_us()
    times = [iso(now_us + (1 + number) * US_PER_S) for number in range(MAX_TO_COME + 2)]
    put = await asyncio.gather(*(put_card(stage, acme, effective_from=time, markup="2") for time in times))
    assert sorted(answer.status for answer in put) == [201] * MAX_TO_COME + [409, 409]
