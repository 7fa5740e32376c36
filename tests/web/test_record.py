"""The organisation record as JSON: every field, in order, with money that is exact."""

import json
import re
from dataclasses import fields
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world.stage import Stage
from tollway.domain.ids import OrgId, UserId
from tollway.domain.money import NANO_PER_USD, Nano
from tollway.domain.org import Organisation
from tollway.web.record import OrgRecord, record_response

MONEY = [
    "prompt_tokens_cost",
    "completion_tokens_cost",
    "total_tokens_cost",
    "prompt_tokens_cost_savings",
    "completion_tokens_cost_savings",
    "total_tokens_cost_savings",
    "free_balance",
    "spending_limit_soft",
    "spending_limit_hard",
]
CONTRACT = [
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
    "num_apps",
    "org_stripe_id",
    "spaces_subscription_tier",
    "spaces_subscription_seats",
    "spaces_subscription_status",
    "spaces_subscription_cancel_at",
    "last_invoice_date",
    "subscription_pause_reason",
    "subscription_cycle",
    "subscription_tier",
    "subscription_price_id",
    "trial_end",
    "currency",
    "billing_email",
    "free_balance",
    "spending_limit_soft",
    "spending_limit_hard",
    "alert_emails",
    "org_name",
    "org_creator",
    "is_active",
    "is_personal",
    "org_display_name",
    "org_logo",
    "address_1",
    "address_2",
    "address_city",
    "address_zip",
    "address_state",
    "address_country",
    "added_on",
    "modified_on",
    "hubspot_id",
    "prom_id",
    "prom_token",
    "prom_endpoint",
    "loki_id",
    "loki_token",
    "loki_endpoint",
    "rate_limit",
    "id",
]


def record(**values: Any) -> Organisation:  # noqa: ANN401 - the record's fields
    required: dict[str, Any] = {
        "org_stripe_id": "",
        "last_invoice_date": 0,
        "org_name": "acme",
        "org_creator": UserId("a-user"),
        "id": OrgId("an-org"),
    }
    return Organisation(**{**required, **values})


def body(org: Organisation) -> str:
    return bytes(record_response(org).body).decode()


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(MONEY), st.integers(-(10**30), 10**30) | st.integers(-100, 100))
def test_money_is_an_exact_number(name: str, nano: int) -> None:
    text = body(record(**{name: Nano(nano)}))
    (shown,) = re.findall(rf'"{name}":([^,}}]*)', text)
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d{1,9})?", shown)
    read = json.loads(text, parse_float=Fraction, parse_int=Fraction)[name]
    assert read == Fraction(nano, NANO_PER_USD)


def test_a_balance_that_is_not_there_is_null() -> None:
    assert json.loads(body(record(free_balance=None)))["free_balance"] is None


def test_the_fields_come_in_the_order_of_the_contract() -> None:
    assert list(json.loads(body(record()))) == CONTRACT
    assert [field.name for field in fields(Organisation)] == CONTRACT


def test_the_description_has_the_same_fields_in_the_same_order() -> None:
    schema = OrgRecord.model_json_schema()
    assert list(schema["properties"]) == CONTRACT
    for name in MONEY:
        shape = schema["properties"][name]
        kinds = [kind["type"] for kind in shape.get("anyOf", [shape])]
        assert kinds in (["number"], ["number", "null"]), name
    assert set(schema["required"]) == {"org_stripe_id", "last_invoice_date", "org_name", "org_creator", "id"}
    assert all(shape["description"] for shape in schema["properties"].values())


def test_text_is_written_as_json_wants_it() -> None:
    text = body(record(org_display_name='"\\\u2028é\x07'))
    assert json.loads(text)["org_display_name"] == '"\\\u2028é\x07'


async def test_a_new_organisation_has_the_defaults_of_the_contract(stage: Stage) -> None:
    token = await stage.user()
    made = await stage.request("POST", "/v1/orgs/", token=token, body={"org_name": "acme"})
    assert made.status == 201
    shown = made.json
    assert list(shown) == CONTRACT
    assert [shown[name] for name in MONEY] == [0] * len(MONEY)
    assert (shown["org_name"], shown["is_active"], shown["is_personal"]) == ("acme", True, False)
    assert (shown["subscription_tier"], shown["currency"], shown["rate_limit"]) == ("_INTERNAL_", "usd", 200)
    assert shown["added_on"] == shown["modified_on"] == "2026-03-10T12:00:00Z"
    assert shown["last_invoice_date"] == stage.clock.now_s()
    assert shown == (await stage.request("GET", "/v1/orgs/current", token=token)).json
