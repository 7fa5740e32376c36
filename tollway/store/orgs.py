"""Organisations, from their first day to their deletion.

Owns the rows; does not own the record (`record.py`), members (`members.py`) or what goes last
(`purge.py`).
"""

from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy import Connection, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import Conflict
from tollway.domain.ids import OrgId, UserId
from tollway.domain.money import Nano
from tollway.domain.org import DEFAULT_RATE_LIMIT_PER_MINUTE, Tier
from tollway.domain.payment import SpendingLimits
from tollway.store.apps_schema import app_members
from tollway.store.database import all_orgs
from tollway.store.log_schema import log_ratings
from tollway.store.outbox_schema import outbox
from tollway.store.people_schema import deleted_orgs, invites
from tollway.store.schema import app_keys, apps, bodies, integrations, members, orgs


class OrgChange(TypedDict, total=False):
    """What only the operator sets; what is left out stays. `trial_end` in seconds."""

    rate_limit: int
    tokens_per_minute: int | None
    max_in_flight: int | None
    subscription_tier: Tier | None
    trial_end: int | None
    is_active: bool


class OrgDetails(TypedDict, total=False):
    """What members set; what is left out stays."""

    org_display_name: str | None
    org_logo: str | None
    billing_email: str
    address_1: str
    address_2: str
    address_city: str
    address_zip: str
    address_state: str
    address_country: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgState:
    """What an organisation may do now."""

    is_active: bool
    has_unpaid_seats: bool


def create_org(
    db: Connection,
    org: OrgId,
    *,
    org_name: str,
    display_name: str | None,
    billing_email: str | None,
    creator: UserId,
    tier: Tier,
    is_personal: bool = False,
    trial_end_s: int | None = None,
    benchmark_model: str | None = None,
    privacy_level: PrivacyLevel = DEFAULT_PRIVACY_LEVEL,
    now_us: int,
) -> None:
    """Add the organisation `org`; Conflict if its name is taken."""
    try:
        with db.begin_nested():
            db.execute(
                insert(orgs).values(
                    id=org,
                    org_name=org_name,
                    org_display_name=display_name,
                    billing_email=billing_email,
                    org_creator=creator,
                    is_personal=is_personal,
                    subscription_tier=tier,
                    trial_end=trial_end_s,
                    benchmark_model=benchmark_model,
                    privacy_level=privacy_level,
                    rate_limit=DEFAULT_RATE_LIMIT_PER_MINUTE,
                    last_invoice_date=now_us // US_PER_S,
                    added_us=now_us,
                    modified_us=now_us,
                )
            )
    except IntegrityError:
        raise Conflict(f"the name {org_name} is taken", code="org_name_taken", param="org_name") from None


def find_state(db: Connection, org: OrgId) -> OrgState:
    """Whether `org` may do more than read."""
    row = db.execute(
        select(orgs.c.is_active, orgs.c.spaces_subscription_status).where(orgs.c.id == org)
    ).one()
    return OrgState(is_active=row.is_active, has_unpaid_seats=row.spaces_subscription_status == "unpaid")


@all_orgs
def is_name_taken(db: Connection, org_name: str) -> bool:
    """Whether an organisation has, or had, this name."""
    return db.execute(select(orgs.c.id).where(orgs.c.org_name == org_name)).first() is not None


def is_personal(db: Connection, org: OrgId) -> bool:
    """Whether it was made with its user, and is theirs alone."""
    return bool(db.execute(select(orgs.c.is_personal).where(orgs.c.id == org)).scalar_one())


def lock_revision(db: Connection, org: OrgId) -> int:
    """When it was last changed, microseconds; nobody changes it until the end."""
    revision = select(orgs.c.modified_us).where(orgs.c.id == org).with_for_update()
    return int(db.execute(revision).scalar_one())


def name_of(db: Connection, org: OrgId) -> str:
    """Its slug."""
    return str(db.execute(select(orgs.c.org_name).where(orgs.c.id == org)).scalar_one())


def lock_tier(db: Connection, org: OrgId) -> Tier | None:
    """The organisation's tier; its row is locked, so that what is counted now still is at the end."""
    tier: Tier | None = db.execute(
        select(orgs.c.subscription_tier).where(orgs.c.id == org).with_for_update()
    ).scalar_one()
    return tier


def count_apps(db: Connection, org: OrgId) -> int:
    """How many active apps it has."""
    counted = select(func.count()).select_from(apps).where(apps.c.org_id == org, apps.c.is_active)
    return int(db.execute(counted).scalar_one())


def spending_limits(db: Connection, org: OrgId) -> SpendingLimits:
    """What the organisation set for itself."""
    row = db.execute(
        select(orgs.c.spending_limit_soft_nano, orgs.c.spending_limit_hard_nano, orgs.c.near_limit).where(
            orgs.c.id == org
        )
    ).one()
    return SpendingLimits(
        soft=Nano(row.spending_limit_soft_nano or 0),
        hard=Nano(row.spending_limit_hard_nano or 0),
        near_limit=row.near_limit,
    )


def put_spending_limits(db: Connection, org: OrgId, limits: SpendingLimits, now_us: int) -> None:
    """Store all of them; no limit is stored as null."""
    db.execute(
        update(orgs)
        .where(orgs.c.id == org)
        .values(
            spending_limit_soft_nano=limits.soft or None,
            spending_limit_hard_nano=limits.hard or None,
            near_limit=limits.near_limit,
            modified_us=now_us,
        )
    )


def change_org(db: Connection, org: OrgId, change: OrgChange, now_us: int) -> bool:
    """Store what the change names; whether there is such an organisation, not deleted."""
    is_deleted = exists().where(deleted_orgs.c.org_id == orgs.c.id)
    changed = db.execute(
        update(orgs).where(orgs.c.id == org, ~is_deleted).values(**change, modified_us=now_us)
    )
    return bool(changed.rowcount)


def update_org(db: Connection, org: OrgId, details: OrgDetails, now_us: int) -> None:
    """Store what the details name."""
    db.execute(update(orgs).where(orgs.c.id == org).values(**details, modified_us=now_us))


def deactivate_org(db: Connection, org: OrgId, now_us: int) -> None:
    """From now on it can only be read."""
    db.execute(update(orgs).where(orgs.c.id == org).values(is_active=False, modified_us=now_us))


def delete_org(db: Connection, org: OrgId, by: UserId, now_us: int) -> None:
    """Take away all but the ledger and what explains it: keys, apps, receivers, prompts, people, letters."""
    deactivate_org(db, org, now_us)
    db.execute(
        update(app_keys)
        .where(app_keys.c.org_id == org, app_keys.c.revoked_us.is_(None))
        .values(revoked_us=now_us)
    )
    db.execute(
        update(apps).where(apps.c.org_id == org, apps.c.is_active).values(is_active=False, modified_us=now_us)
    )
    strip_org(db, org)
    db.execute(insert(deleted_orgs).values(org_id=org, deleted_by=by, deleted_us=now_us))


def strip_org(db: Connection, org: OrgId) -> None:
    """Remove what a deleted organisation has no use for; again later, for what was on its way then."""
    for table in (integrations, bodies, log_ratings, invites, app_members, members, outbox):
        db.execute(delete(table).where(table.c.org_id == org))


def touch_org(db: Connection, org: OrgId, now_us: int) -> None:
    """Note that the organisation was changed just now."""
    db.execute(update(orgs).where(orgs.c.id == org).values(modified_us=now_us))
