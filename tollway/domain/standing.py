"""An organisation's standing: what it may do at all, before any amount is looked at.

Owns the rule and its refusals in words; does not own where a subscription's state comes from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tollway.domain.clock import US_PER_S
from tollway.domain.errors import SubscriptionPaused, SubscriptionRequired

NearLimit = Literal["refuse", "shorten"]
"""What becomes of a call whose stated cap does not fit any more."""

TRIAL_FUNDING = "trial"
"""The funding of rows that the trial's balance pays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An organisation's subscription and what goes with it. `trial_end_s`: seconds, as Stripe counts."""

    tier: str | None = None
    trial_end_s: int | None = None
    pause_reason: Mapping[str, Any] | None = None
    near_limit: NearLimit = "refuse"
    max_in_flight: int | None = None
    """Calls at once, in each process."""

    @property
    def is_trial(self) -> bool:
        """Whether costs are paid from the free balance."""
        return self.tier == "_TRIAL_"

    @property
    def funding(self) -> str | None:
        """What pays for a call: the trial's balance, or nothing in particular."""
        return TRIAL_FUNDING if self.is_trial else None


UNLIMITED_STANDING = Standing()
"""Of an organisation with nothing to pay."""


def require_subscribed(standing: Standing, now_us: int) -> None:
    """SubscriptionPaused or SubscriptionRequired if the organisation may make no calls."""
    if standing.pause_reason is not None:
        links = _payment_links(standing.pause_reason)
        how = f"; pay here: {', '.join(links)}" if links else ""
        raise SubscriptionPaused(f"the organisation's subscription is paused{how}")
    if standing.tier == "_NONE_":
        raise SubscriptionRequired("the organisation has no subscription; an admin of it can start one")
    if standing.is_trial and standing.trial_end_s is not None and now_us >= standing.trial_end_s * US_PER_S:
        raise SubscriptionRequired(
            "the organisation's trial has ended; an admin of it can start a subscription"
        )


def _payment_links(pause_reason: Mapping[str, Any]) -> Sequence[str]:
    invoices = pause_reason.get("invoices") or ()
    return [link for invoice in invoices if (link := invoice.get("payment_link"))]
