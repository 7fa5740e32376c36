"""What an organisation, its apps and keys are limited to, as it is stored."""

from functools import partial

import pytest
from sqlalchemy import select, update

from tests.store.lent import Tenant, make_tenant
from tests.world.clock import NOON_US
from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.limit import Cap, Kind, Level, Pot
from tollway.domain.money import Nano
from tollway.domain.plan import Plan
from tollway.domain.standing import Standing
from tollway.domain.token import digest
from tollway.store.apps import find_caller
from tollway.store.database import Database
from tollway.store.grants import add_grant
from tollway.store.limits import ORG_COLUMNS, read_caps, standing_of
from tollway.store.schema import org_totals, orgs

RATES = [(Kind.REQUESTS, "rate_limit"), (Kind.TOKENS, "tokens_per_minute")]


@pytest.fixture
def acme(database: Database) -> Tenant:
    return make_tenant(database)


def caps(acme: Tenant) -> tuple[Cap, ...]:
    """As a key's caller has them."""
    found, _ = acme.database.write_here(
        lambda db: find_caller(db, digest("key of acme"), acme.plans, NOON_US)
    )
    assert found is not None
    return found.caps


def stored(acme: Tenant, app: AppId | None = None, key: KeyId | None = None) -> dict[Pot, int | None]:
    """As an exchange reads them."""
    return acme.database.write_here(
        lambda db: read_caps(
            db, acme.org, acme.app if app is None else app, acme.key if key is None else key, acme.plans
        )
    )


def test_a_new_organisation_is_limited_to_200_requests_per_minute_and_to_nothing_else(acme: Tenant) -> None:
    assert caps(acme) == (Cap(acme.pot(Kind.REQUESTS), 200),)
    assert stored(acme) == {acme.pot(Kind.REQUESTS): 200}


def test_all_limits_apply_in_the_order_in_which_they_refuse(acme: Tenant) -> None:
    acme.plans = {"_TRIAL_": Plan(max_tokens=30)}
    acme.limit(rate_limit=1, tokens_per_minute=2, spending_limit_hard_nano=3, subscription_tier="_TRIAL_")
    acme.limit_app(rate_limit=4, tokens_per_minute=5, spending_limit_nano=6)
    acme.limit_key(rate_limit=7, tokens_per_minute=8, spending_limit_nano=9)
    assert caps(acme) == (
        Cap(acme.pot(Kind.REQUESTS), 1),
        Cap(acme.pot(Kind.REQUESTS, Level.APP), 4),
        Cap(acme.pot(Kind.REQUESTS, Level.KEY), 7),
        Cap(acme.pot(Kind.TOKENS), 2),
        Cap(acme.pot(Kind.TOKENS, Level.APP), 5),
        Cap(acme.pot(Kind.TOKENS, Level.KEY), 8),
        Cap(acme.pot(Kind.PLAN), 30),
        Cap(acme.pot(Kind.TRIAL), None),
        Cap(acme.pot(Kind.SPEND), 3),
        Cap(acme.pot(Kind.SPEND, Level.APP), 6),
        Cap(acme.pot(Kind.SPEND, Level.KEY), 9),
    )
    assert list(stored(acme).items()) == [
        (cap.pot, 0 if cap.pot.kind is Kind.TRIAL else cap.limit) for cap in caps(acme)
    ]


def test_a_rate_of_0_lets_nothing_through_and_a_spending_limit_of_0_is_none(acme: Tenant) -> None:
    acme.limit(rate_limit=0, spending_limit_hard_nano=0)
    acme.limit_app(tokens_per_minute=0, spending_limit_nano=0)
    zero = {acme.pot(Kind.REQUESTS): 0, acme.pot(Kind.TOKENS, Level.APP): 0}
    assert stored(acme) == zero
    assert caps(acme) == tuple(Cap(pot, limit) for pot, limit in zero.items())


@pytest.mark.parametrize(
    ("tier", "cap"), [("GROWTH", 30), ("SCALE", None), ("ENTERPRISE", None), ("STARTUP", 0), (None, None)]
)
def test_the_plan_of_the_tier_applies(acme: Tenant, tier: str | None, cap: int | None) -> None:
    acme.plans = {
        "GROWTH": Plan(max_tokens=30),
        "SCALE": Plan(max_tokens=30, overage="allow"),
        "STARTUP": Plan(max_tokens=0),
    }
    acme.limit(subscription_tier=tier)
    assert stored(acme).get(acme.pot(Kind.PLAN)) == cap


def test_a_trial_is_limited_to_what_was_granted(acme: Tenant) -> None:
    acme.limit(subscription_tier="_TRIAL_")
    for amount in (500, 70, -100):
        acme.database.write_here(
            partial(add_grant, org=acme.org, amount=Nano(amount), reason="", now_us=NOON_US)
        )
    assert stored(acme)[acme.pot(Kind.TRIAL)] == 470
    acme.limit(subscription_tier="GROWTH")
    assert acme.pot(Kind.TRIAL) not in stored(acme)


def test_an_app_or_key_of_another_organisation_limits_nothing(acme: Tenant) -> None:
    other = make_tenant(acme.database, "other")
    other.limit_app(rate_limit=1)
    other.limit_key(rate_limit=2)
    assert stored(acme, other.app, other.key) == {acme.pot(Kind.REQUESTS): 200}
    assert stored(acme, AppId(""), KeyId("")) == {acme.pot(Kind.REQUESTS): 200}


def test_an_unknown_organisation_has_no_limits(database: Database) -> None:
    unknown = OrgId("nobody")
    assert database.write_here(lambda db: read_caps(db, unknown, AppId("a"), KeyId("k"), {})) == {}


def test_an_organisation_s_standing_is_what_is_stored(acme: Tenant) -> None:
    def standing() -> Standing:
        query = select(*ORG_COLUMNS).where(orgs.c.id == acme.org)
        return acme.database.write_here(lambda db: standing_of(db.execute(query).mappings().one()))

    assert standing() == Standing(tier="_INTERNAL_")
    reason = {"invoices": [{"payment_link": "https://pay.example.com/1"}]}
    values = {
        "subscription_tier": "_TRIAL_",
        "trial_end": 7,
        "subscription_pause_reason": reason,
        "near_limit": "shorten",
        "max_in_flight": 3,
    }
    acme.database.write_here(lambda db: db.execute(update(orgs).where(orgs.c.id == acme.org).values(values)))
    assert standing() == Standing(
        tier="_TRIAL_", trial_end_s=7, pause_reason=reason, near_limit="shorten", max_in_flight=3
    )


def test_no_organisation_has_totals_before_its_first_order(acme: Tenant) -> None:
    rows = acme.database.write_here(lambda db: db.execute(select(org_totals)).all())
    assert rows == []
