"""Payment details: what an organisation may spend, on which plan, and how its trial stands.

Owns the answer of `/v1/billing/limits`, field for field; does not own where each value is stored.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from tollway.domain.clock import US_PER_S, moment
from tollway.domain.money import ZERO, Nano
from tollway.domain.org import Organisation
from tollway.domain.standing import NearLimit
from tollway.domain.subscription import Subscription

_SOON_US = 3 * 86_400 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingLimits:
    """What an organisation set for itself; 0 is no limit."""

    soft: Nano = ZERO
    hard: Nano = ZERO
    near_limit: NearLimit = "refuse"

    @property
    def is_ordered(self) -> bool:
        """Whether the warning comes before the end, where both are set."""
        return not 0 < self.hard < self.soft


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDetails:
    """The answer. Money in nano-dollars here, dollars in JSON."""

    spending_limit_soft: Annotated[Nano, "Crossing it raises an alert once per cycle ($); 0 = none"] = ZERO
    spending_limit_hard: Annotated[Nano, "Never exceeded in a cycle ($); 0 = none"] = ZERO
    currency: Annotated[Literal["usd"], "The currency of every amount"] = "usd"
    balance: Annotated[Nano, "What is left of the free balance ($)"] = ZERO
    last_invoice_date: Annotated[int, "When costs were last synced with Stripe (s)"]
    billing_zip: Annotated[str, "The postal code of the billing address"]
    subscription: Annotated[Subscription | None, "What the organisation's tier offers; null without one"]
    subscription_paused: Annotated[
        dict[str, Any] | None, "Unpaid invoices; null means that the subscription is active"
    ]
    trial_end: Annotated[datetime | None, "When the trial ends; null outside of one"] = None
    trial_ending_soon: Annotated[bool, "Whether it ends within three days"] = False
    near_limit: Annotated[NearLimit, "What becomes of a call whose stated cap does not fit any more"]


def payment_details(
    org: Organisation, near_limit: NearLimit, subscription: Subscription | None, now_us: int
) -> PaymentDetails:
    """The details that follow from an organisation's record."""
    end_s = org.trial_end if org.subscription_tier == "_TRIAL_" else None
    left_us = None if end_s is None else end_s * US_PER_S - now_us
    return PaymentDetails(
        spending_limit_soft=org.spending_limit_soft or ZERO,
        spending_limit_hard=org.spending_limit_hard or ZERO,
        currency=org.currency,
        balance=org.free_balance or ZERO,
        last_invoice_date=org.last_invoice_date,
        billing_zip=org.address_zip or "",
        subscription=subscription,
        subscription_paused=org.subscription_pause_reason,
        trial_end=None if end_s is None else moment(end_s * US_PER_S),
        trial_ending_soon=left_us is not None and 0 < left_us <= _SOON_US,
        near_limit=near_limit,
    )
