"""The organisation record is the contract's table: names, order and defaults."""

from dataclasses import MISSING, fields
from typing import get_args, get_type_hints

from tollway.domain.org import EVERY_PERMISSION, Organisation, Permission, SpacesTier, Tier

REQUIRED = object()

CONTRACT = {
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "prompt_tokens_cost": 0,
    "completion_tokens_cost": 0,
    "total_tokens_cost": 0,
    "prompt_tokens_cost_savings": 0,
    "completion_tokens_cost_savings": 0,
    "total_tokens_cost_savings": 0,
    "num_requests": 0,
    "num_apps": 0,
    "org_stripe_id": REQUIRED,
    "spaces_subscription_tier": None,
    "spaces_subscription_seats": None,
    "spaces_subscription_status": None,
    "spaces_subscription_cancel_at": None,
    "last_invoice_date": REQUIRED,
    "subscription_pause_reason": None,
    "subscription_cycle": None,
    # _INTERNAL_ without Stripe, _TRIAL_ with it: whoever makes the organisation says which.
    "subscription_tier": None,
    "subscription_price_id": None,
    "trial_end": None,
    "currency": "usd",
    "billing_email": "",
    "free_balance": 0,
    "spending_limit_soft": 0,
    "spending_limit_hard": 0,
    "alert_emails": None,
    "org_name": REQUIRED,
    "org_creator": REQUIRED,
    "is_active": True,
    "is_personal": False,
    "org_display_name": None,
    "org_logo": None,
    "address_1": "",
    "address_2": "",
    "address_city": "",
    "address_zip": "",
    "address_state": "",
    "address_country": "",
    "added_on": None,
    "modified_on": None,
    "hubspot_id": None,
    "prom_id": None,
    "prom_token": None,
    "prom_endpoint": None,
    "loki_id": None,
    "loki_token": None,
    "loki_endpoint": None,
    "rate_limit": 200,
    "id": REQUIRED,
}


def test_the_record_has_the_contract_s_fields_in_the_contract_s_order() -> None:
    assert [field.name for field in fields(Organisation)] == list(CONTRACT)


def test_the_defaults_are_the_contract_s() -> None:
    found = {
        field.name: REQUIRED if field.default is MISSING else field.default for field in fields(Organisation)
    }
    assert found == CONTRACT
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in CONTRACT.items()
    }


def test_every_field_has_a_sentence() -> None:
    hints = get_type_hints(Organisation, include_extras=True)
    for name in CONTRACT:
        (sentence,) = hints[name].__metadata__
        assert sentence.strip() == sentence != "", name


def test_the_tiers_are_the_contract_s() -> None:
    assert get_args(SpacesTier) == ("INTERNAL", "FREE", "PRO", "TEAM", "ENTERPRISE")
    assert get_args(Tier) == (
        *("_NONE_", "_TRIAL_", "_INTERNAL_"),
        *("STARTUP", "GROWTH", "SCALE", "ENTERPRISE"),
    )


def test_permissions_are_a_role_and_a_resource() -> None:
    assert str(Permission.EDITOR_ORG) == "editor:org"
    assert frozenset(Permission) == EVERY_PERMISSION
    for permission in Permission:
        role, _, resource = permission.partition(":")
        assert (role in ("viewer", "editor", "admin"), resource in ("app", "members", "org")) == (True, True)
