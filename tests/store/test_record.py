"""The organisation record: every field live, or at its default; totals of the current month only."""

from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import NoResultFound

from tests.world.clock import NOON_US
from tests.world.entries import batch, cost, entry, make_app, make_org
from tollway.domain.clock import month_start_us, next_month_start_us
from tollway.domain.ids import OrgId, UserId
from tollway.domain.money import Nano
from tollway.domain.org import AlertKind, Organisation
from tollway.domain.token import masked
from tollway.domain.usage import Unit
from tollway.store.alerts import raise_alert
from tollway.store.apps import revoke_app
from tollway.store.database import Database
from tollway.store.grants import add_grant
from tollway.store.integrations import Integration, put_integration
from tollway.store.record import read_record
from tollway.store.schema import cycle_totals, orgs, users
from tollway.store.usage import fold

NEXT_MONTH_US = next_month_start_us(NOON_US)
TOTALS = [name for name in (field.name for field in fields(Organisation)) if "tokens" in name]

STORED: dict[str, Any] = {
    "org_stripe_id": "cus_1",
    "spaces_subscription_tier": "TEAM",
    "spaces_subscription_seats": 7,
    "spaces_subscription_status": "unpaid",
    "spaces_subscription_cancel_at": 1_800_000_000,
    "last_invoice_date": 1_700_000_000,
    "subscription_pause_reason": {"invoices": [{"invoice_id": "in_1", "amount": 12}]},
    "subscription_cycle": "yearly",
    "subscription_tier": "GROWTH",
    "subscription_price_id": "price_1",
    "trial_end": 1_900_000_000,
    "billing_email": "bills@example.com",
    "is_active": False,
    "is_personal": True,
    "org_display_name": "Grüße, 東京 🚏",
    "org_logo": "https://example.com/logo.png",
    "address_1": "1 Road",
    "address_2": "Flat 2",
    "address_city": "Town",
    "address_zip": "12345",
    "address_state": "State",
    "address_country": "GB",
    "hubspot_id": "hub_1",
    "rate_limit": 17,
}


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def record(database: Database, org: OrgId, now_us: int = NOON_US) -> Organisation:
    return database.write_here(lambda db: read_record(db, org, now_us))


def creator(db: Connection) -> UserId:
    return UserId(db.execute(select(users.c.id)).scalar_one())


def test_a_new_organisation_has_what_it_was_made_with_and_else_defaults(
    database: Database, org: OrgId
) -> None:
    at = datetime(2026, 3, 10, 12, tzinfo=UTC)
    assert record(database, org) == Organisation(
        id=org,
        org_name="acme",
        org_creator=database.write_here(creator),
        org_stripe_id="",
        billing_email=None,
        last_invoice_date=1_773_144_000,
        subscription_tier="_INTERNAL_",
        added_on=at,
        modified_on=at,
    )


def test_every_field_that_is_stored_is_shown_as_it_is_stored(database: Database, org: OrgId) -> None:
    limits = {"spending_limit_soft_nano": 1, "spending_limit_hard_nano": 2**62}
    values = {**STORED, **limits, "modified_us": NOON_US + 1}
    database.write_here(lambda db: db.execute(update(orgs).values(values)))
    shown = asdict(record(database, org))
    assert {name: shown[name] for name in STORED} == STORED
    assert (shown["spending_limit_soft"], shown["spending_limit_hard"]) == (1, 2**62)
    assert shown["modified_on"] == datetime(2026, 3, 10, 12, 0, 0, 1, tzinfo=UTC)


def test_a_null_where_one_is_allowed_is_shown_as_null_and_a_limit_as_none_set(
    database: Database, org: OrgId
) -> None:
    nullable = [name for name in STORED if orgs.c[name].nullable]
    database.write_here(lambda db: db.execute(update(orgs).values(dict.fromkeys(nullable))))
    shown = asdict(record(database, org))
    assert {shown[name] for name in nullable} == {None}
    assert (shown["spending_limit_soft"], shown["spending_limit_hard"]) == (0, 0)


def test_totals_are_of_the_organisations_rows_of_this_month(database: Database, org: OrgId) -> None:
    other = database.write_here(lambda db: make_org(db, "other"))
    units = {Unit.INPUT: 1, Unit.CACHE_READ: 2, Unit.OUTPUT: 4, Unit.REASONING: 8}
    rows = [
        entry(org_id=org, units=units, cost=cost(10, 20), benchmark=cost(15, 5)),
        entry(org_id=org, units=units, cost=cost(100, 200), final=False),
        entry(org_id=other),
    ]
    database.write_here(lambda db: fold(db, batch(list(enumerate(rows))), NOON_US))
    shown = record(database, org)
    assert (shown.prompt_tokens, shown.completion_tokens, shown.total_tokens) == (6, 24, 30)
    assert (shown.prompt_tokens_cost, shown.completion_tokens_cost) == (110, 220)
    assert shown.total_tokens_cost == 330
    assert (shown.prompt_tokens_cost_savings, shown.completion_tokens_cost_savings) == (5, -15)
    assert (shown.total_tokens_cost_savings, shown.num_requests) == (-10, 1)


def test_a_new_month_starts_at_nothing_and_the_old_one_stays_in_the_table(
    database: Database, org: OrgId
) -> None:
    rows = [entry(org_id=org), entry(org_id=org, ended_us=NEXT_MONTH_US - 1)]
    database.write_here(lambda db: fold(db, batch(list(enumerate(rows))), NOON_US))
    before = record(database, org, NEXT_MONTH_US - 1)
    assert (before.num_requests, before.total_tokens_cost) == (2, 84_800)

    after = asdict(record(database, org, NEXT_MONTH_US))
    assert {after[name] for name in [*TOTALS, "num_requests"]} == {0}

    late = [(2, entry(org_id=org, ended_us=NEXT_MONTH_US)), (3, entry(org_id=org))]
    database.write_here(lambda db: fold(db, batch(late), NEXT_MONTH_US))
    assert record(database, org, NEXT_MONTH_US).num_requests == 1
    assert record(database, org, NEXT_MONTH_US - 1).num_requests == 3
    count = select(func.count()).select_from(cycle_totals)
    assert database.write_here(lambda db: db.execute(count).scalar_one()) == 2


def test_the_free_balance_is_that_of_the_grants(database: Database, org: OrgId) -> None:
    other = database.write_here(lambda db: make_org(db, "other"))

    def grant(db: Connection) -> None:
        for nano in (5_000_000_000, -1):
            add_grant(db, org, Nano(nano), "a test", NOON_US)

    database.write_here(grant)
    assert (record(database, org).free_balance, record(database, other).free_balance) == (4_999_999_999, 0)


def test_alerts_are_those_of_the_current_cycle_and_none_while_there_are_none(
    database: Database, org: OrgId
) -> None:
    assert record(database, org).alert_emails is None
    start_us = month_start_us(NOON_US)

    def alert(db: Connection) -> None:
        for kind, at_us in ((AlertKind.USAGE_80, NOON_US), (AlertKind.SOFT_LIMIT, NOON_US + 1)):
            raise_alert(db, org, cycle_start_us=start_us, kind=kind, content={}, now_us=at_us)

    database.write_here(alert)
    shown = record(database, org).alert_emails
    assert shown is not None
    assert list(shown) == [
        "soft_limit",
        "hard_limit",
        "payment_failed",
        "usage_reset",
        "usage_50",
        "usage_80",
        "usage_90",
        "usage_100",
    ]
    assert {kind: at for kind, at in shown.items() if at} == {
        "soft_limit": datetime(2026, 3, 10, 12, 0, 0, 1, tzinfo=UTC),
        "usage_80": datetime(2026, 3, 10, 12, tzinfo=UTC),
    }
    assert record(database, org, NEXT_MONTH_US).alert_emails is None


def test_active_apps_are_counted(database: Database, org: OrgId) -> None:
    def work(db: Connection) -> None:
        made = [make_app(db, org) for _ in range(3)]
        revoke_app(db, org, made[0], NOON_US)

    database.write_here(work)
    assert record(database, org).num_apps == 2


@pytest.mark.parametrize(
    ("token", "shown"), [("a-long-token-1234", "••••1234"), ("short", "••••"), ("eleven_char", "••••")]
)
def test_tokens_of_receivers_are_shown_masked(database: Database, org: OrgId, token: str, shown: str) -> None:
    receiver = Integration(
        kind="loki",
        user="1",
        endpoint="https://loki.example.com/loki/api/v1/push",
        token_sealed=f"sealed {token}",
        token_masked=masked(token),
    )
    database.write_here(lambda db: put_integration(db, org, receiver, NOON_US))
    found = record(database, org)
    assert (found.loki_id, found.loki_token, found.loki_endpoint) == ("1", shown, receiver.endpoint)
    assert (found.prom_id, found.prom_token, found.prom_endpoint) == (None, None, None)
    assert token not in repr(found)
    assert "sealed" not in repr(found)


def test_an_organisation_that_is_not_there_has_no_record(database: Database) -> None:
    with pytest.raises(NoResultFound):
        record(database, OrgId("nobody"))
