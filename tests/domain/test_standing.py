"""What an organisation may do at all, before any amount is looked at."""

from typing import Any

import pytest

from tests.world.clock import NOON_US
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import SubscriptionPaused, SubscriptionRequired
from tollway.domain.standing import UNLIMITED_STANDING, Standing, require_subscribed

NOON_S = NOON_US // US_PER_S
PAY_HERE = "https://pay.example.com/1"


def trial(end_s: int | None) -> Standing:
    return Standing(tier="_TRIAL_", trial_end_s=end_s)


@pytest.mark.parametrize(
    "standing",
    [
        UNLIMITED_STANDING,
        Standing(tier="_INTERNAL_"),
        Standing(tier="GROWTH"),
        Standing(tier="GROWTH", trial_end_s=NOON_S - 1),
        trial(None),
        trial(NOON_S + 1),
    ],
)
def test_who_has_a_subscription_or_a_trial_that_runs_may_make_calls(standing: Standing) -> None:
    require_subscribed(standing, NOON_US)


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing(tier="_NONE_"), "has no subscription"),
        (trial(NOON_S), "trial has ended"),
        (trial(NOON_S - 1), "trial has ended"),
        (trial(0), "trial has ended"),
    ],
)
def test_who_has_none_is_told_who_can_start_one(standing: Standing, said: str) -> None:
    with pytest.raises(SubscriptionRequired, match=f"{said}.*admin"):
        require_subscribed(standing, NOON_US)


def test_a_trial_holds_to_its_last_microsecond() -> None:
    require_subscribed(trial(NOON_S), NOON_US - 1)


@pytest.mark.parametrize(
    ("reason", "links"),
    [
        ({}, ""),
        ({"invoices": None}, ""),
        ({"invoices": []}, ""),
        ({"invoices": [{"payment_link": None}, {}]}, ""),
        ({"invoices": [{"payment_link": PAY_HERE}]}, f"; pay here: {PAY_HERE}"),
        (
            {"invoices": [{"payment_link": PAY_HERE}, {}, {"payment_link": f"{PAY_HERE}2"}]},
            f"; pay here: {PAY_HERE}, {PAY_HERE}2",
        ),
    ],
)
def test_a_paused_subscription_refuses_and_says_where_to_pay(reason: dict[str, Any], links: str) -> None:
    with pytest.raises(SubscriptionPaused) as refused:
        require_subscribed(Standing(tier="GROWTH", pause_reason=reason), NOON_US)
    assert str(refused.value) == f"the organisation's subscription is paused{links}"


def test_a_paused_subscription_is_told_before_one_that_is_missing() -> None:
    with pytest.raises(SubscriptionPaused):
        require_subscribed(Standing(tier="_NONE_", pause_reason={}), NOON_US)


@pytest.mark.parametrize(
    ("tier", "funding"), [("_TRIAL_", "trial"), ("GROWTH", None), ("_INTERNAL_", None), (None, None)]
)
def test_only_a_trial_pays_from_the_free_balance(tier: str | None, funding: str | None) -> None:
    standing = Standing(tier=tier)
    assert (standing.is_trial, standing.funding) == (funding is not None, funding)
