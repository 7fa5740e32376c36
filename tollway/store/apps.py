"""Apps, their keys, and the view of both that a request needs.

Owns the rows; does not own who may make them. Of a key only the hash is stored.
"""

from sqlalchemy import Connection, func, insert, select, update

from tollway.domain.body import PrivacyLevel
from tollway.domain.caller import Caller
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import AppId, KeyId, OrgId, UserId, new_id
from tollway.domain.plan import Plans
from tollway.domain.slug import numbered
from tollway.domain.token import digest, ending
from tollway.store.changes import position
from tollway.store.database import all_orgs
from tollway.store.limits import APP_COLUMNS, KEY_COLUMNS, ORG_COLUMNS, caps_of, standing_of
from tollway.store.rate_cards import cards_from
from tollway.store.schema import app_keys, apps, orgs

_STARTED_BEFORE_US = 3_600 * US_PER_S
"""A call whose key is looked up began at most so long ago, by whichever process's clock."""


def create_app(
    db: Connection,
    org: OrgId,
    *,
    slug: str,
    name: str,
    description: str | None,
    logo: str | None,
    benchmark_model: str | None,
    privacy_level: PrivacyLevel | None = None,
    creator: UserId,
    now_us: int,
) -> AppId:
    """Add an app; where the slug is taken in `org`, a number is put behind it."""
    app = AppId(new_id(now_us))
    # Locked, so that two apps of one name, made at once, do not choose the same slug.
    db.execute(select(orgs.c.id).where(orgs.c.id == org).with_for_update())
    taken = set(db.execute(select(apps.c.slug).where(apps.c.org_id == org)).scalars())
    number = 1
    while numbered(slug, number) in taken:
        number += 1
    db.execute(
        insert(apps).values(
            id=app,
            org_id=org,
            slug=numbered(slug, number),
            name=name,
            description=description,
            app_logo=logo,
            benchmark_model=benchmark_model,
            privacy_level=privacy_level,
            added_by=creator,
            added_us=now_us,
            modified_us=now_us,
        )
    )
    return app


def add_key(db: Connection, org: OrgId, app: AppId, key: str, now_us: int) -> KeyId:
    """Store the hash of an app's new key."""
    id_ = KeyId(new_id(now_us))
    db.execute(
        insert(app_keys).values(
            id=id_, org_id=org, app_id=app, hash=digest(key), key_end=ending(key), added_us=now_us
        )
    )
    return id_


def revoke_app(db: Connection, org: OrgId, app: AppId, now_us: int) -> bool:
    """Switch the app off; its keys answer 403 from then on. Whether `org` has such an active app."""
    revoked = db.execute(
        update(apps)
        .where(apps.c.org_id == org, apps.c.id == app, apps.c.is_active)
        .values(is_active=False, modified_us=now_us)
    )
    return bool(revoked.rowcount)


def privacy_levels(db: Connection, org: OrgId) -> dict[AppId, PrivacyLevel]:
    """All apps of `org`, active or not, each with the level that holds for it."""
    level = func.coalesce(apps.c.privacy_level, orgs.c.privacy_level).label("level")
    rows = db.execute(select(apps.c.id, level).join(orgs).where(apps.c.org_id == org))
    return {AppId(row.id): row.level for row in rows}


@all_orgs
def find_caller(db: Connection, key_hash: str, plans: Plans, now_us: int) -> tuple[Caller | None, int]:
    """The view behind a key's hash, and the position of the feed of changes that it is true at."""
    row = db.execute(
        select(
            app_keys.c.id.label("key_id"),
            app_keys.c.revoked_us,
            apps.c.id.label("app_id"),
            apps.c.slug,
            apps.c.is_active.label("app_is_active"),
            apps.c.benchmark_model,
            orgs.c.id.label("org_id"),
            orgs.c.org_name,
            orgs.c.is_active.label("org_is_active"),
            orgs.c.benchmark_model.label("org_benchmark_model"),
            func.coalesce(apps.c.privacy_level, orgs.c.privacy_level).label("privacy_level"),
            *ORG_COLUMNS,
            *APP_COLUMNS,
            *KEY_COLUMNS,
        )
        .join(apps, apps.c.id == app_keys.c.app_id)
        .join(orgs, orgs.c.id == app_keys.c.org_id)
        .where(app_keys.c.hash == key_hash)
    ).first()
    at = position(db)
    if row is None:
        return None, at
    caller = Caller(
        org_id=OrgId(row.org_id),
        org=row.org_name,
        org_is_active=row.org_is_active,
        app_id=AppId(row.app_id),
        app=row.slug,
        app_is_active=row.app_is_active,
        key_id=KeyId(row.key_id),
        key_is_active=row.revoked_us is None,
        benchmark_model=row.benchmark_model or row.org_benchmark_model,
        privacy_level=row.privacy_level,
        rate_cards=cards_from(db, OrgId(row.org_id), now_us - _STARTED_BEFORE_US),
        standing=standing_of(row._mapping),  # noqa: SLF001 - SQLAlchemy's documented access by name
        caps=caps_of(row._mapping, OrgId(row.org_id), AppId(row.app_id), KeyId(row.key_id), plans),  # noqa: SLF001 - as above
    )
    return caller, at
