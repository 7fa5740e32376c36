"""`PUT /v1/orgs/integrations`: everything valid or nothing stored, and tokens that stay where they are."""

from typing import Any

import pytest
from sqlalchemy import Connection, select

from tests.world.stage import Answer, Stage, Tenant
from tollway.domain.token import MASK
from tollway.store.schema import integrations

PROM = "https://prometheus.invalid/api/prom/push"
LOKI = "https://loki.invalid/loki/api/v1/push"
TOKEN = "glc_the-token-itself"


def receiver(endpoint: str = PROM, **fields: object) -> dict[str, object]:
    return {"id": "123456", "token": TOKEN, "endpoint": endpoint, **fields}


async def put(stage: Stage, tenant: Tenant, body: object) -> Answer:
    return await stage.request("PUT", "/v1/orgs/integrations", token=tenant.user_token, body=body)


async def rows(stage: Stage, tenant: Tenant) -> dict[str, Any]:
    def read(db: Connection) -> dict[str, Any]:
        where = integrations.c.org_id == tenant.org_id
        return {row.kind: row for row in db.execute(select(integrations).where(where))}

    return await stage.world.database.read(read)


def places(answer: Answer) -> list[tuple[list[str], str]]:
    return [(fault["loc"], fault["type"]) for fault in answer.json["detail"]]


async def test_what_is_put_is_answered_with_the_tokens_masked_and_stored_sealed(stage: Stage) -> None:
    acme = await stage.tenant()
    answer = await put(stage, acme, {"prom": receiver(), "loki": receiver(LOKI, token="short")})
    assert answer.status == 200
    record = await stage.record(acme)
    assert record == answer.json
    assert (record["prom_id"], record["prom_endpoint"]) == ("123456", PROM)
    assert (record["prom_token"], record["loki_token"]) == ("••••self", "••••")
    for row in (await rows(stage, acme)).values():
        assert TOKEN not in str(row)
        assert "short" not in str(row)


async def test_an_omitted_kind_stays_and_null_removes(stage: Stage) -> None:
    acme = await stage.tenant()
    await put(stage, acme, {"prom": receiver(), "loki": receiver(LOKI)})
    record = (await put(stage, acme, {})).json
    assert (record["prom_endpoint"], record["loki_endpoint"]) == (PROM, LOKI)
    record = (await put(stage, acme, {"prom": None})).json
    assert (record["prom_id"], record["prom_token"], record["prom_endpoint"]) == (None, None, None)
    assert record["loki_endpoint"] == LOKI
    assert (await put(stage, acme, {"prom": None})).status == 200  # nothing to remove is no fault
    assert set(await rows(stage, acme)) == {"loki"}


async def test_a_masked_token_keeps_the_stored_one_and_the_cursor(stage: Stage) -> None:
    acme = await stage.tenant()
    shown = (await put(stage, acme, {"prom": receiver(), "loki": receiver(LOKI)})).json
    before = await rows(stage, acme)
    stage.clock.advance(60)
    body = {
        kind: {name: shown[f"{kind}_{name}"] for name in ("id", "token", "endpoint")}
        for kind in ("prom", "loki")
    }
    answer = await put(stage, acme, body)
    assert answer.status == 200
    assert await rows(stage, acme) == before
    assert answer.json["modified_on"] > shown["modified_on"]


@pytest.mark.parametrize(
    "changed",
    [
        {"endpoint": "https://elsewhere.invalid/push"},
        {"endpoint": PROM + "?"},
        {"id": "654321"},
        {"token": "••••abcd"},
        {"token": "••••"},
        {"token": "••••self "},
    ],
)
async def test_a_masked_token_is_refused_with_anything_but_what_it_was_stored_with(
    stage: Stage, changed: dict[str, str]
) -> None:
    acme = await stage.tenant()
    await put(stage, acme, {"prom": receiver()})
    before = await rows(stage, acme)
    answer = await put(stage, acme, {"prom": receiver(**{"token": "••••self", **changed})})
    assert answer.status == 422
    assert places(answer) == [(["body", "prom", "token"], "masked_token")]
    assert await rows(stage, acme) == before


async def test_a_masked_token_is_refused_where_nothing_is_stored_or_the_other_kind_is(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    await put(stage, acme, {"prom": receiver()})
    for tenant, body in (
        (acme, {"loki": receiver(token="••••self")}),
        (beta, {"prom": receiver(token="••••self")}),
        (beta, {"prom": receiver(token=MASK)}),
    ):
        assert (await put(stage, tenant, body)).status == 422
    assert await rows(stage, beta) == {}


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (receiver("ftp://loki.invalid/"), ["body", "loki", "endpoint"]),
        (receiver("not a url"), ["body", "loki", "endpoint"]),
        (receiver("https://user:pass@loki.invalid/"), ["body", "loki", "endpoint"]),
        (receiver("https://loki.invalid/#x"), ["body", "loki", "endpoint"]),
        (receiver("http://169.254.169.254/latest"), ["body", "loki", "endpoint"]),
        (receiver("https://192.168.0.1/"), ["body", "loki", "endpoint"]),
        (receiver(LOKI, token="••••other"), ["body", "loki", "token"]),
        (receiver(LOKI, token=""), ["body", "loki", "token"]),
        (receiver(LOKI, id="a:b"), ["body", "loki", "id"]),
        (receiver(LOKI, user="x"), ["body", "loki", "user"]),
        ({"id": "1", "token": "t"}, ["body", "loki", "endpoint"]),
    ],
)
async def test_with_one_invalid_field_nothing_is_stored(
    stage: Stage, wrong: dict[str, object], place: list[str]
) -> None:
    acme = await stage.tenant()
    await put(stage, acme, {"prom": receiver(), "loki": receiver(LOKI)})
    before, record = await rows(stage, acme), await stage.record(acme)
    for good in ({"prom": receiver("https://new.invalid/")}, {"prom": None}):
        stage.clock.advance(1)
        answer = await put(stage, acme, {**good, "loki": wrong})
        assert answer.status == 422, answer.body
        assert place in [found for found, _ in places(answer)]
        assert await rows(stage, acme) == before
        assert await stage.record(acme) == record


async def test_each_endpoint_that_cannot_be_accepted_is_named(stage: Stage) -> None:
    acme = await stage.tenant()
    answer = await put(stage, acme, {"prom": receiver("x"), "loki": receiver("https://10.0.0.1/")})
    assert places(answer) == [
        (["body", "prom", "endpoint"], "url_invalid"),
        (["body", "loki", "endpoint"], "address_refused"),
    ]


async def test_an_answer_to_a_wrong_put_does_not_repeat_the_token(stage: Stage) -> None:
    acme = await stage.tenant()
    for wrong in (receiver("x"), receiver(extra=1), receiver(id="a:b"), receiver(token=[TOKEN])):
        answer = await put(stage, acme, {"prom": wrong})
        assert answer.status == 422
        assert TOKEN not in answer.body.decode()


async def test_one_organisations_receivers_are_not_anothers(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    await put(stage, acme, {"prom": receiver()})
    await put(stage, beta, {"prom": None, "loki": receiver(LOKI)})
    assert (await stage.record(acme))["prom_endpoint"] == PROM
    assert (await stage.record(acme))["loki_endpoint"] is None
    assert (await stage.record(beta))["prom_endpoint"] is None
