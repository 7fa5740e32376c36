"""`POST /v1/stats`: series over HTTP, exact, of one's own."""

from typing import Any

import pytest

from tests.web.api.test_logs import chat
from tests.world.entries import ON_SQLITE
from tests.world.stage import Answer, Stage
from tollway.domain.token import ending


async def asked(stage: Stage, token: str | None, **fields: object) -> Answer:
    body = {"date_from": "2026-03-10", "date_to": "2026-03-11", **fields}
    return await stage.request("POST", "/v1/stats", token=token, body=body)


async def series(stage: Stage, token: str, **fields: object) -> list[dict[str, Any]]:
    answer = await asked(stage, token, **fields)
    assert answer.status == 200, answer.body
    drawn: list[dict[str, Any]] = answer.json
    return drawn


async def test_what_may_be_left_out_may_be_null(stage: Stage) -> None:
    acme = await stage.tenant()
    for name in ("group_by", "date_to"):
        assert (await asked(stage, acme.user_token, **{name: None})).status == 200


async def test_series_are_what_the_record_says(stage: Stage) -> None:
    acme = await stage.tenant()
    for labels in ("{}", '{"team": "a"}', '{"team": "a"}', '{"team": "b"}'):
        await chat(stage, acme, Tollway_Labels=labels)
    record = await stage.record(acme)
    answer = await asked(stage, acme.user_token)
    by_name = {one["name"]: one for one in answer.json}
    assert list(by_name) == ["requests", "tokens", "cost", "savings", "latency"]
    assert by_name["cost"] == {
        "id": "cost",
        "name": "cost",
        "label": "all",
        "color": by_name["cost"]["color"],
        "interval": "day",
        "cumulative": False,
        "large": False,
        "max": record["total_tokens_cost"],
        "total": record["total_tokens_cost"],
        "data": [
            {
                "x": "2026-03-10T00:00:00.000000Z",
                "y": record["total_tokens_cost"],
                "date": "2026-03-10T00:00:00.000000Z",
            }
        ],
    }
    assert b"e-" not in answer.body
    assert by_name["requests"]["total"] == record["num_requests"] == 4
    assert by_name["tokens"]["total"] == record["total_tokens"]
    assert by_name["savings"]["total"] == record["total_tokens_cost_savings"]

    by_team = await series(stage, acme.app_key, metrics=["requests"], group_by="label:Team")
    assert [(one["id"], one["label"], one["total"]) for one in by_team] == [
        ("requests:a", "a", 2),
        ("requests:b", "b", 1),
        ("requests:other", "other", 1),
    ]
    by = [{"col": "total", "order": "asc"}, {"col": "label", "order": "desc"}]
    by_team = await series(
        stage, acme.app_key, metrics=["requests"], group_by="label:team", groups=1, params=by
    )
    assert [(one["label"], one["total"]) for one in by_team] == [("other", 2), ("a", 2)]
    hours = await series(
        stage, acme.app_key, metrics=["requests"], interval=3_600, cumulative={"requests": True}
    )
    assert [point["y"] for point in hours[0]["data"]] == [0] * 12 + [4] * 12
    assert hours[0]["interval"] == 3_600


@pytest.mark.parametrize(
    ("group", "label"), [("app", "acme app"), ("model", "demo/small"), ("user", "ann"), ("key", None)]
)
async def test_groups_have_the_names_that_people_know(stage: Stage, group: str, label: str | None) -> None:
    acme = await stage.tenant()
    await chat(stage, acme)
    (one,) = await series(stage, acme.user_token, metrics=["requests"], group_by=group)
    assert (one["label"], one["total"]) == (label or ending(acme.app_key), 1)


async def test_a_key_sees_its_own_app_and_others_see_nothing(stage: Stage) -> None:
    acme, other = await stage.tenant(), await stage.tenant("other")
    await chat(stage, acme)
    made = await stage.request("POST", "/v1/apps/create", token=acme.user_token, body={"name": "second"})
    for token in (other.user_token, other.app_key, made.json["created_key"]):
        (one,) = await series(stage, token, metrics=["requests"])
        assert one["total"] == 0
        foreign = await asked(stage, token, app_ids=[acme.app_id])
        nobody_s = await asked(stage, token, app_ids=[acme.org_id])
        assert (foreign.status, foreign.body) == (404, nobody_s.body)
    (one,) = await series(stage, acme.user_token, metrics=["requests"], app_ids=[made.json["id"]])
    assert one["total"] == 0
    assert (await asked(stage, None)).status == 401


@ON_SQLITE
@pytest.mark.parametrize(
    "fields",
    [
        {"metrics": []},
        {"metrics": ["money"]},
        {"interval": 0},
        {"interval": "year"},
        {"group_by": "org"},
        {"group_by": "label:"},
        {"groups": 21},
        {"cumulative": {"money": True}},
        {"params": [{"col": "x", "order": "asc"}]},
        {"date_to": "2026-03-10"},
        {"interval": "minute", "date_to": "2026-03-20"},
    ],
)
async def test_what_cannot_be_drawn_is_told(stage: Stage, fields: dict[str, Any]) -> None:
    acme = await stage.tenant()
    assert (await asked(stage, acme.user_token, **fields)).status == 422
