"""`/v1/operator/orgs/{org_id}`: what only the operator sets, for any organisation."""

from typing import Annotated, cast

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from tollway.control import orgs
from tollway.domain.errors import NotFound
from tollway.domain.ids import OrgId, is_id
from tollway.domain.money import ZERO
from tollway.domain.org import DEFAULT_RATE_LIMIT_PER_MINUTE, Tier
from tollway.store.orgs import OrgChange
from tollway.web.bearer import TheOperator, TheWorld
from tollway.web.exact import Dollars, ExactRoute
from tollway.web.fields import Body, RatePerMinute, TokensPerMinute
from tollway.web.record import OrgRecord, record_response

router = APIRouter(
    prefix="/v1/operator", tags=["operator"], dependencies=[TheOperator], route_class=ExactRoute
)

_MAX_IN_FLIGHT = 10**6
_YEAR_10000_S = 253_402_300_800


class OrgPatch(Body):
    """What is left out stays as it is."""

    rate_limit: Annotated[RatePerMinute, Field(description="Requests per minute.")] = (
        DEFAULT_RATE_LIMIT_PER_MINUTE
    )
    tokens_per_minute: Annotated[TokensPerMinute | None, Field(description="Null is no limit.")] = None
    max_in_flight: Annotated[
        int | None,
        Field(ge=1, le=_MAX_IN_FLIGHT, description="Calls at once, in each process; null is no limit."),
    ] = None
    subscription_tier: Tier | None = None
    free_balance: Annotated[
        Dollars, Field(description="What the free balance is to be; what is missing is granted.")
    ] = ZERO
    trial_end: Annotated[
        int | None, Field(ge=0, lt=_YEAR_10000_S, description="Seconds since the epoch.")
    ] = None
    is_active: Annotated[bool, Field(description="An inactive organisation can only be read.")] = True


@router.patch("/orgs/{org_id}", response_model=OrgRecord)
async def change_org(org_id: str, body: OrgPatch, world: TheWorld) -> Response:
    """Set what only the operator sets; in force in every process within a second."""
    if not is_id(org_id):
        raise NotFound("there is no such organisation", code="organisation_not_found")
    change = body.model_dump(exclude_unset=True)
    balance = change.pop("free_balance", None)
    record = await world.database.write(
        orgs.change_org, OrgId(org_id), cast("OrgChange", change), balance, world.clock.now_us()
    )
    return record_response(record)
