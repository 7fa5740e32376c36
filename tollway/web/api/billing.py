"""`/v1/billing`: what an organisation may spend."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from tollway.control import billing
from tollway.control.billing import Wanted
from tollway.domain.money import ZERO
from tollway.domain.standing import NearLimit
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.exact import Dollars, ExactRoute
from tollway.web.fields import Body
from tollway.web.record import PaymentDetailsShown, record_response

router = APIRouter(prefix="/v1/billing", tags=["billing"], route_class=ExactRoute)


class SpendingLimitsPut(Body):
    """Limits in dollars per billing cycle: 0 or null is none, what is left out stays as it is."""

    spending_limit_soft: Annotated[
        Dollars | None, Field(description="Crossing it raises an alert, once per cycle; nothing is refused.")
    ] = ZERO
    spending_limit_hard: Annotated[
        Dollars | None, Field(description="Never exceeded: a call that might is refused with 402.")
    ] = ZERO
    near_limit: Annotated[
        NearLimit,
        Field(description="What becomes of a call whose stated cap does not fit any more; refuse at first."),
    ] = "refuse"


@router.get("/limits", response_model=PaymentDetailsShown)
async def show_limits(person: ThePerson, world: TheWorld) -> Response:
    """The current organisation's payment details."""
    details = await world.database.read(
        billing.show_limits, person, world.settings.plans, world.clock.now_us()
    )
    return record_response(details)


@router.put("/limits", response_model=PaymentDetailsShown)
async def put_limits(body: SpendingLimitsPut, person: ThePerson, world: TheWorld) -> Response:
    """Limit what the current organisation spends; in force in every process within a second."""
    told = body.model_fields_set
    wanted = Wanted(
        soft=body.spending_limit_soft or ZERO if "spending_limit_soft" in told else None,
        hard=body.spending_limit_hard or ZERO if "spending_limit_hard" in told else None,
        near_limit=body.near_limit if "near_limit" in told else None,
    )
    details = await world.database.write(
        billing.put_limits, person, wanted, world.settings.plans, world.clock.now_us()
    )
    return record_response(details)
