"""`/v1/apps/{app_id}/members`: who has a role in one app, beside their permissions in the organisation."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from tollway.control import apps_members
from tollway.control.apps_members import no_app_member
from tollway.domain.app import AppMember
from tollway.domain.ids import UserId, is_id
from tollway.domain.role import Role
from tollway.web.api.apps import known_app
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.fields import Body, Line

router = APIRouter(prefix="/v1/apps/{app_id}/members", tags=["apps"])


class AppMemberPut(Body):
    """Somebody to have a role in the app."""

    auth0_id: Annotated[Line, Field(description="The user id of a member of the organisation.")]
    permissions: Annotated[
        list[Literal["viewer", "editor", "admin"]],
        Field(min_length=1, max_length=3, description="The role; of several, the one that may most."),
    ]


class AppMemberRemoved(BaseModel):
    """The user who has no role in the app any more."""

    id: str


@router.get("", response_model=list[AppMember])
async def list_app_members(app_id: str, person: ThePerson, world: TheWorld) -> list[AppMember]:
    """Who has a role in the app, the first ones first."""
    return await world.database.read(apps_members.list_app_members, person, known_app(app_id))


@router.post("", response_model=AppMember)
async def put_app_member(app_id: str, body: AppMemberPut, person: ThePerson, world: TheWorld) -> AppMember:
    """Give a member of the organisation a role in the app, instead of the one that they may have."""
    role = next(role for role in reversed(Role) if role in body.permissions)
    app, now_us = known_app(app_id), world.clock.now_us()
    return await world.database.write(apps_members.put_app_member, person, app, body.auth0_id, role, now_us)


@router.delete("/{user_id}", response_model=AppMemberRemoved)
async def remove_app_member(
    app_id: str, user_id: str, person: ThePerson, world: TheWorld
) -> AppMemberRemoved:
    """Take somebody's role in the app away; what they may do in the organisation stays."""
    app = known_app(app_id)
    if not is_id(user_id):
        raise no_app_member()
    await world.database.write(apps_members.remove_app_member, person, app, UserId(user_id))
    return AppMemberRemoved(id=user_id)
