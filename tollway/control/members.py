"""What people do with members. Owns the rules; does not own the rows (`store/members.py`).

Nobody gives, or takes away, what they do not have themselves, and an organisation always has an
admin: whoever changes members holds the organisation's row, so that two at once cannot get round it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Connection

from tollway.control.access import acting_org, permitted_org
from tollway.domain.caller import Person
from tollway.domain.clock import moment
from tollway.domain.errors import Conflict, Forbidden, NotFound
from tollway.domain.ids import OrgId, UserId
from tollway.domain.invite import InviteStatus
from tollway.domain.membership import OrgMemberInvite
from tollway.domain.operation import Operation
from tollway.domain.role import Permissions, is_admin, words_of
from tollway.store import invites, members, orgs, users
from tollway.store.invites import Invite
from tollway.store.members import Member, Seats


def list_members(db: Connection, person: Person) -> list[OrgMemberInvite]:
    """Members of the person's current organisation, then those who are invited. Forbidden."""
    org = permitted_org(person, Operation.LIST_MEMBERS)
    found = [_shown_member(member, person) for member in members.list_members(db, org)]
    return [*found, *(shown_invite(invite) for invite in invites.list_pending(db, org))]


def show_member(db: Connection, person: Person, id_: str) -> OrgMemberInvite:
    """One member by user id, or an invite by its own, whatever became of it. Forbidden; NotFound."""
    org = permitted_org(person, Operation.SHOW_MEMBER)
    member = members.find_member(db, org, id_)
    if member is not None:
        return _shown_member(member, person)
    invite = invites.find_invite(db, org, id_)
    if invite is None:
        raise no_member()
    return shown_invite(invite)


class Locked(NamedTuple):
    """An organisation's members, who stay so until the transaction ends."""

    org: OrgId
    person: Person
    """Who asks, with the permissions that they have now."""
    all_: Sequence[Member]
    seats: Seats


def locked(db: Connection, person: Person, operation: Operation) -> Locked:
    """Lock the members of the person's current organisation. Forbidden, NotFound: as it is then."""
    org = acting_org(db, person, operation)
    seats = members.lock_members(db, org)
    all_ = members.list_members(db, org)
    own = next((member for member in all_ if member.user == person.id), None)
    if own is None:  # somebody was faster
        now = replace(person, org_id=None, permissions=frozenset())
    else:
        now = replace(person, permissions=own.permissions)
    return Locked(permitted_org(now, operation), now, all_, seats)


def put_permissions(db: Connection, person: Person, user: str, permissions: Permissions) -> OrgMemberInvite:
    """Set what a member may do. Forbidden; NotFound; Conflict for the last admin."""
    held = locked(db, person, Operation.PUT_PERMISSIONS)
    member = _among(held.all_, user)
    require_own(held.person, permissions | member.permissions)
    if not is_admin(permissions):
        _require_other_admin(held.all_, member)
    members.put_permissions(db, held.org, member.user, permissions)
    return _shown_member(replace(member, permissions=permissions), person)


def remove_member(db: Connection, person: Person, id_: str) -> None:
    """Take a member out, or an invite back. Forbidden; NotFound; Conflict for the last admin."""
    held = locked(db, person, Operation.REMOVE_MEMBER)
    if invites.withdraw_invite(db, held.org, id_):
        return
    member = _among(held.all_, id_)
    require_own(held.person, member.permissions)
    _require_other_admin(held.all_, member)
    _remove(db, held.org, member.user)


def leave_org(db: Connection, person: Person) -> OrgId:
    """Leave the current organisation; which it was. Conflict for the last admin, and for one's own."""
    held = locked(db, person, Operation.LEAVE_ORG)
    require_shared(db, held.org, "it cannot be left")
    _require_other_admin(held.all_, _among(held.all_, person.id))
    _remove(db, held.org, person.id)
    return held.org


def require_own(person: Person, permissions: Permissions) -> None:
    """Forbidden for permissions that the person does not have."""
    more = permissions - person.permissions
    if more:
        raise Forbidden(
            f"you may not give or take what you do not have yourself: {words_of(more)}", code="more_than_own"
        )


def require_shared(db: Connection, org: OrgId, consequence: str) -> None:
    """Conflict for a personal organisation."""
    if orgs.is_personal(db, org):
        raise Conflict(
            f"this is your personal organisation: {consequence}; make one with POST /v1/orgs to share",
            code="personal_organisation",
        )


def no_member() -> NotFound:
    """The same for an id of another organisation and for one that nobody has."""
    return NotFound("there is no such member or invite in your current organisation", code="member_not_found")


def shown_invite(invite: Invite) -> OrgMemberInvite:
    """Somebody who is invited, as members see them."""
    return OrgMemberInvite(
        id=invite.id,
        name=invite.email,
        email=invite.email,
        invite_status=invite.status,
        is_current_user=False,
        added_on=moment(invite.added_us),
        permissions=words_of(invite.permissions),
    )


def _shown_member(member: Member, person: Person) -> OrgMemberInvite:
    return OrgMemberInvite(
        id=member.user,
        name=member.name,
        email=member.email,
        invite_status=InviteStatus.ACCEPTED,
        is_current_user=member.user == person.id,
        added_on=moment(member.added_us),
        permissions=words_of(member.permissions),
        auth0_id=member.user,
        is_active=True,
    )


def _among(all_: Sequence[Member], user: str) -> Member:
    found = next((member for member in all_ if member.user == user), None)
    if found is None:
        raise no_member()
    return found


def _require_other_admin(all_: Iterable[Member], member: Member) -> None:
    others = (other for other in all_ if other.user != member.user)
    if is_admin(member.permissions) and not any(is_admin(other.permissions) for other in others):
        raise Conflict(
            "this is the organisation's last admin: make another member an admin first", code="last_admin"
        )


def _remove(db: Connection, org: OrgId, user: UserId) -> None:
    members.remove_member(db, org, user)
    users.send_home(db, org, user)
