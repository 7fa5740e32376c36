"""`GET /v1/orgs/cycles`: what each cycle came to, newest first, in the record's words."""

import re
from typing import Any

import pytest
from sqlalchemy import insert

from tests.control.audited import folded
from tests.control.people import in_no_organisation
from tests.domain.test_cycle import SUBSCRIBED, at
from tests.world.entries import cost, entry, lost
from tests.world.stage import Stage, Tenant
from tollway.domain.ids import OrgId
from tollway.store.schema import cycles

CYCLES = "/v1/orgs/cycles"
SHARED = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "prompt_tokens_cost",
    "completion_tokens_cost",
    "total_tokens_cost",
    "prompt_tokens_cost_savings",
    "completion_tokens_cost_savings",
    "total_tokens_cost_savings",
    "num_requests",
]
NONE_YET = dict.fromkeys([*SHARED, "num_unsettled", "held"], 0)
MONTH_S = 31 * 86_400


async def shown(stage: Stage, tenant: Tenant, query: str = "") -> dict[str, Any]:
    answer = await stage.request("GET", CYCLES + query, token=tenant.user_token)
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json
    return body


async def test_before_the_first_call_there_is_the_current_month(stage: Stage) -> None:
    acme = await stage.tenant()
    march = {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z", "is_current": True, **NONE_YET}
    assert await shown(stage, acme) == {"cycles": [march], "has_more": False}


async def test_the_current_cycle_says_what_the_record_says_and_earlier_ones_stay(stage: Stage) -> None:
    acme = await stage.tenant()
    other = await stage.tenant("other")
    await stage.chat(acme)
    await stage.settled()
    march = await stage.record(acme)
    stage.clock.advance(MONTH_S)
    await stage.chat(acme, "Hello again, in another month!")
    await stage.settled()
    april = await stage.record(acme)
    assert march["total_tokens_cost"] != april["total_tokens_cost"] > 0
    body = await shown(stage, acme)
    assert [(one["start"][:7], one["is_current"]) for one in body["cycles"]] == [
        ("2026-04", True),
        ("2026-03", False),
    ]
    for cycle, record in zip(body["cycles"], (april, march), strict=True):
        assert {name: cycle[name] for name in SHARED} == {name: record[name] for name in SHARED}
    (alone,) = (await shown(stage, other))["cycles"]
    assert alone["num_requests"] == 0


async def test_cycles_of_a_subscription_cut_the_months_beside_them(stage: Stage) -> None:
    acme = await stage.tenant()
    org = OrgId(acme.org_id)
    rows = [{"org_id": org, "start_us": one.start_us, "end_us": one.end_us} for one in SUBSCRIBED]
    stage.world.database.write_here(lambda db: db.execute(insert(cycles), rows))
    ends = [at("2026-03-14"), at("2026-03-16"), at("2026-05-20")]
    folded(stage.world.database, [entry(org_id=org, started_us=end - 1, ended_us=end) for end in ends])
    stage.clock.advance(7 * 86_400)
    body = await shown(stage, acme)
    assert [(one["start"][:10], one["end"][:10], one["num_requests"]) for one in body["cycles"]] == [
        ("2026-05-15", "2026-06-01", 1),
        ("2026-04-15", "2026-05-15", 0),
        ("2026-03-15", "2026-04-15", 1),
        ("2026-03-01", "2026-03-15", 1),
    ]
    assert [one["is_current"] for one in body["cycles"]] == [False, False, True, False]
    assert (await stage.record(acme))["num_requests"] == 1


async def test_what_is_not_known_is_counted_with_the_most_that_it_may_cost(stage: Stage) -> None:
    acme = await stage.tenant()
    call = entry(org_id=OrgId(acme.org_id), cost=cost(2**53, 1))
    folded(stage.world.database, [lost(call, held=123_456_789), entry(org_id=OrgId(acme.org_id))])
    (march,) = (await shown(stage, acme))["cycles"]
    assert (march["num_requests"], march["num_unsettled"], march["held"]) == (2, 1, 0.123456789)
    assert march["total_tokens_cost"] == 0.0000424
    folded(stage.world.database, [call], first=2)
    answer = await stage.request("GET", CYCLES, token=acme.user_token)
    assert (answer.json["cycles"][0]["num_unsettled"], answer.json["cycles"][0]["held"]) == (0, 0)
    # More digits than a float has: the text is exact.
    assert re.search(rb'"prompt_tokens_cost":9007199.254743392,', answer.body)


async def test_pages_go_back_by_the_last_start_that_was_seen(stage: Stage) -> None:
    acme = await stage.tenant()
    org = OrgId(acme.org_id)
    ends = [at(f"2025-{month:02}-15") for month in range(1, 13)]
    folded(stage.world.database, [entry(org_id=org, started_us=end - 1, ended_us=end) for end in ends])
    seen: list[str] = []
    query = "?limit=5"
    while True:
        body = await shown(stage, acme, query)
        seen += [one["start"] for one in body["cycles"]]
        if not body["has_more"]:
            break
        assert len(body["cycles"]) == 5
        query = f"?limit=5&before={seen[-1]}"
    months = ["2026-03", *(f"2025-{month:02}" for month in range(12, 0, -1))]
    assert [start[:7] for start in seen] == months
    assert len((await shown(stage, acme))["cycles"]) == 12
    assert (await shown(stage, acme, "?before=0001-01-01T00:00:00Z"))["cycles"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_may_not_read_the_record_may_not_read_cycles(stage: Stage) -> None:
    acme = await stage.tenant()
    for token, status in (
        (None, 401),
        ("junk", 401),
        (acme.app_key, 401),
        (await in_no_organisation(stage), 404),
    ):
        assert (await stage.request("GET", CYCLES, token=token)).status == status
    for query in (
        "limit=0",
        "limit=101",
        "limit=x",
        "before=x",
        "before=2026-03-01T00:00:00",
        "before=" + "9" * 30,
    ):
        answer = await stage.request("GET", f"{CYCLES}?{query}", token=acme.user_token)
        assert (answer.status, answer.json["detail"][0]["loc"]) == (422, ["query", query.split("=")[0]])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_cycles_are_described_as_they_are_answered(stage: Stage) -> None:
    acme = await stage.tenant()
    (cycle,) = (await shown(stage, acme))["cycles"]
    schemas = (await stage.request("GET", "/openapi.json")).json["components"]["schemas"]
    described = schemas["CycleShown"]["properties"]
    assert list(described) == list(cycle)
    assert described["held"]["type"] == described["total_tokens_cost"]["type"] == "number"
    assert described["start"]["format"] == "date-time"
