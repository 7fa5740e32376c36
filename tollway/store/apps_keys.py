"""Keys of apps: an app's own one, and its named access tokens.

Owns the rows; does not own their limits (`app_limits.py`). Of a key only the hash and its end are
stored. A key that is made anew is another row, so that the ledger tells old from new.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from tollway.domain.caller import EVERY_KEY_PERMISSION, KeyPermission
from tollway.domain.ids import AppId, KeyId, OrgId, new_id
from tollway.domain.token import digest, ending
from tollway.store.schema import app_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key that was not revoked, but for the key itself. Times in microseconds."""

    id: KeyId
    name: str | None
    key_end: str
    permissions: frozenset[KeyPermission]
    added_us: int
    expires_us: int | None

    def is_expired(self, now_us: int) -> bool:
        """Whether it ended by itself."""
        return self.expires_us is not None and self.expires_us <= now_us


def key_permissions(words: str | None) -> frozenset[KeyPermission]:
    """What is stored of them, as they are."""
    return EVERY_KEY_PERMISSION if words is None else frozenset(map(KeyPermission, words.split()))


def add_key(db: Connection, org: OrgId, app: AppId, key: str, now_us: int) -> KeyId:
    """Store the hash of an app's new key."""
    id_ = KeyId(new_id(now_us))
    db.execute(
        insert(app_keys).values(
            id=id_, org_id=org, app_id=app, hash=digest(key), key_end=ending(key), added_us=now_us
        )
    )
    return id_


def replace_key(
    db: Connection,
    org: OrgId,
    app: AppId,
    key: str,
    *,
    name: str | None = None,
    permissions: Iterable[KeyPermission] | None = None,
    expires_us: int | None = None,
    now_us: int,
) -> StoredKey:
    """Store a key in place of those of this name (None: the app's own), with the newest one's limits.

    The app's row is to be locked, so that of two at once one ends the other.
    """
    same_name = app_keys.c.name.is_(None) if name is None else app_keys.c.name == name
    valid = (app_keys.c.org_id == org, app_keys.c.app_id == app, app_keys.c.revoked_us.is_(None), same_name)
    limits = ("rate_limit", "tokens_per_minute", "spending_limit_nano")
    old = (
        db.execute(
            select(*(app_keys.c[limit] for limit in limits))
            .where(*valid)
            .order_by(app_keys.c.added_us.desc(), app_keys.c.id.desc())
        )
        .mappings()
        .first()
    )
    db.execute(update(app_keys).where(*valid).values(revoked_us=now_us))
    id_ = add_key(db, org, app, key, now_us)
    words = None if permissions is None else " ".join(sorted(permissions))
    db.execute(
        update(app_keys)
        .where(app_keys.c.org_id == org, app_keys.c.id == id_)
        .values(name=name, permissions=words, expires_us=expires_us, **(old or {}))
    )
    return StoredKey(
        id=id_,
        name=name,
        key_end=ending(key),
        permissions=key_permissions(words),
        added_us=now_us,
        expires_us=expires_us,
    )


def list_keys(db: Connection, org: OrgId, app: AppId) -> list[StoredKey]:
    """The app's keys that were not revoked, the oldest first."""
    rows = db.execute(
        select(app_keys)
        .where(app_keys.c.org_id == org, app_keys.c.app_id == app, app_keys.c.revoked_us.is_(None))
        .order_by(app_keys.c.added_us, app_keys.c.id)
    )
    return [
        StoredKey(
            id=KeyId(row.id),
            name=row.name,
            key_end=row.key_end,
            permissions=key_permissions(row.permissions),
            added_us=row.added_us,
            expires_us=row.expires_us,
        )
        for row in rows
    ]


def count_tokens(db: Connection, org: OrgId, app: AppId, but: str) -> int:
    """How many access tokens of other names than this one the app has."""
    counted = select(func.count()).where(
        app_keys.c.org_id == org,
        app_keys.c.app_id == app,
        app_keys.c.revoked_us.is_(None),
        app_keys.c.name.is_not(None),
        app_keys.c.name != but,
    )
    return int(db.execute(counted).scalar_one())


def revoke_token(db: Connection, org: OrgId, app: AppId, key: KeyId, now_us: int) -> bool:
    """End an access token; whether the app has such a one that was not ended."""
    revoked = db.execute(
        update(app_keys)
        .where(
            app_keys.c.org_id == org,
            app_keys.c.app_id == app,
            app_keys.c.id == key,
            app_keys.c.name.is_not(None),
            app_keys.c.revoked_us.is_(None),
        )
        .values(revoked_us=now_us)
    )
    return bool(revoked.rowcount)
