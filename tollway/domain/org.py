"""The organisation record, field for field as it is answered, and what members may do.

Owns the record's fields, order, types and defaults (the contract of
`PUT /v1/orgs/integrations`); does not own where each value comes from (`store/record.py`).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from tollway.domain.cycle import CycleTotals
from tollway.domain.ids import OrgId, UserId
from tollway.domain.money import ZERO, Nano

SpacesTier = Literal["INTERNAL", "FREE", "PRO", "TEAM", "ENTERPRISE"]
Tier = Literal["_NONE_", "_TRIAL_", "_INTERNAL_", "STARTUP", "GROWTH", "SCALE", "ENTERPRISE"]


class Permission(StrEnum):
    """What a member may do in an organisation, as `role:resource`."""

    VIEWER_APP = "viewer:app"
    VIEWER_MEMBERS = "viewer:members"
    EDITOR_APP = "editor:app"
    EDITOR_MEMBERS = "editor:members"
    EDITOR_ORG = "editor:org"
    ADMIN_MEMBERS = "admin:members"
    ADMIN_ORG = "admin:org"
    ADMIN_APP = "admin:app"


EVERY_PERMISSION = frozenset(Permission)


class AlertKind(StrEnum):
    """What an organisation is told of, once in each cycle; in the record's order."""

    SOFT_LIMIT = "soft_limit"
    HARD_LIMIT = "hard_limit"
    PAYMENT_FAILED = "payment_failed"
    USAGE_RESET = "usage_reset"
    USAGE_50 = "usage_50"
    """percent of the plan's tokens, or of the hard limit where the plan has no cap"""
    USAGE_80 = "usage_80"
    USAGE_90 = "usage_90"
    USAGE_100 = "usage_100"


DEFAULT_RATE_LIMIT_PER_MINUTE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation(CycleTotals):
    """The record. Money in nano-dollars here, dollars in JSON; totals are of the current cycle."""

    num_apps: Annotated[int, "Active apps"] = 0
    org_stripe_id: Annotated[str, "The Stripe customer, cus_…; empty while there is none"]
    spaces_subscription_tier: Annotated[SpacesTier | None, "The seat-based subscription's tier"] = None
    spaces_subscription_seats: Annotated[int | None, "Its number of seats"] = None
    spaces_subscription_status: Annotated[Literal["active", "unpaid"] | None, "Its status"] = None
    spaces_subscription_cancel_at: Annotated[int | None, "When it ends, once cancelled (s)"] = None
    last_invoice_date: Annotated[int, "When costs were last synced with Stripe (s)"]
    subscription_pause_reason: Annotated[
        dict[str, Any] | None, "Unpaid invoices; null means that the subscription is active"
    ] = None
    subscription_cycle: Annotated[
        Literal["monthly", "yearly"] | None, "The length of the subscription's cycle"
    ] = None
    subscription_tier: Annotated[Tier | None, "The subscription's tier"] = None
    subscription_price_id: Annotated[str | None, "The Stripe price that it was made from"] = None
    trial_end: Annotated[int | None, "When the trial ends and billing starts (s)"] = None
    currency: Annotated[Literal["usd"], "The currency of every amount"] = "usd"
    billing_email: Annotated[str | None, "Where bills and alerts go"] = ""
    free_balance: Annotated[Nano | None, "In a trial, costs are deducted here ($)"] = ZERO
    spending_limit_soft: Annotated[Nano | None, "Crossing it mails once per cycle ($); 0 = none"] = ZERO
    spending_limit_hard: Annotated[Nano | None, "Never exceeded ($); 0 = none"] = ZERO
    alert_emails: Annotated[
        dict[str, datetime | None] | None, "When each alert of this billing period was raised"
    ] = None
    org_name: Annotated[str, "The slug; fixed, and the `org` label of metrics and logs"]
    org_creator: Annotated[UserId, "The creating user's id"]
    is_active: Annotated[bool, "An inactive organisation is refused everything but reading"] = True
    is_personal: Annotated[bool, "Made with its user"] = False
    org_display_name: Annotated[str | None, "The name shown to people"] = None
    org_logo: Annotated[str | None, "URL of the logo"] = None
    address_1: Annotated[str | None, "Synced to the Stripe customer"] = ""
    address_2: Annotated[str | None, "Synced to the Stripe customer"] = ""
    address_city: Annotated[str | None, "Synced to the Stripe customer"] = ""
    address_zip: Annotated[str | None, "Synced to the Stripe customer"] = ""
    address_state: Annotated[str | None, "Synced to the Stripe customer"] = ""
    address_country: Annotated[str | None, "Synced to the Stripe customer"] = ""
    added_on: Annotated[datetime | None, "When it was made"] = None
    modified_on: Annotated[datetime | None, "When it was last changed"] = None
    hubspot_id: Annotated[str | None, "The company's id in HubSpot"] = None
    prom_id: Annotated[str | None, "User of the Prometheus receiver's basic auth"] = None
    prom_token: Annotated[str | None, "Its password, masked"] = None
    prom_endpoint: Annotated[str | None, "Its remote-write URL"] = None
    loki_id: Annotated[str | None, "User of the Loki receiver's basic auth"] = None
    loki_token: Annotated[str | None, "Its password, masked"] = None
    loki_endpoint: Annotated[str | None, "Its push URL"] = None
    rate_limit: Annotated[int, "Requests per minute for the organisation"] = DEFAULT_RATE_LIMIT_PER_MINUTE
    id: Annotated[OrgId, "The organisation's id"]
