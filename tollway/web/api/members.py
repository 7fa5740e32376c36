"""`/v1/orgs/members` and invites: who is in the current organisation, and who is asked to be."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field

from tollway.control import invites, members
from tollway.control.invites import Wanted
from tollway.control.members import no_member
from tollway.domain.ids import OrgId, is_id
from tollway.domain.invite import parse_page
from tollway.domain.membership import JoinedOrg, NewInvite, OrgMemberInvite
from tollway.domain.role import Permissions, Role, parse_permissions
from tollway.web.bearer import ThePerson, TheWorld
from tollway.web.fields import Body, Email, Line, Link, Token

router = APIRouter(prefix="/v1/orgs", tags=["members"])

_MAX_INVITES = 50


def _permissions(text: str) -> str:
    parse_permissions(text)
    return text


InvitePage = Annotated[
    Link,
    AfterValidator(parse_page),
    Field(description="The page that the link in the letter leads to; e-mail and token are added to it."),
]


class PermissionsUpdate(Body):
    """What a member is to be allowed."""

    auth0_id: Annotated[Line, Field(description="The member's user id.")]
    permissions: Annotated[
        str,
        Field(max_length=1_000, description="viewer, editor or admin; or permissions with spaces between."),
        AfterValidator(_permissions),
    ]


class MemberRemoved(BaseModel):
    """The member, or the invite, that is gone."""

    id: str


class OrgLeft(BaseModel):
    """The organisation that the caller is not in any more."""

    org_id: OrgId


class InviteFormEmail(Body):
    """Somebody to invite."""

    email: Email
    role: Literal["viewer", "editor", "admin"]


class InviteFormRequest(Body):
    """People to invite: all of them, or nobody."""

    emails: Annotated[list[InviteFormEmail], Field(min_length=1, max_length=_MAX_INVITES)]
    invite_link: InvitePage


class ResendInviteEmail(Body):
    """A pending invite."""

    email: Email
    invite_link: InvitePage
    org_id: Annotated[Line, Field(description="The current organisation's.")]


class InviteAnswer(Body):
    """What the one who is invited says: "1" accepts, "0" declines."""

    email: Email
    token: Token
    accept: Literal["0", "1"] = "1"


@router.post("/members", response_model=list[OrgMemberInvite])
async def list_members(person: ThePerson, world: TheWorld) -> list[OrgMemberInvite]:
    """The current organisation's members, and who is invited and has not answered yet. Takes no body."""
    return await world.database.read(members.list_members, person)


@router.get("/members/{id}", response_model=OrgMemberInvite)
async def show_member(id: str, person: ThePerson, world: TheWorld) -> OrgMemberInvite:  # noqa: A002 - the path's own name
    """A member by their user id, or an invite by its id."""
    return await world.database.read(members.show_member, person, _known(id))


@router.put("/members/permissions", response_model=OrgMemberInvite)
async def put_permissions(body: PermissionsUpdate, person: ThePerson, world: TheWorld) -> OrgMemberInvite:
    """Set what a member may do. Nobody gives or takes what they do not have; one admin is always left."""
    wanted: Permissions = parse_permissions(body.permissions)
    return await world.database.write(members.put_permissions, person, body.auth0_id, wanted)


@router.delete("/members/{id}", response_model=MemberRemoved)
async def remove_member(id: str, person: ThePerson, world: TheWorld) -> MemberRemoved:  # noqa: A002 - as above
    """Take a member out of the current organisation, or an invite back."""
    await world.database.write(members.remove_member, person, _known(id))
    return MemberRemoved(id=id)


@router.post("/leave", response_model=OrgLeft)
async def leave_org(person: ThePerson, world: TheWorld) -> OrgLeft:
    """Leave the current organisation; the caller's personal one is current then."""
    return OrgLeft(org_id=await world.database.write(members.leave_org, person))


@router.post("/invite", status_code=201, response_model=list[NewInvite])
async def invite(body: InviteFormRequest, person: ThePerson, world: TheWorld) -> list[NewInvite]:
    """Invite people to the current organisation by letters; the links are shown here too, this once."""
    wanted = [Wanted(each.email, Role(each.role)) for each in body.emails]
    return await world.database.write(
        invites.invite,
        person,
        wanted,
        body.invite_link,
        plans=world.settings.allowances,
        vault=world.vault,
        now_us=world.clock.now_us(),
    )


@router.post("/resend-invite", response_model=NewInvite)
async def resend_invite(body: ResendInviteEmail, person: ThePerson, world: TheWorld) -> NewInvite:
    """Send a pending invite again: with a new link, which is shown this once; the old one ends."""
    return await world.database.write(
        invites.resend,
        person,
        body.org_id,
        body.email,
        body.invite_link,
        vault=world.vault,
        now_us=world.clock.now_us(),
    )


@router.post("/join-with-invite", response_model=JoinedOrg)
async def join_org(body: InviteAnswer, person: ThePerson, world: TheWorld) -> JoinedOrg:
    """Accept or decline an invite of the caller's own e-mail; accepted, its organisation is current."""
    return await world.database.write(
        invites.answer,
        person,
        email=body.email,
        token=body.token,
        accepts=body.accept == "1",
        plans=world.settings.allowances,
        now_us=world.clock.now_us(),
    )


def _known(id_: str) -> str:
    if not is_id(id_):
        raise no_member()
    return id_
