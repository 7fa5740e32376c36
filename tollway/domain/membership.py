"""What people see of organisations and their members, field for field as it is answered.

Owns names, order and types; does not own a value. A user's id is answered as `auth0_id`, by which
clients know people.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from tollway.domain.ids import OrgId, UserId
from tollway.domain.invite import InviteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOrgAccess:
    """One organisation that a user is in, and what they may do there."""

    auth0_id: Annotated[UserId, "The user's id"]
    org_id: OrgId
    org_stripe_id: str | None
    org_display_name: Annotated[str, "The slug where it has no display name"]
    org_logo: str | None
    org_name: str
    is_org_setup_complete: bool = True
    full_name: str | None
    user_avatar: str | None = None
    billing_email: str
    is_personal_org: bool
    permissions: Annotated[str, "With spaces between"]
    member_is_active: bool = True
    internal_claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgMemberInvite:
    """A member of an organisation, or somebody who is invited to be one."""

    id: Annotated[str, "A member's user id, or the invite's id"]
    name: Annotated[str, "Of somebody invited: the e-mail"]
    email: str
    token: Annotated[str | None, "The invite's, in the answer that makes it; never again"] = None
    invite_status: InviteStatus
    is_current_user: bool
    added_on: datetime
    last_login: datetime | None = None
    permissions: Annotated[str, "With spaces between"]
    auth0_id: Annotated[UserId | None, "The user's id; null for somebody invited"] = None
    picture: str | None = None
    is_active: Annotated[bool | None, "Null for somebody invited"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvite(OrgMemberInvite):
    """An invite just made or sent again, with the link that leads to it; both are shown this once."""

    link: str
    expires_on: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedOrg:
    """What became of an answer to an invite."""

    message: str | None
    new_org: Annotated[OrgId, "The organisation that invited"]
    reload_required: Annotated[bool, "Whether another organisation is current now"]
