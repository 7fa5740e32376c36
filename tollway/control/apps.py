"""What people do with apps. Owns the operations; does not own the rows."""

from dataclasses import dataclass

from sqlalchemy import Connection

from tollway.control.access import permitted_org, require_active
from tollway.domain.caller import Person
from tollway.domain.errors import Fault, Invalid, NotFound, TollwayError
from tollway.domain.ids import AppId, OrgId
from tollway.domain.org import Permission
from tollway.domain.slug import slug_of
from tollway.domain.token import Bearer, ending, mint
from tollway.providers.catalog import Catalog
from tollway.store import apps
from tollway.store.changes import announce


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
    now_us: int,
) -> NewApp:
    """Make an app with a first key, in the person's current organisation."""
    org = permitted_org(person, Permission.EDITOR_APP)
    require_active(db, org)
    app = apps.create_app(
        db,
        org,
        slug=slug_of(name, "app"),
        name=name,
        description=description,
        logo=logo,
        benchmark_model=benchmark_model,
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
    org = permitted_org(person, Permission.EDITOR_APP)
    require_active(db, org)
    if not apps.revoke_app(db, org, app, now_us):
        raise NotFound(f"there is no active app {app} in your current organisation", code="app_not_found")
    announce(db, org, now_us)
