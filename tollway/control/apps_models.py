"""Models on and off for an app. Owns the operations; does not own the rows, or which models there are."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from tollway.control.access import acting_app, permitted_app
from tollway.control.apps import no_app
from tollway.domain.app import AppModel, AppModels
from tollway.domain.caller import Person
from tollway.domain.errors import ModelNotFound, NotPriced
from tollway.domain.ids import AppId
from tollway.domain.operation import Operation
from tollway.providers.catalog import Catalog
from tollway.store import apps, apps_models
from tollway.store.changes import announce


class Listed(NamedTuple):
    """A model that may be asked for: our name for it, and its vendor."""

    model: str
    vendor: str


def find_listed(name: str, catalog: Catalog) -> Listed | None:
    """The model of this name, whichever of its names it is. For the event loop, as the catalogue is."""
    try:
        model = catalog.resolve(name).model
    except (ModelNotFound, NotPriced):
        return None
    vendor = catalog.names.get(model)
    return None if vendor is None else Listed(model, vendor)


def list_app_models(db: Connection, person: Person, app: AppId, names: Mapping[str, str]) -> AppModels:
    """Every model there is, on or off for the app. Forbidden; NotFound."""
    org = permitted_app(db, person, Operation.LIST_APP_MODELS, app)
    if apps.find_app(db, org, app) is None:
        raise no_app()
    off = set(apps_models.list_models_off(db, org, app))
    models = [AppModel(id=name, provider=vendor, active=name not in off) for name, vendor in names.items()]
    return AppModels(active_models=sum(model.active for model in models), base_model_settings=models)


def switch_app_model(
    db: Connection, person: Person, app: AppId, listed: Listed | None, *, is_on: bool, now_us: int
) -> AppModel:
    """Switch a model on or off for the app, in every process. Forbidden; NotFound."""
    org = acting_app(db, person, Operation.SWITCH_APP_MODEL, app)
    if apps.lock_app(db, org, app) is None:
        raise no_app()
    if listed is None:
        raise ModelNotFound("no vendor here has this model; GET /v1/apps/{app_id}/models lists what there is")
    apps_models.switch_model(db, org, app, listed.model, is_on=is_on, now_us=now_us)
    announce(db, org, now_us)
    return AppModel(id=listed.model, provider=listed.vendor, active=is_on)
