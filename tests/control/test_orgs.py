"""Organisations: made with their creator in charge, with what they begin with; changed by the operator."""

import asyncio

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, func, select, update

from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tollway.domain.ids import OrgId, new_id
from tollway.domain.money import parse_usd, usd
from tollway.settings import Settings
from tollway.store import schema as tables
from tollway.store.changes import position, since
from tollway.store.leases import lock_org


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
        assert (shown.json["org_name"] == "acme") == (answer.status == 201)


def operated(org_id: str) -> str:
    return f"/v1/operator/orgs/{org_id}"


async def patch(stage: Stage, tenant: Tenant, body: str, token: str = OPERATOR_TOKEN) -> Answer:
    """A change as JSON text, so that numbers are sent as they are written."""
    headers = {"Content-Type": "application/json"}
    return await stage.request(
        "PATCH", operated(tenant.org_id), token=token, data=body.encode(), headers=headers
    )


async def grants(stage: Stage) -> list[tuple[str, int, str]]:
    def read(db: Connection) -> list[tuple[str, int, str]]:
        rows = db.execute(select(tables.grants).order_by(tables.grants.c.added_us, tables.grants.c.id))
        return [(row.org_id, row.amount_nano, row.reason) for row in rows]

    return await stage.world.database.read(read)


async def test_a_new_organisation_is_unlimited_unless_the_settings_say_otherwise(stage: Stage) -> None:
    record = await stage.record(await stage.tenant())
    assert (record["subscription_tier"], record["trial_end"], record["free_balance"]) == (
        "_INTERNAL_",
        None,
        0,
    )
    assert await grants(stage) == []


class TestTrial:
    """Where newcomers begin with a trial."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, new_org_tier="_TRIAL_", trial_days=14, trial_balance_usd="5.000000001")

    async def test_a_trial_has_its_end_and_its_balance_from_the_first_moment(self, stage: Stage) -> None:
        acme = await stage.tenant()
        record = await stage.record(acme)
        assert (record["subscription_tier"], record["trial_end"]) == ("_TRIAL_", 1_773_144_000 + 14 * 86_400)
        assert record["free_balance"] == 5.000000001
        personal = {org_id for org_id, *_ in await grants(stage)} - {acme.org_id}
        assert len(personal) == 1
        assert [(nano, reason) for _, nano, reason in await grants(stage)] == [(5_000_000_001, "trial")] * 2

    async def test_the_first_request_of_a_trial_works_and_is_paid_by_its_balance(self, stage: Stage) -> None:
        acme = await stage.tenant()
        answer = await stage.chat(acme)
        assert answer.status == 200, answer.body
        await stage.settled()
        shown = await stage.request("GET", "/v1/billing/limits", token=acme.user_token)
        left = parse_usd("5.000000001") - parse_usd(answer.headers["tollway-cost-usd"])
        assert f'"balance":{usd(left)},'.encode() in shown.body

    async def test_an_organisation_that_is_not_made_is_given_nothing(self, stage: Stage) -> None:
        acme = await stage.tenant()
        again = await stage.request(
            "POST", "/v1/orgs", token=acme.user_token, body={"org_name": acme.org_name}
        )
        assert again.status == 409
        assert len(await grants(stage)) == 2


class TestNone:
    """Where newcomers begin with nothing."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, new_org_tier="_NONE_")

    async def test_there_is_neither_an_end_nor_a_balance(self, stage: Stage) -> None:
        record = await stage.record(await stage.tenant())
        assert (record["subscription_tier"], record["trial_end"], record["free_balance"]) == (
            "_NONE_",
            None,
            0,
        )
        assert await grants(stage) == []


async def test_the_operator_sets_what_is_named_and_the_rest_stays(stage: Stage) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    before, others = await stage.record(acme), await stage.record(beta)
    stage.clock.advance(1)
    answer = await patch(
        stage,
        acme,
        '{"rate_limit": 600, "subscription_tier": "GROWTH", "free_balance": 2.000000001, '
        '"trial_end": 1800000000, "is_active": false, "tokens_per_minute": 1000, "max_in_flight": 3}',
    )
    assert answer.status == 200, answer.body
    assert answer.json == {
        **before,
        "rate_limit": 600,
        "subscription_tier": "GROWTH",
        "free_balance": 2.000000001,
        "trial_end": 1_800_000_000,
        "is_active": False,
        "modified_on": "2026-03-10T12:00:01Z",
    }
    assert list(answer.json) == list(before)
    assert answer.json == await stage.record(acme)
    assert (await patch(stage, acme, '{"subscription_tier": null, "trial_end": null}')).status == 200
    assert (await patch(stage, acme, '{"is_active": true}')).status == 200
    after = await stage.record(acme)
    assert (after["subscription_tier"], after["trial_end"], after["rate_limit"]) == (None, None, 600)
    assert (await patch(stage, acme, "{}")).json == after
    assert await stage.record(beta) == others

    def stored(db: Connection) -> tuple[object, ...]:
        columns = select(tables.orgs.c.tokens_per_minute, tables.orgs.c.max_in_flight)
        return tuple(db.execute(columns.where(tables.orgs.c.id == acme.org_id)).one())

    assert await stage.world.database.read(stored) == (1_000, 3)
    await patch(stage, acme, '{"tokens_per_minute": null, "max_in_flight": null}')
    assert await stage.world.database.read(stored) == (None, None)


async def test_a_wanted_balance_is_reached_by_a_grant_of_what_is_missing(stage: Stage) -> None:
    acme = await stage.tenant()

    def spend(db: Connection) -> None:
        lock_org(db, OrgId(acme.org_id))
        db.execute(update(tables.org_totals).values(trial_nano=3))

    for balance, wanted in (("0.00000001", 10), ("0.00000001", 10), ("0", 0), ("0.000000004", 4)):
        stage.clock.advance(1)
        answer = await patch(stage, acme, f'{{"free_balance": {balance}}}')
        assert answer.status == 200, answer.body
        assert f'"free_balance":{usd(wanted)},'.encode() in answer.body
    await stage.world.database.write(spend)
    assert f'"free_balance":{usd(1)},'.encode() in (await patch(stage, acme, "{}")).body
    stage.clock.advance(1)
    await patch(stage, acme, '{"free_balance": 1000000000}')
    assert [(nano, reason) for _, nano, reason in await grants(stage)] == [
        (10, "operator"),
        (-10, "operator"),
        (4, "operator"),
        (10**18 - 1, "operator"),
    ]


async def test_a_balance_wanted_by_many_at_once_is_granted_once(stage: Stage) -> None:
    acme = await stage.tenant()
    answers = await asyncio.gather(*(patch(stage, acme, '{"free_balance": 5}') for _ in range(6)))
    assert [answer.status for answer in answers] == [200] * 6
    assert await grants(stage) == [(acme.org_id, 5_000_000_000, "operator")]


REFUSED: dict[str, list[str]] = {
    "rate_limit": ["0", "-1", "1000000001", "1.5", "null", '"5"', "true", "9" * 5_000],
    "tokens_per_minute": ["0", "-1", "1000000000000001", "1.0"],
    "max_in_flight": ["0", "-1", "1000001", '""'],
    "subscription_tier": ['"growth"', '""', "5"],
    "free_balance": ["-1", "0.0000000001", "1000000001", "null", '"5"', "true"],
    "trial_end": ["-1", "253402300800", "1.5", '"soon"'],
    "is_active": ["null", "1", '"yes"'],
    "org_name": ['"other"'],
    "spending_limit_hard": ["5"],
}


async def test_what_cannot_be_set_is_refused_and_nothing_is(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.record(acme)
    for name, values in REFUSED.items():
        sound = '"max_in_flight": 7' if name != "max_in_flight" else '"rate_limit": 7'
        for value in values:
            answer = await patch(stage, acme, f'{{{sound}, "{name}": {value}}}')
            assert answer.status == 422, (name, value, answer.body)
            assert [fault["loc"] for fault in answer.json["detail"]] == [["body", name]]
    assert await stage.record(acme) == before
    assert await grants(stage) == []


async def test_only_the_operator_may_and_only_where_there_is_an_organisation(stage: Stage) -> None:
    acme = await stage.tenant()
    for token, status in (("junk", 401), (acme.user_token, 403), (acme.app_key, 403)):
        assert (await patch(stage, acme, '{"rate_limit": 5}', token)).status == status
    for org_id in (new_id(stage.clock.now_us()), "x", "%00", "a" * 3_000):
        answer = await stage.request(
            "PATCH", operated(org_id), token=OPERATOR_TOKEN, body={"rate_limit": 5, "free_balance": 1}
        )
        assert answer.status == 404, answer.body
    assert (await stage.record(acme))["rate_limit"] == 200
    totals = select(func.count()).select_from(tables.org_totals)
    assert await stage.world.database.read(lambda db: db.execute(totals).scalar_one()) == 0


async def test_an_organisation_that_the_operator_switches_off_makes_no_calls(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await stage.chat(acme)).status == 200
    for is_active, status in (("false", 403), ("true", 200)):
        await patch(stage, acme, f'{{"is_active": {is_active}}}')
        await stage.world.refresh()
        assert (await stage.chat(acme)).status == status


async def test_what_the_operator_sets_is_told_to_every_process(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.world.database.read(position)
    await patch(stage, acme, '{"rate_limit": 5}')
    assert (await stage.world.database.read(since, before)).org_ids == {acme.org_id}
