"""What people do with apps. Owns the operations; does not own the rows."""

from dataclasses import dataclass

from sqlalchemy import Connection

from tollway.control.access import acting_org, permitted_org
from tollway.domain.body import PrivacyLevel
from tollway.domain.caller import Person
from tollway.domain.errors import Fault, Invalid, NotFound, PlanExhausted, TollwayError
from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.operation import Operation
from tollway.domain.plan import NO_PLAN, UNLIMITED, Plans
from tollway.domain.slug import slug_of
from tollway.domain.subscription import NO_PLANS
from tollway.domain.token import Bearer, ending, mint
from tollway.providers.catalog import Catalog
from tollway.store import app_limits, apps
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
    plans: Plans = NO_PLANS,
    now_us: int,
) -> NewApp:
    """Make an app with a first key, in the person's current organisation. Forbidden; PlanExhausted."""
    org = acting_org(db, person, Operation.CREATE_APP)
    _require_room(db, org, plans)
    app = apps.create_app(
        db,
        org,
        slug=slug_of(name, "app"),
        name=name,
        description=description,
        logo=logo,
        benchmark_model=benchmark_model,
        privacy_level=privacy_level,
        creator=person.id,
        now_us=now_us,
    )
    key = mint(Bearer.APP)
    apps.add_key(db, org, app, key, now_us)
    return NewApp(
        id=app, org_id=org, created_key=key, key_end=ending(key), name=name, description=description
    )


def revoke_app(db: Connection, person: Person, app: AppId, now_us: int) -> None:
    """Switch an app of the current organisation off, in every process; NotFound if it has none such."""
    org = acting_org(db, person, Operation.REVOKE_APP)
    if not apps.revoke_app(db, org, app, now_us):
        raise _no_app(app)
    announce(db, org, now_us)


def show_limits(db: Connection, person: Person, app: AppId) -> AppLimits:
    """The limits of an app of the current organisation, and of its keys. Forbidden; NotFound."""
    return _limits(db, permitted_org(person, Operation.SHOW_APP_LIMITS), app)


def put_limits(db: Connection, person: Person, app: AppId, change: LimitsChange, now_us: int) -> AppLimits:
    """Set limits of an app of the current organisation, in every process. Forbidden; NotFound."""
    org = acting_org(db, person, Operation.PUT_APP_LIMITS)
    if not app_limits.change_app_limits(db, org, app, change, now_us):
        raise _no_app(app)
    announce(db, org, now_us)
    return _limits(db, org, app)


def put_key_limits(
    db: Connection, person: Person, app: AppId, key: KeyId, change: LimitsChange, now_us: int
) -> KeyLimits:
    """The same of one of the app's keys."""
    org = acting_org(db, person, Operation.PUT_KEY_LIMITS)
    _limits(db, org, app)
    if not app_limits.change_key_limits(db, org, app, key, change):
        raise NotFound(f"the app {app} has no valid key {key}", code="key_not_found")
    announce(db, org, now_us)
    return next(shown for shown in _limits(db, org, app).keys if shown.id == key)


def _limits(db: Connection, org: OrgId, app: AppId) -> AppLimits:
    found = app_limits.app_limits(db, org, app)
    if found is None:
        raise _no_app(app)
    return found


def _no_app(app: AppId) -> NotFound:
    return NotFound(f"there is no active app {app} in your current organisation", code="app_not_found")


def _require_room(db: Connection, org: OrgId, plans: Plans) -> None:
    """PlanExhausted if the organisation's plan has no app left; nobody else can take it until the end."""
    tier = lock_tier(db, org)
    allowed = plans.get(tier or "", NO_PLAN).max_apps
    if allowed != UNLIMITED and count_apps(db, org) >= allowed:
        raise PlanExhausted(
            f"the organisation's plan, {tier}, allows {allowed} active apps; revoke one, "
            "or have an admin of the organisation change its subscription"
        )
