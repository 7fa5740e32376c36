"""What people do with apps: make, list, change, limit, end.

Owns the operations; does not own the rows, or keys (`apps_keys.py`).
"""

from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy import Connection

from tollway.control.access import acting_app, acting_org, current_org, permitted_app
from tollway.domain.app import AppKey, AppMain, AppPage, AppSettings, TuningChange, merged
from tollway.domain.body import PrivacyLevel
from tollway.domain.caller import Person
from tollway.domain.clock import moment
from tollway.domain.errors import Fault, Invalid, NotFound, PlanExhausted, TollwayError
from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.operation import Operation
from tollway.domain.org import Permission
from tollway.domain.plan import NO_PLAN, UNLIMITED, Plans
from tollway.domain.slug import slug_of
from tollway.domain.subscription import NO_PLANS
from tollway.domain.token import Bearer, ending, mint
from tollway.providers.catalog import Catalog
from tollway.store import app_limits, apps, apps_keys, apps_models
from tollway.store.app_limits import AppLimits, KeyLimits, LimitsChange
from tollway.store.changes import announce
from tollway.store.orgs import count_apps, lock_tier


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApp:
    """An app just made; `created_key` is shown this once."""

    id: AppId
    org_id: OrgId
    created_key: str
    key_end: str
    name: str
    description: str | None


class AppColumns(TypedDict, total=False):
    """What may be set of an app; what is left out stays."""

    name: str
    description: str | None
    app_logo: str | None
    benchmark_model: str | None
    privacy_level: PrivacyLevel | None
    has_failover_chain: bool


class AppChange(TypedDict):
    """A change of an app."""

    columns: AppColumns
    tuning: TuningChange


def require_priced(catalog: Catalog, benchmark_model: str) -> None:
    """Invalid for a benchmark model without a known price."""
    try:
        catalog.benchmark(benchmark_model)
    except TollwayError as error:
        fault = Fault(loc=("body", "benchmark_model"), msg=str(error), type=error.code)
        raise Invalid(fault) from None


def create_app(
    db: Connection,
    person: Person,
    *,
    name: str,
    description: str | None,
    logo: str | None,
    benchmark_model: str | None,
    privacy_level: PrivacyLevel | None = None,
    sandbox_of: AppId | None = None,
    plans: Plans = NO_PLANS,
    now_us: int,
) -> NewApp:
    """Make an app with a first key, in the person's current organisation.

    Forbidden; PlanExhausted; Invalid for a sandbox of what is not an app of its own there.
    """
    org = acting_org(db, person, Operation.CREATE_APP)
    _require_room(db, org, plans)
    if sandbox_of is not None:
        _require_parent(db, org, sandbox_of)
    app = apps.create_app(
        db,
        org,
        slug=slug_of(name, "app"),
        name=name,
        description=description,
        logo=logo,
        benchmark_model=benchmark_model,
        privacy_level=privacy_level,
        sandbox_of=sandbox_of,
        creator=person.id,
        now_us=now_us,
    )
    key = mint(Bearer.APP)
    apps_keys.add_key(db, org, app, key, now_us)
    return NewApp(
        id=app, org_id=org, created_key=key, key_end=ending(key), name=name, description=description
    )


def list_apps(db: Connection, person: Person, *, search: str, page: int, size: int) -> AppPage:
    """A page of the current organisation's apps: all for a viewer:app, else those one has a role in."""
    sees_all = person.permissions & {Permission.VIEWER_APP, Permission.ADMIN_APP}
    return apps.list_apps(
        db,
        current_org(person),
        search=search,
        of_member=None if sees_all else person.id,
        page=page,
        size=size,
    )


def show_app(db: Connection, person: Person, app: AppId) -> AppSettings:
    """An app of the current organisation, with its keys' ends and its sandboxes. Forbidden; NotFound."""
    return _settings(db, permitted_app(db, person, Operation.SHOW_APP, app), app)


def update_app(db: Connection, person: Person, app: AppId, change: AppChange, now_us: int) -> AppSettings:
    """Change what is named of an app, in every process. Forbidden; NotFound."""
    org = acting_app(db, person, Operation.UPDATE_APP, app)
    row = apps.lock_app(db, org, app)
    if row is None:
        raise no_app()
    tuning = merged(row.tuning or {}, change["tuning"])
    apps.update_app(db, org, app, {**change["columns"], "tuning": tuning}, person.id, now_us)
    announce(db, org, now_us)
    return _settings(db, org, app)


def revoke_app(db: Connection, person: Person, app: AppId, now_us: int) -> None:
    """Switch an app off, and its sandboxes, in every process. Forbidden; NotFound."""
    org = acting_app(db, person, Operation.REVOKE_APP, app)
    if not apps.revoke_app(db, org, app, now_us):
        raise no_app()
    announce(db, org, now_us)


def show_limits(db: Connection, person: Person, app: AppId) -> AppLimits:
    """The limits of an app of the current organisation, and of its keys. Forbidden; NotFound."""
    return _limits(db, permitted_app(db, person, Operation.SHOW_APP_LIMITS, app), app)


def put_limits(db: Connection, person: Person, app: AppId, change: LimitsChange, now_us: int) -> AppLimits:
    """Set limits of an app of the current organisation, in every process. Forbidden; NotFound."""
    org = acting_app(db, person, Operation.PUT_APP_LIMITS, app)
    if not app_limits.change_app_limits(db, org, app, change, now_us):
        raise no_app()
    announce(db, org, now_us)
    return _limits(db, org, app)


def put_key_limits(
    db: Connection, person: Person, app: AppId, key: KeyId, change: LimitsChange, now_us: int
) -> KeyLimits:
    """The same of one of the app's keys."""
    org = acting_app(db, person, Operation.PUT_KEY_LIMITS, app)
    _limits(db, org, app)
    if not app_limits.change_key_limits(db, org, app, key, change):
        raise NotFound(f"the app {app} has no valid key {key}", code="key_not_found")
    announce(db, org, now_us)
    return next(shown for shown in _limits(db, org, app).keys if shown.id == key)


def _settings(db: Connection, org: OrgId, app: AppId) -> AppSettings:
    found = apps.find_app(db, org, app)
    if found is None:
        raise no_app()
    keys = [
        AppKey(
            id=key.id,
            key_end=key.key_end,
            name=key.name,
            added_on=moment(key.added_us),
            expires_on=None if key.expires_us is None else moment(key.expires_us),
        )
        for key in apps_keys.list_keys(db, org, app)
    ]
    main = AppMain(app=found, keys=keys, models_off=apps_models.list_models_off(db, org, app))
    return AppSettings(main=main, sandboxes=apps.list_sandboxes(db, org, app))


def _require_parent(db: Connection, org: OrgId, parent: AppId) -> None:
    """Invalid for what is no active app, or a sandbox itself. Locked, so that it stays one until the end."""
    row = apps.lock_app(db, org, parent)
    wrong = None
    if row is None:
        wrong = "there is no such active app in your current organisation"
    elif row.sandbox_of is not None:
        wrong = "this is a sandbox, and has none of its own"
    if wrong:
        raise Invalid(Fault(loc=("body", "sandbox_of"), msg=wrong, type="value_error"))


def _limits(db: Connection, org: OrgId, app: AppId) -> AppLimits:
    found = app_limits.app_limits(db, org, app)
    if found is None:
        raise no_app()
    return found


def no_app() -> NotFound:
    """The same for an app of another organisation and for one that nobody has."""
    return NotFound("there is no such active app in your current organisation", code="app_not_found")


def _require_room(db: Connection, org: OrgId, plans: Plans) -> None:
    """PlanExhausted if the organisation's plan has no app left; nobody else can take it until the end."""
    tier = lock_tier(db, org)
    allowed = plans.get(tier or "", NO_PLAN).max_apps
    if allowed != UNLIMITED and count_apps(db, org) >= allowed:
        raise PlanExhausted(
            f"the organisation's plan, {tier}, allows {allowed} active apps; revoke one, "
            "or have an admin of the organisation change its subscription"
        )
