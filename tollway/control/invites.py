"""What people do with invites: make them, send them again, answer them.

Owns the rules; does not own the rows (`store/invites.py`) or the letter's text and sending. A token
is stored as a hash; the letter's link, which holds it, is sealed until it is sent.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from sqlalchemy import Connection

from tollway.control.access import require_able
from tollway.control.members import locked, no_member, require_own, require_shared, shown_invite
from tollway.domain.caller import Person
from tollway.domain.clock import moment
from tollway.domain.errors import Conflict, Fault, Invalid, Limited, NotFound
from tollway.domain.ids import OrgId
from tollway.domain.invite import InviteStatus, address_of, link_of
from tollway.domain.membership import JoinedOrg, NewInvite
from tollway.domain.moment import iso
from tollway.domain.operation import Operation
from tollway.domain.plan import NO_PLAN, UNLIMITED, Plans
from tollway.domain.role import Permissions, Role
from tollway.domain.token import Bearer, digest, is_minted, mint
from tollway.store import invites, members, users
from tollway.store.invites import LETTER, Invite, letter_context
from tollway.store.members import Seats
from tollway.store.orgs import name_of
from tollway.store.outbox import add_letter
from tollway.store.vault import Vault


class Wanted(NamedTuple):
    """Somebody to invite."""

    email: str
    role: Role


def invite(
    db: Connection,
    person: Person,
    wanted: Sequence[Wanted],
    page: str,
    *,
    plans: Plans,
    vault: Vault,
    now_us: int,
) -> list[NewInvite]:
    """Invite people to the person's current organisation: all of them, or nobody.

    Forbidden; Conflict in a personal organisation; Invalid, naming each who is a member already or
    is named twice; Limited if no seat is left. Who was invited before gets a new token.
    """
    held = locked(db, person, Operation.INVITE)
    require_shared(db, held.org, "it has no other members")
    for each in wanted:
        require_own(held.person, each.role.permissions)
    known = {address_of(member.email) for member in held.all_}
    _require_new([address_of(each.email) for each in wanted], known)
    _require_seat(len(held.all_), held.seats, plans)
    return [
        _send(db, held.org, person, address_of(each.email), each.role.permissions, page, vault, now_us)
        for each in wanted
    ]


def resend(
    db: Connection, person: Person, org_id: str, email: str, page: str, *, vault: Vault, now_us: int
) -> NewInvite:
    """Send a pending invite again, with a new token and a new end. Forbidden; NotFound."""
    held = locked(db, person, Operation.RESEND_INVITE)
    pending = {found.email: found for found in invites.list_pending(db, held.org)}
    found = pending.get(address_of(email)) if held.org == org_id else None
    if found is None:
        raise no_member()
    require_own(held.person, found.permissions)
    return _send(db, held.org, person, found.email, found.permissions, page, vault, now_us)


def answer(
    db: Connection,
    person: Person,
    *,
    email: str,
    token: str,
    accepts: bool,
    plans: Plans,
    now_us: int,
) -> JoinedOrg:
    """Accept or decline an invite of one's own address.

    NotFound unless the token is that of an invite of this address and the person's; Conflict if it
    was answered or is over; Limited if no seat is left.
    """
    found = _own(db, person, email, token)
    seats = members.lock_members(db, found.org)
    found = _own(db, person, email, token)  # as it is now that nobody else can answer it
    _require_open(found, accepts, now_us)
    if not accepts:
        invites.answer_invite(db, found.org, found.id, InviteStatus.DECLINED, now_us)
        return JoinedOrg(message="the invite is declined", new_org=found.org, reload_required=False)
    require_able(db, found.org, Operation.JOIN_ORG)
    if members.find_member(db, found.org, person.id) is not None:
        raise Conflict("you are a member of this organisation already", code="already_member")
    _require_seat(members.count_members(db, found.org), seats, plans)
    members.add_member(db, found.org, person.id, found.permissions, now_us)
    invites.answer_invite(db, found.org, found.id, InviteStatus.ACCEPTED, now_us)
    users.enter_org(db, person.id, found.org)
    message = f"you are in {name_of(db, found.org)} now"
    return JoinedOrg(message=message, new_org=found.org, reload_required=True)


def _own(db: Connection, person: Person, email: str, token: str) -> Invite:
    """The invite of this token, if it is the person's. One answer for every other case."""
    address = address_of(email)
    if is_minted(token, Bearer.INVITE) and address == address_of(person.email):
        found = invites.find_by_hash(db, digest(token))
        if found is not None and found.email == address:
            return found
    raise NotFound(
        "there is no such invite for your e-mail address; ask for it to be sent again",
        code="invite_not_found",
    )


def _require_open(found: Invite, accepts: bool, now_us: int) -> None:
    if found.status is not InviteStatus.PENDING:
        raise Conflict(f"this invite was {found.status} before", code=f"invite_{found.status}")
    if accepts and found.expires_us <= now_us:
        raise Conflict("this invite is over; ask for it to be sent again", code="invite_expired")


def _require_new(addresses: Sequence[str], known: set[str]) -> None:
    faults = []
    for place, address in enumerate(addresses):
        loc = ("body", "emails", place, "email")
        if address in known:
            faults.append(Fault(loc=loc, msg="a member already", type="already_member"))
        elif address in addresses[:place]:
            faults.append(Fault(loc=loc, msg="named before in this request", type="named_twice"))
    if faults:
        raise Invalid(*faults)


def _require_seat(taken: int, seats: Seats, plans: Plans) -> None:
    """Limited unless one more member fits into the seats bought, and into the plan."""
    planned = plans.get(seats.tier or "", NO_PLAN).max_seats
    allowed = [number for number in (seats.bought, planned) if number is not None and number != UNLIMITED]
    if any(taken >= number for number in allowed):
        raise Limited(
            f"all of the organisation's seats are taken ({min(allowed)}): remove a member, or add seats",
            code="seats_exhausted",
        )


def _send(
    db: Connection,
    org: OrgId,
    person: Person,
    email: str,
    permissions: Permissions,
    page: str,
    vault: Vault,
    now_us: int,
) -> NewInvite:
    token = mint(Bearer.INVITE)
    link = link_of(page, email, token)
    made = invites.put_invite(
        db, org, email=email, permissions=permissions, token=token, by=person.id, now_us=now_us
    )
    content = {
        "invite_id": made.id,
        "email": email,
        "org_name": name_of(db, org),
        "invited_by": person.name,
        "link_sealed": vault.seal(link, letter_context(org, made.id)),
        "expires": iso(made.expires_us),
    }
    add_letter(db, org, LETTER, content, now_us)
    shown = shown_invite(made)
    return NewInvite(
        **{field.name: getattr(shown, field.name) for field in fields(shown) if field.name != "token"},
        token=token,
        link=link,
        expires_on=moment(made.expires_us),
    )
