"""`/v1/billing/limits`: what an organisation may spend in a cycle, and what it is told of that.

Owns the rules of the change; does not own how a limit holds (`limits/`, `store/leases.py`).
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from tollway.control.access import acting_org, permitted_org
from tollway.domain.caller import Person
from tollway.domain.errors import Fault, Invalid
from tollway.domain.ids import OrgId
from tollway.domain.money import Nano, usd
from tollway.domain.operation import Operation
from tollway.domain.payment import PaymentDetails, SpendingLimits, payment_details
from tollway.domain.standing import NearLimit
from tollway.domain.subscription import PlanSettings, subscription_of
from tollway.store import orgs
from tollway.store.alerts import raise_crossed
from tollway.store.changes import announce
from tollway.store.cycles import current_cycle
from tollway.store.leases import lock_org
from tollway.store.record import read_record


class Wanted(NamedTuple):
    """Limits as asked for; None stays as it is."""

    soft: Nano | None = None
    hard: Nano | None = None
    near_limit: NearLimit | None = None


def show_limits(
    db: Connection, person: Person, plans: Mapping[str, PlanSettings], now_us: int
) -> PaymentDetails:
    """The payment details of the person's current organisation."""
    return _details(db, permitted_org(person, Operation.SHOW_SPENDING_LIMITS), plans, now_us)


def put_limits(
    db: Connection, person: Person, wanted: Wanted, plans: Mapping[str, PlanSettings], now_us: int
) -> PaymentDetails:
    """Set limits of the person's current organisation, in every process; alerts that are due are raised.

    Forbidden; Invalid if the soft limit would be above the hard one.
    """
    org = acting_org(db, person, Operation.PUT_SPENDING_LIMITS)
    # The fold holds this lock too: either it sees the new limits, or these see what it added.
    lock_org(db, org)
    stored = orgs.spending_limits(db, org)
    limits = SpendingLimits(
        soft=stored.soft if wanted.soft is None else wanted.soft,
        hard=stored.hard if wanted.hard is None else wanted.hard,
        near_limit=wanted.near_limit or stored.near_limit,
    )
    if not limits.is_ordered:
        told = (
            f"spending_limit_soft (${usd(limits.soft)}) may not be above "
            f"spending_limit_hard (${usd(limits.hard)})"
        )
        names = ("spending_limit_soft", "spending_limit_hard")
        raise Invalid(*(Fault(loc=("body", name), msg=told, type="soft_above_hard") for name in names))
    orgs.put_spending_limits(db, org, limits, now_us)
    announce(db, org, now_us)
    raise_crossed(db, [(org, current_cycle(db, org, now_us).start_us)], now_us)
    return _details(db, org, plans, now_us)


def _details(db: Connection, org: OrgId, plans: Mapping[str, PlanSettings], now_us: int) -> PaymentDetails:
    record = read_record(db, org, now_us)
    tier = record.subscription_tier
    subscription = None if tier is None else subscription_of(plans, tier)
    return payment_details(record, orgs.spending_limits(db, org).near_limit, subscription, now_us)
