"""`/v1/audit/trail`: who changed what in an organisation, for its admins."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tollway.control import trail
from tollway.control.trail import Change
from tollway.domain.operation import Operation
from tollway.web.bearer import ThePerson, TheWorld

router = APIRouter(prefix="/v1/audit", tags=["audit"])

_NAMES = "|".join(each.name.lower() for each in Operation)
_MOST = 200
_MAX_NUMBER = 2**63 - 1


class Changes(BaseModel):
    """Changes, newest first; those before the last one's `number` follow it."""

    changes: list[Change]
    has_more: Annotated[bool, Field(description="Whether there are older ones.")]


@router.get("/trail", response_model=Changes)
async def list_trail(
    person: ThePerson,
    world: TheWorld,
    before: Annotated[
        int | None, Query(ge=1, le=_MAX_NUMBER, description="Only older ones: the last `number` seen.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST, description="At most so many.")] = 50,
    operation: Annotated[
        str | None, Query(pattern=f"^({_NAMES})$", description="Only this one, by its `operationId`.")
    ] = None,
    who: Annotated[
        str | None, Query(max_length=254, description="Only of this e-mail or user id, or of `operator`.")
    ] = None,
) -> Changes:
    """Who changed what in the current organisation, when and from where, before and after."""
    found = await world.database.read(
        trail.list_changes, person, before=before, operation=operation, who=who, limit=limit + 1
    )
    return Changes(changes=found[:limit], has_more=len(found) > limit)
