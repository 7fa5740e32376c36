"""Apps, and the view of an app and its key that a request needs.

Owns the rows of apps; does not own keys (`apps_keys.py`), or who may make either.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update

from tollway.domain.app import App, AppPage, tuning_of
from tollway.domain.body import PrivacyLevel
from tollway.domain.caller import Caller
from tollway.domain.clock import US_PER_S, moment
from tollway.domain.ids import AppId, KeyId, OrgId, UserId, new_id
from tollway.domain.plan import Plans
from tollway.domain.slug import numbered
from tollway.store.apps_keys import key_permissions
from tollway.store.apps_models import list_models_off
from tollway.store.apps_schema import app_members
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
    sandbox_of: AppId | None = None,
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
            sandbox_of=sandbox_of,
            added_by=creator,
            added_us=now_us,
            modified_us=now_us,
        )
    )
    return app


def revoke_app(db: Connection, org: OrgId, app: AppId, now_us: int) -> bool:
    """Switch the app and its sandboxes off; their keys answer 403 then. Whether `org` has it, active."""
    active = update(apps).where(apps.c.org_id == org, apps.c.is_active)
    values = {"is_active": False, "modified_us": now_us}
    revoked = db.execute(active.where(apps.c.id == app).values(**values))
    # A second statement, which sees a sandbox that was made while the first one waited.
    db.execute(active.where(apps.c.sandbox_of == app).values(**values))
    return bool(revoked.rowcount)


def privacy_levels(db: Connection, org: OrgId) -> dict[AppId, PrivacyLevel]:
    """All apps of `org`, active or not, each with the level that holds for it."""
    level = func.coalesce(apps.c.privacy_level, orgs.c.privacy_level).label("level")
    rows = db.execute(select(apps.c.id, level).join(orgs).where(apps.c.org_id == org))
    return {AppId(row.id): row.level for row in rows}


def lock_app(db: Connection, org: OrgId, app: AppId) -> Row[Any] | None:
    """The row of an active app, locked until the end; None if `org` has none such."""
    found = select(apps).where(apps.c.org_id == org, apps.c.id == app, apps.c.is_active)
    return db.execute(found.with_for_update()).first()


def update_app(
    db: Connection, org: OrgId, app: AppId, values: Mapping[str, Any], by: UserId, now_us: int
) -> None:
    """Store these columns of an app."""
    db.execute(
        update(apps)
        .where(apps.c.org_id == org, apps.c.id == app)
        .values(**values, modified_by=by, modified_us=now_us)
    )


def find_app(db: Connection, org: OrgId, app: AppId) -> App | None:
    """An active app; None if `org` has none such."""
    row = db.execute(_apps_of(org).where(apps.c.id == app)).first()
    return None if row is None else _shown(row)


def list_sandboxes(db: Connection, org: OrgId, app: AppId) -> list[App]:
    """The active sandboxes of an app, the newest first."""
    return [_shown(row) for row in db.execute(_apps_of(org).where(apps.c.sandbox_of == app))]


def list_apps(
    db: Connection, org: OrgId, *, search: str, of_member: UserId | None, page: int, size: int
) -> AppPage:
    """A page of active apps whose name, slug or description has the text; `of_member`: with a role there."""
    found = _apps_of(org)
    if search:
        wanted = search.lower()
        found = found.where(
            or_(
                *(
                    func.lower(column).contains(wanted, autoescape=True)
                    for column in (apps.c.name, apps.c.slug, apps.c.description)
                )
            )
        )
    if of_member is not None:
        found = found.where(
            apps.c.id.in_(
                select(app_members.c.app_id).where(
                    app_members.c.org_id == org, app_members.c.user_id == of_member
                )
            )
        )
    total = db.execute(select(func.count()).select_from(found.subquery())).scalar_one()
    rows = db.execute(found.limit(size).offset((page - 1) * size))
    return AppPage(
        items=[_shown(row) for row in rows], total=total, page=page, size=size, pages=-(-total // size)
    )


def _apps_of(org: OrgId) -> Select[Any]:
    """The newest first, each with the end of its own key."""
    key_end = (
        select(app_keys.c.key_end)
        .where(app_keys.c.app_id == apps.c.id, app_keys.c.name.is_(None), app_keys.c.revoked_us.is_(None))
        .order_by(app_keys.c.added_us.desc(), app_keys.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(apps, key_end.label("key_end"))
        .where(apps.c.org_id == org, apps.c.is_active)
        .order_by(apps.c.added_us.desc(), apps.c.id.desc())
    )


def _shown(row: Row[Any]) -> App:
    tuning = tuning_of(row.tuning or {}, row.privacy_level)
    return App(
        id=AppId(row.id),
        org_id=OrgId(row.org_id),
        auth0_id=UserId(row.added_by),
        modified_by=row.modified_by,
        name=row.name,
        slug=row.slug,
        description=row.description,
        app_logo=row.app_logo,
        key_end=row.key_end,
        is_active=row.is_active,
        rate_limit=row.rate_limit,
        benchmark_model=row.benchmark_model,
        has_failover_chain=row.has_failover_chain,
        weights=tuning.weights,
        policies=tuning.policies,
        settings=tuning.settings,
        sandbox_of=row.sandbox_of,
        added_on=moment(row.added_us),
        modified_on=moment(row.modified_us),
    )


@all_orgs
def find_caller(db: Connection, key_hash: str, plans: Plans, now_us: int) -> tuple[Caller | None, int]:
    """The view behind a key's hash, and the position of the feed of changes that it is true at."""
    row = db.execute(
        select(
            app_keys.c.id.label("key_id"),
            app_keys.c.revoked_us,
            app_keys.c.expires_us,
            app_keys.c.permissions.label("key_permissions"),
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
        expires_us=row.expires_us,
        key_permissions=key_permissions(row.key_permissions),
        models_off=frozenset(list_models_off(db, OrgId(row.org_id), AppId(row.app_id))),
        caps=caps_of(row._mapping, OrgId(row.org_id), AppId(row.app_id), KeyId(row.key_id), plans),  # noqa: SLF001 - as above
    )
    return caller, at
