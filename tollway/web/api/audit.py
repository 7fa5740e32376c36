"""`/v1/audit`: the operator asks whether the ledger explains itself."""

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.responses import Response

from tollway.control.audit import Check, audit, unfolded_of
from tollway.domain.errors import NotFound
from tollway.store.audit import find_org
from tollway.web.bearer import TheOperator, TheWorld
from tollway.web.record import dollars

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class DifferenceShown(BaseModel):
    """One thing that is not as it should be. Money in nano-dollars, times in microseconds."""

    where: Annotated[str, Field(examples=["row 17 (request 019…, attempt 1)"])]
    what: Annotated[str, Field(examples=["cost_prompt_nano"])]
    expected: int | str | None
    found: int | str | None


class OrgDiffers(BaseModel):
    """An organisation with differences, and the first of them."""

    org_id: str
    org_name: str | None
    rows: int
    num_differences: int
    shown: list[DifferenceShown]


class UnfoldedShown(BaseModel):
    """What this process has metered and not stored yet; it is in no total, and no difference."""

    rows: int
    cost: Annotated[float, WithJsonSchema({"type": "number", "description": "dollars, exact"})]


class Audited(BaseModel):
    """What an audit found; without differences, every cost and every total is explained."""

    organisations: int
    rows: int
    differences: list[OrgDiffers]
    unfolded: Annotated[dict[str, UnfoldedShown], Field(description="By organisation id.")]


@router.get("/ledger", response_model=Audited, dependencies=[TheOperator])
async def audit_ledger(
    request: Request,
    world: TheWorld,
    org: Annotated[str | None, Query(description="Only this organisation: its id or its name.")] = None,
) -> Response:
    """Work out every cost and every total again, and compare; takes as long as there are rows."""
    only = None
    if org is not None:
        only = await world.database.read(find_org, org)
        if only is None:
            raise NotFound("there is no such organisation", code="organisation_not_found")
    waiting = await asyncio.to_thread(unfolded_of, await world.recovery.unfolded())
    organisations = rows = 0
    differences = []
    async for check in audit(world.database, only):
        if await request.is_disconnected():  # nobody waits for the rest
            break
        if check.is_done:
            organisations += 1
            rows += check.rows
            if check.num_differences:
                differences.append(_shown(check))
    body = {
        "organisations": organisations,
        "rows": rows,
        "differences": differences,
        "unfolded": {
            each: {"rows": found.rows, "cost": dollars(found.cost)}
            for each, found in waiting.items()
            if only in (None, each)
        },
    }
    return Response(msgspec.json.encode(body), media_type="application/json")


def _shown(check: Check) -> dict[str, Any]:
    return {
        "org_id": check.org,
        "org_name": check.org_name,
        "rows": check.rows,
        "num_differences": check.num_differences,
        "shown": check.differences,
    }
