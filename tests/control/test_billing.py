"""`/v1/billing/limits`: exact, ordered, for those who may, and told to every process at once."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, select, update

from tests.control.people import in_no_organisation, member
from tests.world.entries import batch, cost, entry
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.domain.ids import OrgId
from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.domain.subscription import PlanSettings
from tollway.settings import Settings
from tollway.store.changes import position, since
from tollway.store.outbox_schema import outbox
from tollway.store.schema import orgs
from tollway.store.usage import fold

PATH = "/v1/billing/limits"


async def put(stage: Stage, tenant: Tenant, body: str, token: str | None = None) -> Answer:
    """Limits as JSON text, so that numbers are sent as they are written."""
    headers = {"Content-Type": "application/json"}
    token = token or tenant.user_token
    return await stage.request("PUT", PATH, token=token, data=body.encode(), headers=headers)


async def show(stage: Stage, tenant: Tenant) -> dict[str, Any]:
    shown = await stage.request("GET", PATH, token=tenant.user_token)
    assert shown.status == 200, shown.body
    return exact(shown)


def exact(answer: Answer) -> dict[str, Any]:
    """The answer with its numbers exact."""
    read: dict[str, Any] = json.loads(answer.body, parse_float=Decimal)
    return read


def limits(shown: dict[str, Any]) -> tuple[str, str, str]:
    names = ("spending_limit_soft", "spending_limit_hard", "near_limit")
    soft, hard, near = (str(shown[name]) for name in names)
    return soft, hard, near


def faults(answer: Answer) -> dict[str, str]:
    assert answer.status == 422, answer.body
    return {fault["loc"][-1]: fault["msg"] for fault in answer.json["detail"]}


async def spend(stage: Stage, tenant: Tenant, nano: int) -> None:
    row = entry(org_id=OrgId(tenant.org_id), cost=cost(nano, 0), ended_us=stage.clock.now_us())
    await stage.world.database.write(fold, batch([(0, row)]), stage.clock.now_us())


async def letters(stage: Stage) -> list[tuple[str, str]]:
    def read(db: Connection) -> list[tuple[str, str]]:
        return [(row.org_id, row.kind) for row in db.execute(select(outbox).order_by(outbox.c.kind))]

    return await stage.world.database.read(read)


async def test_the_details_have_the_contracts_fields_in_its_order(stage: Stage) -> None:
    acme = await stage.tenant()
    answer = await put(stage, acme, '{"spending_limit_soft": 5, "spending_limit_hard": 10.5}')
    assert answer.status == 200, answer.body
    shown = exact(answer)
    features = shown.pop("subscription")
    assert list(shown.items()) == [
        ("spending_limit_soft", 5),
        ("spending_limit_hard", Decimal("10.5")),
        ("currency", "usd"),
        ("balance", 0),
        ("last_invoice_date", 1_773_144_000),
        ("billing_zip", ""),
        ("subscription_paused", None),
        ("trial_end", None),
        ("trial_ending_soon", False),
        ("near_limit", "refuse"),
    ]
    assert list(json.loads(answer.body))[6:8] == ["subscription", "subscription_paused"]
    assert (features["tier"], features["max_tokens"], features["max_tokens_readable"]) == (
        "_INTERNAL_",
        -1,
        "Infinite",
    )
    assert await show(stage, acme) == exact(answer)
    record = await stage.record(acme)
    assert (record["spending_limit_soft"], record["spending_limit_hard"]) == (5, 10.5)


TAKEN = {
    "0.000000001": "0.000000001",
    "999999999.999999999": "999999999.999999999",
    "123456789.123456789": "123456789.123456789",
    "1000000000": "1000000000",
    "1e9": "1000000000",
    "1E-9": "0.000000001",
    "0.1": "0.1",
    "5.10000000000000000000000": "5.1",
    "-0.0": "0",
    "0": "0",
    "null": "0",
}
REFUSED = [
    "-0.000000001",
    "-1",
    "0.0000000001",
    "1000000000.000000001",
    "1e10",
    "1e999999999999",
    "9" * 5_000,
    "NaN",
    "Infinity",
    "true",
    '"5"',
    "[5]",
    "{}",
]


async def test_a_limit_is_taken_and_answered_to_the_nano_dollar(stage: Stage) -> None:
    acme = await stage.tenant()
    for sent, shown in TAKEN.items():
        answer = await put(stage, acme, f'{{"spending_limit_hard": {sent}}}')
        assert answer.status == 200, answer.body
        assert f'"spending_limit_hard":{shown},'.encode() in answer.body
        record = await stage.request("GET", "/v1/orgs/current", token=acme.user_token)
        assert f'"spending_limit_hard":{shown},'.encode() in record.body


async def test_what_is_no_limit_is_refused_and_nothing_is_stored(stage: Stage) -> None:
    acme = await stage.tenant()
    for sent in REFUSED:
        for name in ("spending_limit_soft", "spending_limit_hard"):
            answer = await put(stage, acme, f'{{"near_limit": "shorten", "{name}": {sent}}}')
            assert list(faults(answer)) == [name], sent
    assert limits(await show(stage, acme)) == ("0", "0", "refuse")


async def test_unknown_keys_and_what_is_no_object_are_refused(stage: Stage) -> None:
    acme = await stage.tenant()
    for body in ('{"spending_limit": 5}', '{"near_limit": "grow"}', '{"near_limit": null}', "[]"):
        assert (await put(stage, acme, body)).status == 422
    for body in ("", "{", "\x00", "[" * 50_000):
        assert (await put(stage, acme, body)).status in (400, 422)
    assert limits(await show(stage, acme)) == ("0", "0", "refuse")


async def test_what_is_left_out_stays_as_it_is(stage: Stage) -> None:
    acme = await stage.tenant()
    steps = [
        ('{"spending_limit_soft": 5}', ("5", "0", "refuse")),
        ('{"spending_limit_hard": 10, "near_limit": "shorten"}', ("5", "10", "shorten")),
        ("{}", ("5", "10", "shorten")),
        ('{"spending_limit_soft": null}', ("0", "10", "shorten")),
        ('{"spending_limit_hard": 0, "near_limit": "refuse"}', ("0", "0", "refuse")),
    ]
    for body, wanted in steps:
        answer = await put(stage, acme, body)
        assert (answer.status, limits(exact(answer))) == (200, wanted)


async def test_a_soft_limit_above_the_hard_one_is_refused_by_both_names(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await put(stage, acme, '{"spending_limit_soft": 5, "spending_limit_hard": 5}')).status == 200
    for body in (
        '{"spending_limit_soft": 5.000000001}',
        '{"spending_limit_hard": 4.999999999}',
        '{"spending_limit_soft": 3, "spending_limit_hard": 2, "near_limit": "shorten"}',
    ):
        told = faults(await put(stage, acme, body))
        assert list(told) == ["spending_limit_soft", "spending_limit_hard"]
        assert all("may not be above spending_limit_hard" in each for each in told.values())
    assert limits(await show(stage, acme)) == ("5", "5", "refuse")
    assert (await put(stage, acme, '{"spending_limit_soft": 9, "spending_limit_hard": 0}')).status == 200


async def test_one_organisations_limits_are_not_anothers(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    await put(stage, acme, '{"spending_limit_hard": 5}')
    assert limits(await show(stage, beta)) == ("0", "0", "refuse")


async def test_only_who_may_change_the_organisation_sets_limits_and_every_member_sees_them(
    stage: Stage,
) -> None:
    acme = await stage.tenant()
    reader = await member(stage, acme, "reader@example.com", EVERY_PERMISSION - {Permission.EDITOR_ORG})
    editor = await member(stage, acme, "editor@example.com", [Permission.EDITOR_ORG])
    body = '{"spending_limit_hard": 5}'
    assert (await put(stage, acme, body, reader)).status == 403
    for token, status in (("junk", 401), (acme.app_key, 401), (OPERATOR_TOKEN, 401)):
        assert (await put(stage, acme, body, token)).status == status
        assert (await stage.request("GET", PATH, token=token)).status == status
    assert (await stage.request("GET", PATH, token=reader)).status == 200
    assert limits(await show(stage, acme)) == ("0", "0", "refuse")
    assert (await put(stage, acme, body, editor)).status == 200
    homeless = await in_no_organisation(stage)
    assert (await stage.request("GET", PATH, token=homeless)).status == 404
    assert (await put(stage, acme, body, homeless)).status == 404


async def test_an_inactive_organisation_can_only_be_read(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.world.database.write(lambda db: db.execute(update(orgs).values(is_active=False)))
    refused = await put(stage, acme, '{"spending_limit_hard": 5}')
    assert (refused.status, refused.json) == (
        403,
        {"detail": "the organisation is not active: it can only be read"},
    )
    assert limits(await show(stage, acme)) == ("0", "0", "refuse")


async def test_a_change_is_told_to_every_process_and_a_refused_one_is_not(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.world.database.read(position)
    await put(stage, acme, '{"spending_limit_hard": -5}')
    assert await stage.world.database.read(position) == before
    await put(stage, acme, '{"spending_limit_hard": 5}')
    assert (await stage.world.database.read(since, before)).org_ids == {acme.org_id}


async def test_a_limit_set_below_what_is_spent_raises_its_alert_at_once(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    await spend(stage, acme, 2_000_000_000)
    assert (await stage.record(acme))["alert_emails"] is None
    await put(stage, acme, '{"spending_limit_soft": 2.000000001, "spending_limit_hard": 3}')
    assert await letters(stage) == []
    for _ in range(2):
        await put(stage, acme, '{"spending_limit_soft": 2}')
        assert await letters(stage) == [(acme.org_id, "alert.soft_limit")]
    await put(stage, acme, '{"spending_limit_soft": 0, "spending_limit_hard": 1}')
    assert await letters(stage) == [(acme.org_id, "alert.hard_limit"), (acme.org_id, "alert.soft_limit")]
    raised = (await stage.record(acme))["alert_emails"]
    assert {kind for kind, at in raised.items() if at} == {"soft_limit", "hard_limit"}
    assert raised["soft_limit"] == "2026-03-10T12:00:00Z"
    assert (await stage.record(beta))["alert_emails"] is None


async def test_limits_set_at_once_are_ordered_whoever_comes_first(stage: Stage) -> None:
    acme = await stage.tenant()
    await put(stage, acme, '{"spending_limit_soft": 5, "spending_limit_hard": 10}')
    answers = await asyncio.gather(
        put(stage, acme, '{"spending_limit_soft": 9}'), put(stage, acme, '{"spending_limit_hard": 6}')
    )
    assert sorted(answer.status for answer in answers) == [200, 422]


class TestPlans:
    """With plans configured, and a trial for newcomers."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        plans = {"_TRIAL_": PlanSettings(name="Try it", max_tokens=1_000_000, monthly_price_usd="0.10")}
        return replace(settings, plans=plans, new_org_tier="_TRIAL_", trial_days=4, trial_balance_usd="2.5")

    async def test_the_details_show_the_plan_and_the_trial(self, stage: Stage) -> None:
        acme = await stage.tenant()
        shown = await show(stage, acme)
        features = shown["subscription"]
        assert (features["name"], features["is_trial"], features["max_tokens"]) == ("Try it", True, 1_000_000)
        assert (features["monthly_price_usd"], features["yearly_price_usd"]) == (Decimal("0.1"), None)
        assert (shown["balance"], shown["trial_end"]) == (Decimal("2.5"), "2026-03-14T12:00:00Z")
        assert not shown["trial_ending_soon"]
        stage.clock.advance(86_400)
        assert (await show(stage, acme))["trial_ending_soon"]

    async def test_without_a_tier_there_are_no_features(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.world.database.write(lambda db: db.execute(update(orgs).values(subscription_tier=None)))
        shown = await show(stage, acme)
        assert (shown["subscription"], shown["trial_end"]) == (None, None)
