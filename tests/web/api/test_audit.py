"""`GET /v1/audit/ledger`: the operator's, and nobody else's."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from tests.control.audited import every_sort, folded, priced
from tests.world.entries import make_org
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage
from tollway.control.audit import ROWS_PER_PAGE, SHOWN_PER_ORG
from tollway.domain.ids import OrgId
from tollway.store.schema import cycle_totals, ledger
from tollway.web.app import App

AUDIT = "/v1/audit/ledger"


async def asked(stage: Stage, query: str = "") -> Answer:
    return await stage.request("GET", AUDIT + query, token=OPERATOR_TOKEN)


async def test_calls_that_went_through_the_gateway_are_explained(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other", benchmark=None)
    await stage.chat(acme)
    await stage.chat(acme, "And again, as a stream", stream=True)
    await stage.chat(other)
    await stage.settled()
    answer = await asked(stage)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"organisations": 4, "rows": 3, "differences": [], "unfolded": {}}


async def test_a_difference_is_told_with_its_organisation(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    for tenant in (acme, other):
        await stage.chat(tenant)
    await stage.settled()
    changed = update(cycle_totals).where(cycle_totals.c.org_id == acme.org_id).values(num_requests=7)
    stage.world.database.write_here(lambda db: db.execute(changed))
    where = "cycle 2026-03-01T00:00:00.000000Z"
    told = {
        "org_id": acme.org_id,
        "org_name": "acme",
        "rows": 1,
        "num_differences": 1,
        "shown": [{"where": where, "what": "num_requests", "expected": 1, "found": 7}],
    }
    whole = (await asked(stage)).json
    assert (whole["organisations"], whole["differences"]) == (4, [told])
    for named in ("acme", acme.org_id):
        assert (await asked(stage, f"?org={named}")).json["differences"] == [told]
    clean = (await asked(stage, "?org=other")).json
    assert (clean["organisations"], clean["rows"], clean["differences"]) == (1, 1, [])


async def test_of_many_differences_the_first_are_shown(stage: Stage) -> None:
    org = stage.world.database.write_here(make_org)
    folded(stage.world.database, [priced(org, f"call-{number}") for number in range(SHOWN_PER_ORG + 1)])
    stage.world.database.write_here(lambda db: db.execute(update(ledger).values(prompt_tokens=0)))
    (told,) = (await asked(stage)).json["differences"]
    assert (told["num_differences"], len(told["shown"])) == (SHOWN_PER_ORG + 1, SHOWN_PER_ORG)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nobody_but_the_operator_may_ask(stage: Stage) -> None:
    acme = await stage.tenant()
    for token, status in ((None, 401), ("junk", 401), (acme.app_key, 403), (acme.user_token, 403)):
        assert (await stage.request("GET", AUDIT, token=token)).status == status
    assert (await asked(stage, "?org=nobody")).status == 404
    assert (await asked(stage, "?org=")).status == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_others_are_answered_while_an_audit_runs(stage: Stage) -> None:
    org = stage.world.database.write_here(make_org)
    calls = [priced(org, f"call-{number}") for number in range(ROWS_PER_PAGE)]
    folded(stage.world.database, [*calls, *every_sort(org)])
    audit = asyncio.create_task(asked(stage))
    answered = 0
    while not audit.done():
        assert (await stage.request("GET", "/healthz")).status == 200
        answered += 1
    assert answered > 1
    assert (await audit).json["differences"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nothing_more_is_read_once_the_operator_has_hung_up(stage: Stage) -> None:
    for org in ("org-1", "org-2", "org-3"):
        folded(stage.world.database, every_sort(OrgId(org)), org)
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return dict(next(messages, {"type": "http.disconnect"}))

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": AUDIT,
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {OPERATOR_TOKEN}".encode())],
    }
    await App(stage.world)(scope, receive, send)
    assert msgspec.json.decode(sent[1]["body"])["organisations"] == 1
    assert (await asked(stage)).json["organisations"] == 3
