"""Payment details: the contract's fields in its order, and how a trial stands."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest

from tests.world.clock import NOON_US
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import OrgId, UserId
from tollway.domain.money import Nano
from tollway.domain.org import Organisation
from tollway.domain.payment import PaymentDetails, SpendingLimits, payment_details
from tollway.domain.subscription import subscription_of

NOW_S = NOON_US // US_PER_S
DAY_S = 86_400
ORG = Organisation(
    org_stripe_id="",
    last_invoice_date=1_700_000_000,
    org_name="acme",
    org_creator=UserId("a-user"),
    id=OrgId("an-org"),
    subscription_tier="_TRIAL_",
    spending_limit_soft=Nano(1),
    spending_limit_hard=Nano(2),
    free_balance=Nano(-3),
    address_zip="12345",
    subscription_pause_reason={"invoices": []},
)


def details(org: Organisation) -> PaymentDetails:
    return payment_details(org, "shorten", subscription_of({}, "_TRIAL_"), NOON_US)


def test_the_fields_come_in_the_order_of_the_contract_and_ours_behind() -> None:
    assert [field.name for field in fields(PaymentDetails)] == [
        "spending_limit_soft",
        "spending_limit_hard",
        "currency",
        "balance",
        "last_invoice_date",
        "billing_zip",
        "subscription",
        "subscription_paused",
        "trial_end",
        "trial_ending_soon",
        "near_limit",
    ]


def test_the_details_are_those_of_the_record() -> None:
    assert details(ORG) == PaymentDetails(
        spending_limit_soft=Nano(1),
        spending_limit_hard=Nano(2),
        balance=Nano(-3),
        last_invoice_date=1_700_000_000,
        billing_zip="12345",
        subscription=subscription_of({}, "_TRIAL_"),
        subscription_paused={"invoices": []},
        near_limit="shorten",
    )


def test_where_the_record_has_null_the_details_have_none_of_it() -> None:
    empty = replace(ORG, spending_limit_soft=None, spending_limit_hard=None, free_balance=None)
    shown = details(replace(empty, address_zip=None, subscription_pause_reason=None))
    assert (shown.spending_limit_soft, shown.spending_limit_hard, shown.balance) == (0, 0, 0)
    assert (shown.billing_zip, shown.subscription_paused) == ("", None)


@pytest.mark.parametrize(
    ("left_s", "soon"),
    [(-1, False), (0, False), (1, True), (3 * DAY_S, True), (3 * DAY_S + 1, False), (14 * DAY_S, False)],
)
def test_a_trial_ends_soon_in_its_last_three_days(left_s: int, soon: bool) -> None:
    shown = details(replace(ORG, trial_end=NOW_S + left_s))
    assert (shown.trial_end, shown.trial_ending_soon) == (datetime.fromtimestamp(NOW_S + left_s, UTC), soon)


def test_outside_of_a_trial_there_is_no_end_of_one() -> None:
    shown = details(replace(ORG, subscription_tier="GROWTH", trial_end=NOW_S + DAY_S))
    assert (shown.trial_end, shown.trial_ending_soon) == (None, False)


@pytest.mark.parametrize(
    ("soft", "hard", "ordered"),
    [(0, 0, True), (5, 0, True), (0, 5, True), (5, 5, True), (4, 5, True), (6, 5, False)],
)
def test_a_warning_comes_before_the_end_where_both_are_set(soft: int, hard: int, ordered: bool) -> None:
    assert SpendingLimits(soft=Nano(soft), hard=Nano(hard)).is_ordered == ordered
