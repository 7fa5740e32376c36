"""`/v1/apps`: apps, and the limits of apps and of their keys."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tollway.control import apps
from tollway.control.apps import AppChange, AppColumns
from tollway.domain.app import (
    DEFAULT_MAX_COST,
    MAX_SAME_MODEL_RETRIES,
    MAX_SWITCH_MODEL_RETRIES,
    MAX_TOKENS,
    MAX_WEIGHT,
    TuningChange,
)
from tollway.domain.body import PrivacyLevel
from tollway.domain.errors import NotFound
from tollway.domain.ids import AppId, KeyId, is_id
from tollway.store.app_limits import LimitsChange
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.exact import Decimal, ExactRoute, PositiveDollars
from tollway.web.fields import Body, Line, Link, Name, Prose, RatePerMinute, TokensPerMinute
from tollway.web.record import (
    AppLimitsShown,
    AppPageShown,
    AppSettingsShown,
    KeyLimitsShown,
    record_response,
)

MAX_PAGE = 10**6

Weight = Annotated[Decimal, Field(ge=0, le=MAX_WEIGHT)]

router = APIRouter(prefix="/v1/apps", tags=["apps"], route_class=ExactRoute)


class AppCreate(Body):
    """An app to be; `benchmark_model` is what its savings are measured against."""

    name: Name
    description: Prose | None = None
    app_logo: Link | None = None
    benchmark_model: Name | None = None
    sandbox_of: Annotated[
        Line | None, Field(description="The app that it is a sandbox of; it ends with that.")
    ] = None
    privacy_level: Annotated[
        PrivacyLevel | None, Field(description="Of its calls; null: the organisation's.")
    ] = None


class AppCreated(Body):
    """A new app; the key is shown this once."""

    id: str
    org_id: str
    created_key: str
    key_end: str
    name: str
    description: str | None


class WeightsPut(Body):
    """What is left out stays; only the proportions matter."""

    cost: Weight = 0
    latency: Weight = 0
    quality: Weight = 1


class PoliciesPut(Body):
    """What is left out stays."""

    privacy_level: Annotated[PrivacyLevel | None, Field(description="Null: the organisation's.")] = None
    max_cost: Annotated[PositiveDollars, Field(description="The most that a call may cost, in dollars.")] = (
        DEFAULT_MAX_COST
    )
    max_same_model_retries: Annotated[int, Field(ge=0, le=MAX_SAME_MODEL_RETRIES)] = 1
    max_switch_model_retries: Annotated[int, Field(ge=0, le=MAX_SWITCH_MODEL_RETRIES)] = 1
    optimize_internal_requests: Literal[0, 1] = 0


class SettingsPut(Body):
    """What is left out stays."""

    instructions: Prose | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = 4_096
    temperature: Annotated[Decimal, Field(ge=0, le=1)] = 0.7


class AppUpdate(Body):
    """A change of an app; what is left out stays as it is."""

    id: Annotated[Line, Field(description="The app's.")]
    name: Name = ""
    description: Prose | None = None
    app_logo: Link | None = None
    benchmark_model: Annotated[Name | None, Field(description="Null: the organisation's.")] = None
    has_failover_chain: bool = False
    weights: WeightsPut = WeightsPut()
    policies: PoliciesPut = PoliciesPut()
    settings: SettingsPut = SettingsPut()


class AppRevoked(Body):
    """The app that was switched off."""

    id: str


class LimitsPut(Body):
    """Limits of an app or a key: null is none, what is left out stays as it is."""

    rate_limit: Annotated[RatePerMinute | None, Field(description="Requests per minute.")] = None
    tokens_per_minute: Annotated[
        TokensPerMinute | None, Field(description="Tokens per minute, prompts and completions.")
    ] = None
    spending_limit: Annotated[
        PositiveDollars | None, Field(description="Dollars per billing cycle of the organisation.")
    ] = None


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
        privacy_level=body.privacy_level,
        sandbox_of=None if body.sandbox_of is None else AppId(body.sandbox_of),
        plans=world.settings.allowances,
        now_us=world.clock.now_us(),
    )


@router.post("", response_model=AppPageShown)
async def list_apps(
    person: ThePerson,
    world: TheWorld,
    search: Annotated[Line, Query(description="In the name, the slug or the description.")] = "",
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
    size: Annotated[int, Query(ge=1, le=100)] = 40,
) -> Response:
    """The current organisation's apps that one may see, the newest first. Takes no body."""
    found = await world.database.read(apps.list_apps, person, search=search, page=page, size=size)
    return record_response(found)


@router.put("/update", response_model=AppSettingsShown)
async def update_app(body: AppUpdate, person: ThePerson, world: TheWorld) -> Response:
    """Change an app; what is left out stays. In force in every process within a second."""
    if body.benchmark_model is not None:
        apps.require_priced(world.gateway.catalog, body.benchmark_model)
    app = known_app(body.id)
    shown = await world.database.write(apps.update_app, person, app, _changed(body), world.clock.now_us())
    return record_response(shown)


@router.get("/{app_id}", response_model=AppSettingsShown)
async def show_app(app_id: str, person: ThePerson, world: TheWorld) -> Response:
    """An app: how it is set up, the ends of its keys, models that are off, and its sandboxes."""
    return record_response(await world.database.read(apps.show_app, person, known_app(app_id)))


@router.delete("/{app_id}", response_model=AppRevoked)
async def revoke_app(app_id: str, person: ThePerson, world: TheWorld) -> AppRevoked:
    """Switch an app off: within a second its keys answer 403, in every process."""
    await world.database.write(apps.revoke_app, person, known_app(app_id), world.clock.now_us())
    return AppRevoked(id=app_id)


@router.get("/{app_id}/limits", response_model=AppLimitsShown)
async def show_limits(app_id: str, person: ThePerson, world: TheWorld) -> Response:
    """The limits of an app and of its keys; null is none."""
    return record_response(await world.database.read(apps.show_limits, person, known_app(app_id)))


@router.put("/{app_id}/limits", response_model=AppLimitsShown)
async def put_limits(app_id: str, body: LimitsPut, person: ThePerson, world: TheWorld) -> Response:
    """Limit an app, within what its organisation may do; in force in every process within a second."""
    shown = await world.database.write(
        apps.put_limits, person, known_app(app_id), _change(body), world.clock.now_us()
    )
    return record_response(shown)


@router.put("/{app_id}/keys/{key_id}/limits", response_model=KeyLimitsShown)
async def put_key_limits(
    app_id: str, key_id: str, body: LimitsPut, person: ThePerson, world: TheWorld
) -> Response:
    """Limit one key, within what its app may do; in force in every process within a second."""
    app = known_app(app_id)
    if not is_id(key_id):
        raise NotFound("the app has no such key", code="key_not_found")
    shown = await world.database.write(
        apps.put_key_limits, person, app, KeyId(key_id), _change(body), world.clock.now_us()
    )
    return record_response(shown)


def known_app(app_id: str) -> AppId:
    """The id, if it can be one; NotFound."""
    if not is_id(app_id):
        raise apps.no_app()
    return AppId(app_id)


def _changed(body: AppUpdate) -> AppChange:
    set_ = body.model_fields_set
    columns: AppColumns = {}
    if "name" in set_:
        columns["name"] = body.name
    if "description" in set_:
        columns["description"] = body.description
    if "app_logo" in set_:
        columns["app_logo"] = body.app_logo
    if "benchmark_model" in set_:
        columns["benchmark_model"] = body.benchmark_model
    if "has_failover_chain" in set_:
        columns["has_failover_chain"] = body.has_failover_chain
    if "privacy_level" in body.policies.model_fields_set:
        columns["privacy_level"] = body.policies.privacy_level
    tuning: TuningChange = {
        "weights": body.weights.model_dump(exclude_unset=True),
        "policies": body.policies.model_dump(exclude_unset=True, exclude={"privacy_level"}),
        "settings": body.settings.model_dump(exclude_unset=True),
    }
    return AppChange(columns=columns, tuning=tuning)


def _change(body: LimitsPut) -> LimitsChange:
    change = LimitsChange()
    if "rate_limit" in body.model_fields_set:
        change["rate_limit"] = body.rate_limit
    if "tokens_per_minute" in body.model_fields_set:
        change["tokens_per_minute"] = body.tokens_per_minute
    if "spending_limit" in body.model_fields_set:
        change["spending_limit_nano"] = body.spending_limit
    return change
