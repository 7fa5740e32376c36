"""`/v1/apps`: apps and their keys."""

from fastapi import APIRouter

from tollway.control import apps
from tollway.domain.errors import NotFound
from tollway.domain.ids import AppId, is_id
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.fields import Body, Link, Name, Prose

router = APIRouter(prefix="/v1/apps", tags=["apps"])


class AppCreate(Body):
    """An app to be; `benchmark_model` is what its savings are measured against."""

    name: Name
    description: Prose | None = None
    app_logo: Link | None = None
    benchmark_model: Name | None = None


class AppCreated(Body):
    """A new app; the key is shown this once."""

    id: str
    org_id: str
    created_key: str
    key_end: str
    name: str
    description: str | None


class AppRevoked(Body):
    """The app that was switched off."""

    id: str


@router.post("/create", status_code=201, response_model=AppCreated)
async def create_app(body: AppCreate, person: ThePerson, world: TheWorld) -> apps.NewApp:
    """Make an app, with a first key, in the current organisation."""
    if body.benchmark_model is not None:
        apps.require_priced(world.gateway.catalog, body.benchmark_model)
    return await world.database.write(
        apps.create_app,
        person,
        name=body.name,
        description=body.description,
        logo=body.app_logo,
        benchmark_model=body.benchmark_model,
        now_us=world.clock.now_us(),
    )


@router.delete("/{app_id}", response_model=AppRevoked)
async def revoke_app(app_id: str, person: ThePerson, world: TheWorld) -> AppRevoked:
    """Switch an app off: within a second its keys answer 403, in every process."""
    if not is_id(app_id):
        raise NotFound("there is no such app in your current organisation", code="app_not_found")
    await world.database.write(apps.revoke_app, person, AppId(app_id), world.clock.now_us())
    return AppRevoked(id=app_id)
