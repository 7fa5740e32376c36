"""Limits of apps and of their keys: what each may use of what its organisation has.

Owns these columns of `apps` and `app_keys`; does not own how a limit holds (`leases.py`).
"""

from dataclasses import dataclass
from typing import Any, TypedDict

from sqlalchemy import Connection, select, update

from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.money import Nano
from tollway.store.schema import app_keys, apps


class LimitsChange(TypedDict, total=False):
    """Limits to be set; None is no limit, what is left out stays."""

    rate_limit: int | None
    tokens_per_minute: int | None
    spending_limit_nano: Nano | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLimits:
    """Requests and tokens per minute, nano-dollars per cycle; None is no limit."""

    rate_limit: int | None
    tokens_per_minute: int | None
    spending_limit: Nano | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits(StoredLimits):
    """Those of a key, which is known by its end."""

    id: KeyId
    key_end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLimits(StoredLimits):
    """Those of an app and of its keys, the oldest key first."""

    id: AppId
    keys: list[KeyLimits]


def app_limits(db: Connection, org: OrgId, app: AppId) -> AppLimits | None:
    """The limits of an active app and of its valid keys; None if `org` has none such."""
    row = db.execute(select(apps).where(apps.c.org_id == org, apps.c.id == app, apps.c.is_active)).first()
    if row is None:
        return None
    keys = db.execute(
        select(app_keys)
        .where(app_keys.c.org_id == org, app_keys.c.app_id == app, app_keys.c.revoked_us.is_(None))
        .order_by(app_keys.c.added_us, app_keys.c.id)
    )
    shown = [KeyLimits(id=KeyId(key.id), key_end=key.key_end, **_limits(key)) for key in keys]
    return AppLimits(id=app, keys=shown, **_limits(row))


def change_app_limits(db: Connection, org: OrgId, app: AppId, change: LimitsChange, now_us: int) -> bool:
    """Set limits of an app; whether `org` has such an active one."""
    changed = db.execute(
        update(apps)
        .where(apps.c.org_id == org, apps.c.id == app, apps.c.is_active)
        .values(**change, modified_us=now_us)
    )
    return bool(changed.rowcount)


def change_key_limits(db: Connection, org: OrgId, app: AppId, key: KeyId, change: LimitsChange) -> bool:
    """Set limits of a key; whether the app, if it is the organisation's, has such a valid one."""
    # Setting the id to itself lets a change of nothing find out the same.
    changed = db.execute(
        update(app_keys)
        .where(
            app_keys.c.org_id == org,
            app_keys.c.app_id == app,
            app_keys.c.id == key,
            app_keys.c.revoked_us.is_(None),
        )
        .values(id=key, **change)
    )
    return bool(changed.rowcount)


def _limits(row: Any) -> dict[str, Any]:  # noqa: ANN401 - SQLAlchemy's rows are typed by their query only
    return {
        "rate_limit": row.rate_limit,
        "tokens_per_minute": row.tokens_per_minute,
        "spending_limit": row.spending_limit_nano,
    }
