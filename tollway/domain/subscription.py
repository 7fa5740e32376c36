"""Subscriptions: what each tier offers, as configured and as shown, and what a newcomer starts with.

Owns the table `[plans.TIER]` and the `subscription` object made of it; does not own what of it
refuses a call (`plan.py`, `limits/`) or which tier an organisation has.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from tollway.domain.clock import US_PER_S
from tollway.domain.money import NANO_PER_USD, ZERO, Nano, parse_usd
from tollway.domain.org import Tier
from tollway.domain.plan import UNLIMITED, Plan, Plans

MAX_NANO = Nano(1_000_000_000 * NANO_PER_USD)
"""The most that a limit or a balance may be: with room for sums of such in 63 bits."""
NO_PLANS: Plans = MappingProxyType({})
"""Where every tier is unlimited."""

TIERS: tuple[Tier, ...] = get_args(Tier)
_TIER_NAMES = MappingProxyType({tier: tier.strip("_").capitalize() for tier in TIERS})
_DAY_S = 86_400

SupportLevel = Literal["community", "all"]
NewTier = Literal["_INTERNAL_", "_TRIAL_", "_NONE_"]

_Count = Annotated[int, Meta(ge=UNLIMITED, le=2**62)]
_SHORT = ((1_000_000_000, "bn"), (1_000_000, "M"), (1_000, "K"))


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tier offers, `[plans.TIER]`; -1 is no limit, dollars are decimal strings.

    `max_tokens` are those of a cycle, prompts and completions. What this server does not act on
    is shown to clients only.
    """

    name: str | None = None
    max_tokens: _Count = UNLIMITED
    max_apps: _Count = UNLIMITED
    max_seats: _Count = UNLIMITED
    overage: Literal["refuse", "allow"] = "refuse"
    llm_routing: bool = False
    prompts: bool = False
    prompt_models: bool = False
    personalized_llm_routing: bool = False
    fine_tuning: bool = False
    support_level: SupportLevel = "community"
    customer_success: bool = False
    monthly_price_usd: str | None = None
    yearly_price_usd: str | None = None
    monthly_discounted_usd: str | None = None
    yearly_discounted_usd: str | None = None
    monthly_price_id: str | None = None
    yearly_price_id: str | None = None
    monthly_price_label: str | None = None
    yearly_price_label: str | None = None
    monthly_contact_sales: bool = False
    yearly_contact_sales: bool = False
    monthly_button_label: str | None = None
    yearly_button_label: str | None = None


_PRICES = ("monthly_price_usd", "yearly_price_usd", "monthly_discounted_usd", "yearly_discounted_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """The features of a tier, as they are shown. Money in nano-dollars here, dollars in JSON."""

    max_tokens: Annotated[int, "Tokens per cycle, prompts and completions; -1 is no limit"]
    max_apps: Annotated[int, "Active apps; -1 is no limit"]
    llm_routing: bool
    prompts: bool
    prompt_models: bool
    personalized_llm_routing: bool
    fine_tuning: bool
    support_level: SupportLevel
    customer_success: bool
    max_tokens_readable: Annotated[str, "max_tokens in short: 50bn, 100M, Infinite"]
    max_apps_readable: Annotated[str, "max_apps in short"]
    support_level_readable: Annotated[str, "support_level, to be shown"]
    is_trial: Annotated[bool, "Of the tier _TRIAL_"] = False
    is_none: Annotated[bool, "Of the tier _NONE_"] = False
    tier: Annotated[Tier, "The tier"]
    name: Annotated[str, "The tier's name, to be shown"]
    monthly_price_usd: Annotated[Nano | None, "Per month"]
    yearly_price_usd: Annotated[Nano | None, "Per year"]
    monthly_discounted_usd: Annotated[Nano | None, "Per month, after a discount"]
    yearly_discounted_usd: Annotated[Nano | None, "Per year, after a discount"]
    monthly_price_id: Annotated[str | None, "The Stripe price, price_…"]
    yearly_price_id: Annotated[str | None, "The Stripe price, price_…"]
    monthly_price_label: str | None
    yearly_price_label: str | None
    monthly_contact_sales: bool = False
    yearly_contact_sales: bool = False
    monthly_button_label: str | None
    yearly_button_label: str | None
    max_seats: Annotated[int, "Members; -1 is no limit"]
    overage: Annotated[Literal["refuse", "allow"], "What happens to calls beyond max_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a new organisation starts with; days and balance are those of a trial."""

    tier: NewTier = "_INTERNAL_"
    trial_days: int = 0
    trial_balance: Nano = ZERO

    @property
    def is_trial(self) -> bool:
        """Whether there is a trial to begin."""
        return self.tier == "_TRIAL_"

    def trial_end_s(self, now_us: int) -> int | None:
        """When a trial that begins now ends, seconds since the epoch; None where there is none."""
        return now_us // US_PER_S + self.trial_days * _DAY_S if self.is_trial else None


def check_plans(tables: Mapping[str, PlanSettings]) -> None:
    """ValueError, naming the table and the key, for what cannot be used."""
    for tier, table in tables.items():
        where = f"plans.{tier}"
        if tier not in TIERS:
            close = difflib.get_close_matches(tier, TIERS, 1, cutoff=0.5)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"{where}: not a tier ({', '.join(TIERS)}){hint}")
        for name in ("max_tokens", "max_apps", "max_seats"):
            if tier == "_INTERNAL_" and getattr(table, name) != UNLIMITED:
                raise ValueError(f"{where}.{name}: this tier is unlimited; use another one for a limit")
        for name in _PRICES:
            try:
                parse_balance(getattr(table, name) or "0")
            except ValueError as error:
                raise ValueError(f"{where}.{name}: {error}") from None


def parse_balance(text: str) -> Nano:
    """Dollars as decimal text, from 0 to a billion, in nano-dollars; ValueError."""
    nano = parse_usd(text)
    if not 0 <= nano <= MAX_NANO:
        raise ValueError("from $0 to $1,000,000,000")
    return nano


def plans_of(tables: Mapping[str, PlanSettings]) -> Plans:
    """What each configured tier allows."""
    return {
        tier: Plan(
            max_tokens=table.max_tokens,
            max_apps=table.max_apps,
            max_seats=table.max_seats,
            overage=table.overage,
        )
        for tier, table in tables.items()
    }


def subscription_of(tables: Mapping[str, PlanSettings], tier: Tier) -> Subscription:
    """What the tier offers; one that is not configured has no limit."""
    table = tables.get(tier, PlanSettings())
    shown = {name: getattr(table, name) for name in PlanSettings.__struct_fields__}
    for name in _PRICES:
        shown[name] = None if shown[name] is None else parse_usd(shown[name])
    shown["name"] = table.name or _TIER_NAMES[tier]
    return Subscription(
        **shown,
        tier=tier,
        is_trial=tier == "_TRIAL_",
        is_none=tier == "_NONE_",
        max_tokens_readable=_readable(table.max_tokens),
        max_apps_readable=_readable(table.max_apps),
        support_level_readable=table.support_level.capitalize(),
    )


def _readable(count: int) -> str:
    """`50bn`, `1.5M`, `Infinite`: exact, so what does not fit into one decimal is written out."""
    if count == UNLIMITED:
        return "Infinite"
    for size, suffix in _SHORT:
        tenths, rest = divmod(count * 10, size)
        if count >= size and not rest:
            whole, tenth = divmod(tenths, 10)
            return f"{whole}.{tenth}{suffix}" if tenth else f"{whole}{suffix}"
    return f"{count:,}"
