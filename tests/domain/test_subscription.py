"""Subscriptions: what a tier offers, shown exactly, and what a newcomer starts with."""

from dataclasses import fields
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world.clock import NOON_US
from tollway.domain.clock import US_PER_S
from tollway.domain.money import Nano
from tollway.domain.org import Tier
from tollway.domain.plan import NO_PLAN, Plan
from tollway.domain.subscription import (
    MAX_NANO,
    NO_PLANS,
    TIERS,
    NewTier,
    Opening,
    PlanSettings,
    Subscription,
    check_plans,
    parse_balance,
    plans_of,
    subscription_of,
)

CONTRACT = [
    "max_tokens",
    "max_apps",
    "llm_routing",
    "prompts",
    "prompt_models",
    "personalized_llm_routing",
    "fine_tuning",
    "support_level",
    "customer_success",
    "max_tokens_readable",
    "max_apps_readable",
    "support_level_readable",
    "is_trial",
    "is_none",
    "tier",
    "name",
    "monthly_price_usd",
    "yearly_price_usd",
    "monthly_discounted_usd",
    "yearly_discounted_usd",
    "monthly_price_id",
    "yearly_price_id",
    "monthly_price_label",
    "yearly_price_label",
    "monthly_contact_sales",
    "yearly_contact_sales",
    "monthly_button_label",
    "yearly_button_label",
]
FULL = PlanSettings(
    name="Growth",
    max_tokens=50_000_000_000,
    max_apps=12,
    max_seats=3,
    overage="allow",
    llm_routing=True,
    prompts=True,
    prompt_models=True,
    personalized_llm_routing=True,
    fine_tuning=True,
    support_level="all",
    customer_success=True,
    monthly_price_usd="49.99",
    yearly_price_usd="499.000000001",
    monthly_discounted_usd="0",
    yearly_discounted_usd="1e3",
    monthly_price_id="price_m",
    yearly_price_id="price_y",
    monthly_price_label="$49.99 a month",
    yearly_price_label="$499 a year",
    monthly_contact_sales=True,
    yearly_contact_sales=True,
    monthly_button_label="Buy",
    yearly_button_label="Talk to us",
)


def test_the_features_have_the_contracts_fields_in_its_order_and_ours_behind() -> None:
    assert [field.name for field in fields(Subscription)] == [*CONTRACT, "max_seats", "overage"]


def test_every_configured_feature_is_shown() -> None:
    shown = subscription_of({"GROWTH": FULL}, "GROWTH")
    for name in PlanSettings.__struct_fields__:
        if not name.endswith("_usd"):
            assert getattr(shown, name) == getattr(FULL, name) != getattr(PlanSettings(), name), name
    assert (shown.monthly_price_usd, shown.yearly_price_usd) == (49_990_000_000, 499_000_000_001)
    assert (shown.monthly_discounted_usd, shown.yearly_discounted_usd) == (0, 1_000_000_000_000)
    assert (shown.tier, shown.is_trial, shown.is_none) == ("GROWTH", False, False)
    readable = (shown.max_tokens_readable, shown.max_apps_readable, shown.support_level_readable)
    assert readable == ("50bn", "12", "All")


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_that_is_not_configured_has_no_limit_and_its_own_name(tier: Tier) -> None:
    shown = subscription_of({}, tier)
    assert (shown.max_tokens, shown.max_apps, shown.max_seats, shown.overage) == (-1, -1, -1, "refuse")
    assert (shown.max_tokens_readable, shown.monthly_price_usd) == ("Infinite", None)
    assert (shown.is_trial, shown.is_none) == (tier == "_TRIAL_", tier == "_NONE_")
    assert shown.name == tier.strip("_").capitalize()


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1K"),
        (1_500, "1.5K"),
        (1_501, "1,501"),
        (100_000_000, "100M"),
        (1_200_000_000, "1.2bn"),
        (1_234_000_000, "1234M"),
        (-1, "Infinite"),
    ],
)
def test_numbers_are_shortened_only_where_nothing_is_lost(count: int, shown: str) -> None:
    assert subscription_of({"SCALE": PlanSettings(max_tokens=count)}, "SCALE").max_tokens_readable == shown


_SIZES = {"K": 10**3, "M": 10**6, "bn": 10**9}


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**62) | st.integers(0, 10**7).map(lambda count: count * 100_000))
def test_a_shortened_number_says_the_same(count: int) -> None:
    text = subscription_of({"SCALE": PlanSettings(max_apps=count)}, "SCALE").max_apps_readable
    suffix = text.lstrip("0123456789.,")
    whole, _, tenth = text.removesuffix(suffix).replace(",", "").partition(".")
    assert (int(whole) * 10 + int(tenth or 0)) * _SIZES.get(suffix, 1) == count * 10


def test_what_refuses_calls_is_handed_on_by_tier() -> None:
    plans = plans_of({"GROWTH": FULL, "_TRIAL_": PlanSettings(max_tokens=5)})
    assert plans == {
        "GROWTH": Plan(max_tokens=50_000_000_000, max_apps=12, max_seats=3, overage="allow"),
        "_TRIAL_": Plan(max_tokens=5),
    }
    assert (plans["GROWTH"].tokens_cap, plans["_TRIAL_"].tokens_cap) == (None, 5)
    assert (plans_of({}), NO_PLANS.get("GROWTH", NO_PLAN).tokens_cap) == ({}, None)


def test_what_may_be_configured_passes() -> None:
    check_plans({**dict.fromkeys(TIERS, PlanSettings(name="x")), "GROWTH": FULL})


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"STARTUPS": PlanSettings()}, r"^plans\.STARTUPS: not a tier .*; did you mean STARTUP\?$"),
        ({"growth": PlanSettings()}, r"^plans\.growth: not a tier \(_NONE_, _TRIAL_"),
        ({"_INTERNAL_": PlanSettings(max_tokens=0)}, r"^plans\._INTERNAL_\.max_tokens: this tier is unl"),
        ({"_INTERNAL_": PlanSettings(max_apps=5)}, r"^plans\._INTERNAL_\.max_apps: "),
        ({"_INTERNAL_": PlanSettings(max_seats=5)}, r"^plans\._INTERNAL_\.max_seats: "),
        ({"SCALE": PlanSettings(monthly_price_usd="free")}, r"^plans\.SCALE\.monthly_price_usd: 'free' is"),
        ({"SCALE": PlanSettings(yearly_price_usd="-1")}, r"^plans\.SCALE\.yearly_price_usd: from \$0"),
        ({"SCALE": PlanSettings(monthly_discounted_usd="1e-10")}, r"^plans\.SCALE\.monthly_discounted_usd: "),
        ({"SCALE": PlanSettings(yearly_discounted_usd="1000000001")}, r"^plans\.SCALE\.yearly_discounted"),
    ],
)
def test_what_cannot_be_used_is_named(tables: dict[str, PlanSettings], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_plans(tables)


@pytest.mark.parametrize("count", [-2, 2**62 + 1, 1.5, "many", None])
def test_a_number_beyond_the_database_or_none_at_all_is_no_table(count: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="max_tokens"):
        msgspec.convert({"max_tokens": count}, PlanSettings)


@pytest.mark.parametrize("price", [49, 49.99, True])
def test_a_price_that_is_a_number_is_no_table(price: object) -> None:
    with pytest.raises(msgspec.ValidationError, match="monthly_price_usd"):
        msgspec.convert({"monthly_price_usd": price}, PlanSettings)


def test_a_balance_is_exact_and_leaves_room_in_63_bits() -> None:
    assert (parse_balance("5"), parse_balance("0.000000001"), parse_balance("1000000000")) == (
        5_000_000_000,
        1,
        MAX_NANO,
    )
    assert MAX_NANO * 8 < 2**63
    for text in ("", "-0.000000001", "1000000000.000000001", "NaN", "0.0000000001"):
        with pytest.raises(ValueError, match=r"dollars|decimals|from"):
            parse_balance(text)


def test_only_a_trial_has_an_end_and_it_is_so_many_days_from_now() -> None:
    trial = Opening(tier="_TRIAL_", trial_days=14, trial_balance=Nano(5))
    assert (trial.is_trial, trial.trial_end_s(NOON_US)) == (True, NOON_US // US_PER_S + 14 * 86_400)
    for tier in get_args(NewTier):
        opening = Opening(tier=tier, trial_days=14)
        assert (opening.trial_end_s(NOON_US) is None) == (not opening.is_trial) == (tier != "_TRIAL_")
