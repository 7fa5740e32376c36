"""`/v1/apps`: apps, their keys and the limits of both."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from tollway.control import apps
from tollway.domain.body import PrivacyLevel
from tollway.domain.errors import NotFound
from tollway.domain.ids import AppId, KeyId, is_id
from tollway.store.app_limits import LimitsChange
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.exact import ExactRoute, PositiveDollars
from tollway.web.fields import Body, Link, Name, Prose, RatePerMinute, TokensPerMinute
from tollway.web.record import AppLimitsShown, KeyLimitsShown, record_response

router = APIRouter(prefix="/v1/apps", tags=["apps"], route_class=ExactRoute)


class AppCreate(Body):
    """An app to be; `benchmark_model` is what its savings are measured against."""

    name: Name
    description: Prose | None = None
    app_logo: Link | None = None
    benchmark_model: Name | None = None
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
        plans=world.settings.allowances,
        now_us=world.clock.now_us(),
    )


@router.delete("/{app_id}", response_model=AppRevoked)
async def revoke_app(app_id: str, person: ThePerson, world: TheWorld) -> AppRevoked:
    """Switch an app off: within a second its keys answer 403, in every process."""
    await world.database.write(apps.revoke_app, person, _app(app_id), world.clock.now_us())
    return AppRevoked(id=app_id)


@router.get("/{app_id}/limits", response_model=AppLimitsShown)
async def show_limits(app_id: str, person: ThePerson, world: TheWorld) -> Response:
    """The limits of an app and of its keys; null is none."""
    return record_response(await world.database.read(apps.show_limits, person, _app(app_id)))


@router.put("/{app_id}/limits", response_model=AppLimitsShown)
async def put_limits(app_id: str, body: LimitsPut, person: ThePerson, world: TheWorld) -> Response:
    """Limit an app, within what its organisation may do; in force in every process within a second."""
    shown = await world.database.write(
        apps.put_limits, person, _app(app_id), _change(body), world.clock.now_us()
    )
    return record_response(shown)


@router.put("/{app_id}/keys/{key_id}/limits", response_model=KeyLimitsShown)
async def put_key_limits(
    app_id: str, key_id: str, body: LimitsPut, person: ThePerson, world: TheWorld
) -> Response:
    """Limit one key, within what its app may do; in force in every process within a second."""
    app = _app(app_id)
    if not is_id(key_id):
        raise NotFound("the app has no such key", code="key_not_found")
    shown = await world.database.write(
        apps.put_key_limits, person, app, KeyId(key_id), _change(body), world.clock.now_us()
    )
    return record_response(shown)


def _app(app_id: str) -> AppId:
    if not is_id(app_id):
        raise NotFound("there is no such app in your current organisation", code="app_not_found")
    return AppId(app_id)


def _change(body: LimitsPut) -> LimitsChange:
    change = LimitsChange()
    if "rate_limit" in body.model_fields_set:
        change["rate_limit"] = body.rate_limit
    if "tokens_per_minute" in body.model_fields_set:
        change["tokens_per_minute"] = body.tokens_per_minute
    if "spending_limit" in body.model_fields_set:
        change["spending_limit_nano"] = body.spending_limit
    return change
