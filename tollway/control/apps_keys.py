"""What people do with an app's keys: its own one, and named access tokens.

Owns the operations and how many tokens an app may have; does not own the rows. A new key is shown
once; the one in whose place it comes ends in every process within a second.
"""

from dataclasses import asdict

from sqlalchemy import Connection

from tollway.control.access import acting_app, permitted_app
from tollway.control.apps import NewApp, no_app
from tollway.domain.app import AccessToken, NewAccessToken
from tollway.domain.caller import KeyPermission, Person
from tollway.domain.clock import moment
from tollway.domain.errors import Conflict, Fault, Invalid, NotFound
from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.operation import Operation
from tollway.domain.token import Bearer, ending, mint
from tollway.store import apps, apps_keys
from tollway.store.apps_keys import StoredKey
from tollway.store.changes import announce

MAX_ACCESS_TOKENS = 100


def regenerate_key(db: Connection, person: Person, app: AppId, now_us: int) -> NewApp:
    """Make the app's own key anew; the old one ends. Forbidden; NotFound."""
    org = acting_app(db, person, Operation.REGENERATE_KEY, app)
    row = apps.lock_app(db, org, app)
    if row is None:
        raise no_app()
    key = mint(Bearer.APP)
    apps_keys.replace_key(db, org, app, key, now_us=now_us)
    announce(db, org, now_us)
    return NewApp(
        id=app,
        org_id=org,
        created_key=key,
        key_end=ending(key),
        name=row.name,
        description=row.description,
    )


def list_access_tokens(db: Connection, person: Person, app: AppId, now_us: int) -> list[AccessToken]:
    """The app's access tokens, expired ones too, the oldest first. Forbidden; NotFound."""
    org = permitted_app(db, person, Operation.LIST_ACCESS_TOKENS, app)
    if apps.find_app(db, org, app) is None:
        raise no_app()
    return [
        _shown(key, key.name, now_us) for key in apps_keys.list_keys(db, org, app) if key.name is not None
    ]


def put_access_token(
    db: Connection,
    person: Person,
    app: AppId,
    *,
    name: str,
    permissions: frozenset[KeyPermission],
    expires_us: int | None,
    now_us: int,
) -> NewAccessToken:
    """Make an access token, in place of the one of this name. Forbidden; NotFound; Conflict; Invalid."""
    org = acting_app(db, person, Operation.PUT_ACCESS_TOKEN, app)
    if expires_us is not None and expires_us <= now_us:
        raise Invalid(Fault(loc=("body", "expires_on"), msg="this is in the past", type="value_error"))
    if apps.lock_app(db, org, app) is None:
        raise no_app()
    _require_room(db, org, app, name)
    secret = mint(Bearer.APP)
    made = apps_keys.replace_key(
        db, org, app, secret, name=name, permissions=permissions, expires_us=expires_us, now_us=now_us
    )
    announce(db, org, now_us)
    return NewAccessToken(secret=secret, **asdict(_shown(made, name, now_us)))


def revoke_access_token(db: Connection, person: Person, app: AppId, token: KeyId, now_us: int) -> None:
    """End an access token of the app, in every process. Forbidden; NotFound."""
    org = acting_app(db, person, Operation.REVOKE_ACCESS_TOKEN, app)
    if apps.lock_app(db, org, app) is None:
        raise no_app()
    if not apps_keys.revoke_token(db, org, app, token, now_us):
        raise no_token()
    announce(db, org, now_us)


def no_token() -> NotFound:
    """The same for an id that is nobody's, that of a token which ended, and that of an app's own key."""
    return NotFound("the app has no such access token", code="access_token_not_found")


def _require_room(db: Connection, org: OrgId, app: AppId, name: str) -> None:
    if apps_keys.count_tokens(db, org, app, but=name) >= MAX_ACCESS_TOKENS:
        raise Conflict(
            f"the app has {MAX_ACCESS_TOKENS} access tokens, which is the most: delete one first",
            code="too_many_tokens",
        )


def _shown(key: StoredKey, name: str, now_us: int) -> AccessToken:
    return AccessToken(
        id=key.id,
        name=name,
        key_suffix=key.key_end,
        permissions=sorted(key.permissions),
        added_on=moment(key.added_us),
        expires_on=None if key.expires_us is None else moment(key.expires_us),
        is_expired=key.is_expired(now_us),
    )
