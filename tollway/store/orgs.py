"""Organisations and their members. Owns the rows; does not own the record (`store/record.py`)."""

from collections.abc import Iterable

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import Conflict
from tollway.domain.ids import OrgId, UserId
from tollway.domain.org import DEFAULT_RATE_LIMIT_PER_MINUTE, Permission, Tier
from tollway.store.schema import members, orgs


def create_org(
    db: Connection,
    org: OrgId,
    *,
    org_name: str,
    display_name: str | None,
    billing_email: str | None,
    creator: UserId,
    tier: Tier,
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
                    subscription_tier=tier,
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


def add_member(
    db: Connection, org: OrgId, user: UserId, permissions: Iterable[Permission], now_us: int
) -> None:
    """Add `user` to `org` with these permissions."""
    words = " ".join(sorted(permissions))
    db.execute(insert(members).values(org_id=org, user_id=user, permissions=words, added_us=now_us))


def is_org_active(db: Connection, org: OrgId) -> bool:
    """Whether `org` may do more than read."""
    return bool(db.execute(select(orgs.c.is_active).where(orgs.c.id == org)).scalar_one())


def touch_org(db: Connection, org: OrgId, now_us: int) -> None:
    """Note that the organisation was changed just now."""
    db.execute(update(orgs).where(orgs.c.id == org).values(modified_us=now_us))
