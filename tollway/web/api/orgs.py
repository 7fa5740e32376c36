"""`/v1/orgs`: organisations, their record, and where their metrics and logs go."""

from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from tollway.control import delivery, integrations, orgs
from tollway.control.access import permitted_org
from tollway.control.apps import require_priced
from tollway.control.delivery import ReceiverStatus
from tollway.control.integrations import Receiver
from tollway.control.orgs import no_org
from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.deletion import DeletedOrg
from tollway.domain.ids import OrgId, is_id
from tollway.domain.membership import UserOrgAccess
from tollway.domain.moment import us_of
from tollway.domain.operation import Operation
from tollway.domain.slug import ORG_NAME_CHARS, ORG_NAME_PATTERN
from tollway.push.probe import Answer
from tollway.store.orgs import OrgDetails, is_name_taken
from tollway.store.record import read_cycles
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.etag import IfMatch, IfNoneMatch, revisions, tagged, unless_known
from tollway.web.fields import AuthUser, Body, Email, Instant, Line, Link, Name, Token
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


class OrgNameCheck(Body):
    """A name that somebody thinks of."""

    org_name: OrgName


class OrgNameChecked(BaseModel):
    """Whether an organisation may be made of this name now."""

    org_name: str
    is_available: bool


class OrgUpdate(Body):
    """What is left out stays as it is; null empties. The slug, `org_name`, may only be repeated."""

    id: Annotated[str | None, Field(description="Of the current organisation.")] = None
    org_name: Annotated[str | None, Field(description="Never changes; may be left out.")] = None
    org_display_name: Name | None = None
    org_logo: Link | None = None
    billing_email: Email | None = None
    address_1: Line | None = None
    address_2: Line | None = None
    address_city: Line | None = None
    address_zip: Line | None = None
    address_state: Line | None = None
    address_country: Line | None = None
    currency: Annotated[
        Literal["usd", "USD"] | None, Field(description="There is no other; may be left out.")
    ] = None


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


class IntegrationsTried(Body):
    """Receivers to probe, each complete; with none, those that are stored."""

    prom: IntegrationItem | None = None
    loki: IntegrationItem | None = None


class IntegrationsStatus(BaseModel):
    """How the organisation's receivers are served."""

    prom: ReceiverStatus
    loki: ReceiverStatus


class ProbeAnswer(BaseModel):
    """What a receiver answered to a probe."""

    ok: Annotated[bool, Field(description="Whether it took what it was sent.")]
    status: Annotated[int | None, Field(description="HTTP; null if it did not answer.")]
    answer: Annotated[str | None, Field(description="In its own words, without secrets.")]
    protocol: Annotated[str | None, Field(description="prom: the version of remote write it understood.")]


class IntegrationsTest(BaseModel):
    """Null where there is no such receiver, or it was not asked for."""

    prom: ProbeAnswer | None
    loki: ProbeAnswer | None


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


@router.post("/check-name", response_model=OrgNameChecked)
async def check_org_name(body: OrgNameCheck, _person: ThePerson, world: TheWorld) -> OrgNameChecked:
    """Whether a name is free; one of a deleted organisation is not, as long as its ledger is kept."""
    is_taken = await world.database.read(is_name_taken, body.org_name)
    return OrgNameChecked(org_name=body.org_name, is_available=not is_taken)


@router.get("/list", response_model=list[UserOrgAccess])
async def list_orgs(person: ThePerson, world: TheWorld) -> list[UserOrgAccess]:
    """The organisations that the caller is in."""
    return await world.database.read(orgs.list_orgs, person)


@router.patch("/switch/{org_id}", response_model=UserOrgAccess)
async def switch_org(org_id: str, person: ThePerson, world: TheWorld) -> UserOrgAccess:
    """Make another organisation current for the caller, with all of their tokens."""
    if not is_id(org_id):
        raise no_org()
    return await world.database.write(orgs.switch_org, person, OrgId(org_id))


@router.put("/update", response_model=OrgRecord)
async def update_org(
    body: OrgUpdate, person: ThePerson, world: TheWorld, if_match: IfMatch = None
) -> Response:
    """Change the current organisation's names, logo, address and billing e-mail."""
    told = body.model_dump(exclude_unset=True, exclude={"currency"})
    org_id, org_name = told.pop("id", None), told.pop("org_name", None)
    may_be_null = ("org_display_name", "org_logo")
    details = {name: value if name in may_be_null else value or "" for name, value in told.items()}
    record = await world.database.write(
        orgs.update_org,
        person,
        cast("OrgDetails", details),
        org_id=org_id,
        org_name=org_name,
        revisions=revisions(if_match),
        now_us=world.clock.now_us(),
    )
    return tagged(record_response(record), record.modified_on)


@router.post("/deactivate", response_model=OrgRecord)
async def deactivate_org(person: ThePerson, world: TheWorld) -> Response:
    """Switch the current organisation off: within a second its keys answer 403, in every process.

    It can only be read then, or deleted; the operator can switch it on again.
    """
    return record_response(await world.database.write(orgs.deactivate_org, person, world.clock.now_us()))


@router.delete("/current", response_model=DeletedOrg)
async def delete_org(
    person: ThePerson,
    world: TheWorld,
    org_name: Annotated[str, Query(description="The organisation's, repeated: there is no way back.")],
) -> DeletedOrg:
    """Delete the current organisation: within a second its keys answer 401, and nobody is in it any more.

    Of what was stored only the ledger is left, as long as the law may ask for it.
    """
    return await world.database.write(orgs.delete_org, person, org_name, world.clock.now_us())


@router.get("/current", response_model=OrgRecord)
async def show_org(person: ThePerson, world: TheWorld, if_none_match: IfNoneMatch = None) -> Response:
    """The record of the current organisation."""
    record = await world.database.read(orgs.show_org, person, world.clock.now_us())
    return unless_known(tagged(record_response(record), record.modified_on), if_none_match)


@router.get("/cycles", response_model=Cycles)
async def list_cycles(
    person: ThePerson,
    world: TheWorld,
    limit: Annotated[int, Query(ge=1, le=100, description="At most so many.")] = 12,
    before: Annotated[
        Instant | None,
        Query(description="Only those that start before; the last `start` seen."),
    ] = None,
) -> Response:
    """The current organisation's billing cycles with what each came to, newest first."""
    found = await world.database.read(
        read_cycles,
        permitted_org(person, Operation.LIST_CYCLES),
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
        outbound=world.pusher.outbound,
        now_us=world.clock.now_us(),
    )
    return record_response(record)


@router.get("/integrations/status", response_model=IntegrationsStatus)
async def show_integrations(person: ThePerson, world: TheWorld) -> IntegrationsStatus:
    """How pushing to the current organisation's receivers goes."""
    found = await world.database.read(delivery.show_status, person, world.clock.now_us())
    return IntegrationsStatus(prom=found["prom"], loki=found["loki"])


@router.post("/integrations/test", response_model=IntegrationsTest)
async def test_integrations(body: IntegrationsTried, person: ThePerson, world: TheWorld) -> IntegrationsTest:
    """Send one probe to the stored receivers, or to those that are given; what they answered."""
    given = {
        kind: Receiver(user=item.id, token=item.token, endpoint=item.endpoint)
        for kind in integrations.KINDS
        if (item := getattr(body, kind)) is not None
    }
    answers = await delivery.probe_receivers(
        world.database,
        person,
        given,
        outbound=world.pusher.outbound,
        vault=world.vault,
        now_us=world.clock.now_us(),
    )
    return IntegrationsTest(prom=_shown(answers["prom"]), loki=_shown(answers["loki"]))


def _shown(answer: Answer | None) -> ProbeAnswer | None:
    if answer is None:
        return None
    return ProbeAnswer(ok=answer.is_ok, status=answer.status, answer=answer.text, protocol=answer.protocol)


def _receiver(item: IntegrationItem | None) -> Receiver | None:
    if item is None:
        return None
    return Receiver(user=item.id, token=item.token, endpoint=item.endpoint)
