"""`/v1/logs` over HTTP: what is found, by whom, and what is shown of it."""

from typing import Any

import pytest

from tests.control.people import member
from tests.world.clock import NOON_US
from tests.world.entries import ON_SQLITE
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.domain.moment import iso
from tollway.domain.org import Permission

EVER = "2026-01-01"
DAY_S = 86_400


async def chat(stage: Stage, tenant: Tenant, content: str = "Hello!", **headers: str) -> str:
    """One call with these headers; its id. Time passes, so that calls have an order."""
    body = {"model": "demo/small", "messages": [{"role": "user", "content": content}], "user": "ann"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await stage.request(
        "POST", "/v1/chat/completions", token=tenant.app_key, body=body, headers=named
    )
    assert answer.status == 200, answer.body
    stage.clock.advance(1)
    await stage.settled()
    return answer.headers["x-request-id"]


async def asked(stage: Stage, token: str, path: str = "", **fields: object) -> Answer:
    return await stage.request("POST", f"/v1/logs{path}", token=token, body={"date_from": EVER, **fields})


async def found(stage: Stage, token: str, path: str = "", **fields: object) -> list[str]:
    answer = await asked(stage, token, path, **fields)
    assert answer.status == 200, answer.body
    return [item["id"] for item in answer.json["items"]]


def fault(answer: Answer) -> tuple[list[str], str]:
    assert answer.status == 422, answer.body
    (told,) = answer.json["detail"]
    return told["loc"], told["type"]


async def test_a_call_is_a_log_with_the_id_of_its_answer(stage: Stage) -> None:
    acme = await stage.tenant()
    request_id = await chat(stage, acme, Tollway_Labels='{"Team": "Search", "beta": true}')
    shown = await stage.request("GET", f"/v1/logs/{request_id}", token=acme.user_token)
    assert shown.status == 200, shown.body
    assert shown.json == {
        "id": request_id,
        "app_id": acme.app_id,
        "app": "acme-app",
        "key_id": shown.json["key_id"],
        "auth0_id": None,
        "conversation_id": None,
        "parent_request_id": None,
        "request_type": "chat_completions",
        "timestamp": NOON_US // 1_000,
        "created": NOON_US // 1_000,
        "latency": 0.0,
        "first_token_latency": None,
        "status_code": 200,
        "outcome": "settled",
        "error_code": None,
        "streamed": False,
        "model": "demo/small",
        "model_id": None,
        "namespace": "demo/small",
        "owner": "demo",
        "provider": "demo",
        "prompt_tokens": 2,
        "completion_tokens": shown.json["completion_tokens"],
        "total_tokens": 2 + shown.json["completion_tokens"],
        "prompt_tokens_cost": 0.0000008,
        "completion_tokens_cost": shown.json["completion_tokens_cost"],
        "total_tokens_cost": shown.json["total_tokens_cost"],
        "prompt_tokens_cost_savings": 0.0000032,
        "completion_tokens_cost_savings": shown.json["completion_tokens_cost_savings"],
        "total_tokens_cost_savings": shown.json["total_tokens_cost_savings"],
        "costs_incurred": True,
        "labels": {"team": "search", "beta": "true"},
        "end_user": "ann",
        "good_answer": None,
        "feedback": "",
        "privacy_level": 2,
        "content": "none",
        "prompt": None,
        "response_text": None,
        "payload": None,
        "response": None,
    }
    assert b'"prompt_tokens_cost":0.0000008,' in shown.body
    listed = await asked(stage, acme.app_key)
    assert listed.json == {"items": [shown.json], "page": 1, "size": 50, "next_cursor": None}


async def test_prompt_and_answer_are_shown_at_privacy_level_1_and_searched(stage: Stage) -> None:
    acme = await stage.tenant(privacy_level=1)
    first = await chat(stage, acme, 'Where is the "Öresund"?')
    streamed = await stage.chat(acme, "How long is it?", stream=True)
    second = streamed.headers["x-request-id"]
    await stage.settled()
    log = (await stage.request("GET", f"/v1/logs/{first}", token=acme.user_token)).json
    assert (log["privacy_level"], log["content"]) == (1, "shown")
    assert log["prompt"] == 'Where is the "Öresund"?'
    assert log["response_text"].startswith("You said: Where is the")
    assert log["payload"]["messages"] == [{"role": "user", "content": 'Where is the "Öresund"?'}]
    assert log["response"]["object"] == "chat.completion"
    log = (await stage.request("GET", f"/v1/logs/{second}", token=acme.user_token)).json
    assert (log["response"], log["response_text"][:25]) == (None, "You said: How long is it?")

    assert await found(stage, acme.app_key, query='"öRESUND"') == [first]
    assert await found(stage, acme.app_key, query="you SAID: h") == [second]
    assert await found(stage, acme.app_key, query="nobody said so") == []


async def test_filters_must_all_hold(stage: Stage) -> None:
    acme = await stage.tenant()
    plain = await chat(stage, acme)
    search = await chat(stage, acme, Tollway_Labels='{"team": "search"}')
    both = await chat(stage, acme, Tollway_Labels='{"team": "search", "stage": "test"}')
    key, user = acme.app_key, acme.user_token
    assert await found(stage, user) == [both, search, plain]
    assert await found(stage, key, labels={"TEAM": "Search"}) == [both, search]
    assert await found(stage, key, labels={"team": "search", "stage": "test"}) == [both]
    assert await found(stage, key, labels={"team": "search", "stage": "live"}) == []
    assert await found(stage, user, labels={"team": "search"}, app_ids=[acme.app_id]) == [both, search]
    assert await found(stage, user, app_ids=[acme.app_id], end_user="ann") == [both, search, plain]
    assert await found(stage, user, end_user="Ann") == []
    at = [iso(NOON_US + seconds * 1_000_000) for seconds in range(3)]
    assert await found(stage, user, date_from=at[1], date_to=at[2]) == [search]
    assert await found(stage, user, date_from=at[1]) == [both, search]


async def test_logs_are_sorted_by_what_they_show(stage: Stage) -> None:
    acme = await stage.tenant()
    short, long, middle = [await chat(stage, acme, "word " * length) for length in (1, 90, 30)]
    by = [{"col": "total_tokens_cost", "order": "desc"}]
    assert await found(stage, acme.user_token, params=by) == [long, middle, short]
    by = [{"col": "model", "order": "asc"}, {"col": "total_tokens", "order": "asc"}]
    assert await found(stage, acme.user_token, params=by) == [short, middle, long]
    assert await found(stage, acme.user_token, "?size=1&page=2", params=by) == [middle]
    by = [{"col": "model", "order": "asc"}, {"col": "timestamp", "order": "desc"}]
    assert await found(stage, acme.user_token, params=by) == [middle, long, short]
    by = [{"col": "timestamp", "order": "asc"}]
    assert await found(stage, acme.user_token, params=by) == [short, long, middle]


async def test_a_cursor_goes_on_where_the_last_answer_ended(stage: Stage) -> None:
    acme = await stage.tenant()
    made = [await chat(stage, acme, Tollway_Labels='{"n": 1}') for _ in range(5)]
    for fields in ({}, {"labels": {"n": "1"}}, {"app_ids": [acme.app_id]}):
        for order, expected in (("asc", made), ("desc", made[::-1])):
            by = {"params": [{"col": "timestamp", "order": order}], **fields}
            seen, cursor = [], ""
            while True:
                page = (await asked(stage, acme.user_token, f"?size=2{cursor}", **by)).json
                seen += [item["id"] for item in page["items"]]
                if page["next_cursor"] is None:
                    break
                cursor = f"&cursor={page['next_cursor']}"
            assert seen == expected
            assert await found(stage, acme.user_token, "?size=2&page=2", **by) == expected[2:4]


@ON_SQLITE
async def test_what_cannot_be_searched_is_told_where(stage: Stage) -> None:
    acme = await stage.tenant()
    await chat(stage, acme)
    user = acme.user_token
    deep = await asked(stage, user, "?page=101&size=100")
    assert fault(deep) == (["query", "page"], "too_deep")
    assert "next_cursor" in deep.json["detail"][0]["msg"]
    assert (await asked(stage, user, "?page=100&size=100")).json["items"] == []
    for cursor in ("x", "%00", "ZDEuMQ", "YTEuMQ"):
        params = [{"col": "timestamp", "order": "desc" if cursor == "YTEuMQ" else "asc"}]
        told = await asked(stage, user, f"?cursor={cursor}", params=params)
        assert fault(told) == (["query", "cursor"], "cursor_unknown")
    told = await asked(stage, user, "?cursor=ZDEuMQ&page=2")
    assert fault(told) == (["query", "cursor"], "cursor_not_usable")
    assert fault(await asked(stage, user, date_to=EVER)) == (["body", "date_to"], "empty_span")
    for fields in (
        {"date_from": "soon"},
        {"date_from": "1969-12-31"},
        {"date_from": 5},
        {"app_ids": ["not-an-id"]},
        {"params": [{"col": "org_id", "order": "asc"}]},
        {"labels": {"": "x"}},
        {"labels": {"x": 1}},
        {"query": "x" * 257},
        {"colour": "red"},
    ):
        assert (await asked(stage, user, **fields)).status == 422
    assert (await stage.request("POST", "/v1/logs", token=user, body={})).status == 422


async def test_a_rating_is_shown_and_the_newest_counts(stage: Stage) -> None:
    acme = await stage.tenant()
    request_id = await chat(stage, acme)
    path = f"/v1/logs/{request_id}/rating"
    body: dict[str, Any] = {"good_answer": True, "feedback": "just right"}
    rated = await stage.request("POST", path, token=acme.app_key, body=body)
    assert (rated.status, rated.json["good_answer"], rated.json["feedback"]) == (200, True, "just right")
    await stage.request("POST", path, token=acme.user_token, body={"good_answer": False})
    log = (await stage.request("GET", f"/v1/logs/{request_id}", token=acme.app_key)).json
    assert (log["good_answer"], log["feedback"]) == (False, "")
    rated = await stage.request(
        "POST", path, token=acme.app_key, body={"good_answer": None, "feedback": None}
    )
    assert (rated.json["good_answer"], rated.json["feedback"]) == (None, "")
    refused = await stage.request("POST", path, token=acme.app_key, body={"good_answer": "yes"})
    assert refused.status == 422


async def test_a_key_sees_its_own_app_only(stage: Stage) -> None:
    acme = await stage.tenant()
    made = await stage.request("POST", "/v1/apps/create", token=acme.user_token, body={"name": "second"})
    own = await chat(stage, acme)
    other_key = made.json["created_key"]
    assert await found(stage, other_key) == []
    assert await found(stage, acme.user_token, app_ids=[made.json["id"]]) == []
    assert await found(stage, acme.user_token, app_ids=[made.json["id"], acme.app_id]) == [own]
    gone = await stage.request("GET", f"/v1/logs/{own}", token=other_key)
    nothing = await stage.request("GET", f"/v1/logs/{acme.app_id}", token=other_key)
    assert (gone.status, gone.body) == (404, nothing.body)
    rated = await stage.request("POST", f"/v1/logs/{own}/rating", token=other_key, body={})
    assert (rated.status, rated.body) == (404, nothing.body)
    foreign = await asked(stage, other_key, app_ids=[acme.app_id])
    assert (foreign.status, foreign.json["detail"][:20]) == (404, "there is no such app")

    await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
    assert (await asked(stage, acme.app_key)).status == 403
    assert (await stage.request("GET", f"/v1/logs/{own}", token=acme.app_key)).status == 403
    assert await found(stage, acme.user_token) == [own]


async def test_another_organisation_s_logs_do_not_exist(stage: Stage) -> None:
    acme, other = await stage.tenant(), await stage.tenant("other")
    log = await chat(stage, acme, Tollway_Labels='{"team": "search"}')
    for token in (other.user_token, other.app_key):
        assert await found(stage, token, labels={"team": "search"}) == []
        foreign = await asked(stage, token, app_ids=[acme.app_id])
        nobody_s = await asked(stage, token, app_ids=[log])
        assert (foreign.status, foreign.body) == (404, nobody_s.body)
        for method, path, body in (("GET", "", None), ("POST", "/rating", {"good_answer": True})):
            seen = await stage.request(method, f"/v1/logs/{log}{path}", token=token, body=body)
            unknown = await stage.request(method, f"/v1/logs/{acme.app_id}{path}", token=token, body=body)
            junk = await stage.request(method, f"/v1/logs/junk{path}", token=token, body=body)
            assert (seen.status, seen.body) == (unknown.status, unknown.body) == (junk.status, junk.body)
            assert seen.status == 404


async def test_who_may_look(stage: Stage) -> None:
    acme = await stage.tenant()
    log = await chat(stage, acme)
    viewer = await member(stage, acme, "viewer@example.com", [Permission.VIEWER_APP])
    nobody = await member(stage, acme, "nobody@example.com", [Permission.EDITOR_ORG])
    assert await found(stage, viewer) == [log]
    assert (await asked(stage, nobody)).status == 403
    assert (await stage.request("GET", f"/v1/logs/{log}", token=nobody)).status == 403
    for token in (None, "junk", OPERATOR_TOKEN):
        assert (await stage.request("POST", "/v1/logs", token=token, body={})).status == 401
    off = {"is_active": False}
    await stage.request("PATCH", f"/v1/operator/orgs/{acme.org_id}", token=OPERATOR_TOKEN, body=off)
    for token in (viewer, acme.app_key):
        assert await found(stage, token) == [log]
        rated = await stage.request("POST", f"/v1/logs/{log}/rating", token=token, body={})
        assert rated.status == 403


@pytest.mark.parametrize("level", [3])
async def test_at_privacy_level_3_there_is_a_row_and_no_log(stage: Stage, level: int) -> None:
    acme = await stage.tenant(privacy_level=level)
    log = await chat(stage, acme, Tollway_Labels='{"team": "search"}')
    for fields in ({}, {"labels": {"team": "search"}}, {"end_user": "ann"}):
        assert await found(stage, acme.user_token, **fields) == []
    assert (await stage.request("GET", f"/v1/logs/{log}", token=acme.user_token)).status == 404
    assert (await stage.record(acme))["num_requests"] == 1


async def test_prompts_stay_as_long_as_the_organisation_says(stage: Stage) -> None:
    acme = await stage.tenant(privacy_level=1)
    path = "/v1/logs/retention"
    assert (await stage.request("GET", path, token=acme.user_token)).json == {"days": 30}
    log = await chat(stage, acme, "Remember this")
    stage.clock.advance(2 * DAY_S)
    assert await found(stage, acme.user_token, query="remember this") == [log]
    put = await stage.request("PUT", path, token=acme.user_token, body={"days": 1})
    assert (put.status, put.json) == (200, {"days": 1})
    shown = (await stage.request("GET", f"/v1/logs/{log}", token=acme.user_token)).json
    assert (shown["content"], shown["payload"], shown["total_tokens"] > 0) == ("none", None, True)
    assert await found(stage, acme.user_token, query="remember this") == []
    for days in (0, 3_651, None, "7"):
        body = {"days": days}
        assert (await stage.request("PUT", path, token=acme.user_token, body=body)).status == 422
    viewer = await member(stage, acme, "viewer@example.com", [Permission.VIEWER_APP])
    assert (await stage.request("GET", path, token=viewer)).json == {"days": 1}
    assert (await stage.request("PUT", path, token=viewer, body={"days": 9})).status == 403
    assert (await stage.request("PUT", path, token=acme.app_key, body={"days": 9})).status == 401
