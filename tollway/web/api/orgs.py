"""`/v1/orgs`: organisations, their record, and where their metrics and logs go."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field, StringConstraints
from starlette.responses import Response

from tollway.control import integrations, orgs
from tollway.control.access import current_org
from tollway.control.apps import require_priced
from tollway.control.integrations import Receiver
from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.moment import us_of
from tollway.domain.slug import ORG_NAME_CHARS, ORG_NAME_PATTERN
from tollway.store.record import read_cycles
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.fields import AuthUser, Body, Email, Link, Name, Token
from tollway.web.record import Cycles, OrgRecord, cycles_response, record_response

router = APIRouter(prefix="/v1/orgs", tags=["orgs"])

OrgName = Annotated[
    str,
    StringConstraints(pattern=ORG_NAME_PATTERN, min_length=ORG_NAME_CHARS[0], max_length=ORG_NAME_CHARS[1]),
    Field(description="A slug: lower-case letters, digits, single hyphens. It never changes."),
]


class OrgCreate(Body):
    """An organisation to be."""

    org_name: OrgName
    org_display_name: Name | None = None
    billing_email: Email | None = None
    benchmark_model: Annotated[
        Name | None, Field(description="What savings are measured against in apps that name no model.")
    ] = None
    privacy_level: Annotated[
        PrivacyLevel, Field(description="1 keeps prompts and answers; 2 and 3 keep neither.")
    ] = DEFAULT_PRIVACY_LEVEL


class IntegrationItem(Body):
    """A receiver, and the user (`id`) and password (`token`) of its HTTP basic auth."""

    id: AuthUser
    token: Annotated[
        Token, Field(description="Or the masked form last answered, which keeps the stored one.")
    ]
    endpoint: Annotated[
        Link,
        StringConstraints(min_length=1),
        Field(description="The push URL itself: …/api/prom/push, …/api/v1/write or …/loki/api/v1/push."),
    ]


class IntegrationsUpdate(Body):
    """What is left out stays as it is; null removes."""

    prom: IntegrationItem | None = None
    loki: IntegrationItem | None = None


@router.post("", status_code=201, response_model=OrgRecord)
async def create_org(body: OrgCreate, person: ThePerson, world: TheWorld) -> Response:
    """Make an organisation; it is current for its creator, who may do everything in it."""
    if body.benchmark_model is not None:
        require_priced(world.gateway.catalog, body.benchmark_model)
    made = await world.database.write(
        orgs.create_org,
        person,
        org_name=body.org_name,
        display_name=body.org_display_name,
        billing_email=body.billing_email or "",
        benchmark_model=body.benchmark_model,
        privacy_level=body.privacy_level,
        opening=world.settings.opening,
        now_us=world.clock.now_us(),
    )
    return record_response(made, 201)


@router.get("/current", response_model=OrgRecord)
async def show_org(person: ThePerson, world: TheWorld) -> Response:
    """The record of the current organisation."""
    return record_response(await world.database.read(orgs.show_org, person, world.clock.now_us()))


@router.get("/cycles", response_model=Cycles)
async def list_cycles(
    person: ThePerson,
    world: TheWorld,
    limit: Annotated[int, Query(ge=1, le=100, description="At most so many.")] = 12,
    before: Annotated[
        AwareDatetime | None,
        Query(description="Only those that start before; the last `start` seen."),
    ] = None,
) -> Response:
    """The current organisation's billing cycles with what each came to, newest first."""
    found = await world.database.read(
        read_cycles,
        current_org(person),
        world.clock.now_us(),
        before_us=None if before is None else us_of(before),
        limit=limit + 1,
    )
    return cycles_response(found[:limit], has_more=len(found) > limit)


@router.put("/integrations", response_model=OrgRecord)
async def put_integrations(body: IntegrationsUpdate, person: ThePerson, world: TheWorld) -> Response:
    """Where the current organisation's metrics (`prom`) and logs (`loki`) are pushed to."""
    wanted = {
        kind: _receiver(getattr(body, kind)) for kind in integrations.KINDS if kind in body.model_fields_set
    }
    record = await integrations.put_integrations(
        world.database,
        person,
        wanted,
        vault=world.vault,
        allowed=world.settings.push_allowed,
        now_us=world.clock.now_us(),
    )
    return record_response(record)


def _receiver(item: IntegrationItem | None) -> Receiver | None:
    if item is None:
        return None
    return Receiver(user=item.id, token=item.token, endpoint=item.endpoint)
