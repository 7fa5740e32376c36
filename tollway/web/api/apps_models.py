"""`/v1/apps/{app_id}/models`: which models an app may ask for. All, unless they are switched off."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from tollway.control import apps_models
from tollway.domain.app import AppModel, AppModels
from tollway.web.api.apps import known_app
from tollway.web.bearer import ThePerson, TheWorld

router = APIRouter(prefix="/v1/apps/{app_id}/models", tags=["apps"])


class ModelSwitched(BaseModel):
    """The model, as it is for the app now."""

    success: bool = True
    model: AppModel
    active: bool


@router.get("", response_model=AppModels)
async def list_app_models(app_id: str, person: ThePerson, world: TheWorld) -> AppModels:
    """Every model there is, and whether it is on for the app."""
    names = world.gateway.catalog.names
    return await world.database.read(apps_models.list_app_models, person, known_app(app_id), names)


@router.put("/{model_id:path}/toggle", response_model=ModelSwitched)
async def switch_app_model(
    app_id: str,
    model_id: str,
    person: ThePerson,
    world: TheWorld,
    enable: Annotated[bool, Query(description="false switches it off.")] = True,
) -> ModelSwitched:
    """Switch a model, by its name, on or off for the app; in force in every process within a second."""
    model = await world.database.write(
        apps_models.switch_app_model,
        person,
        known_app(app_id),
        apps_models.find_listed(model_id, world.gateway.catalog),
        is_on=enable,
        now_us=world.clock.now_us(),
    )
    return ModelSwitched(model=model, active=model.active)
