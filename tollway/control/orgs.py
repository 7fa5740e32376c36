"""What people do with organisations, from making one to deleting it.

Owns the operations; does not own the record's values, or who is in (`control/members.py`).
"""

from sqlalchemy import Connection

from tollway.control.access import acting_org, permitted_org
from tollway.control.members import locked, require_shared
from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.caller import Person
from tollway.domain.clock import moment
from tollway.domain.deletion import LEDGER_KEPT_US, DeletedOrg
from tollway.domain.errors import Fault, Invalid, NotFound, Outdated
from tollway.domain.ids import OrgId, UserId, new_id
from tollway.domain.membership import UserOrgAccess
from tollway.domain.money import Nano
from tollway.domain.operation import Operation
from tollway.domain.org import EVERY_PERMISSION, Organisation
from tollway.domain.slug import personal_slug
from tollway.domain.subscription import Opening
from tollway.store import members, orgs, users
from tollway.store.changes import announce
from tollway.store.grants import add_grant, free_balance
from tollway.store.leases import lock_org
from tollway.store.orgs import OrgChange, OrgDetails
from tollway.store.record import read_record

_UNLIMITED = Opening()


def create_org(
    db: Connection,
    person: Person,
    *,
    org_name: str,
    display_name: str | None,
    billing_email: str | None,
    benchmark_model: str | None = None,
    privacy_level: PrivacyLevel = DEFAULT_PRIVACY_LEVEL,
    opening: Opening = _UNLIMITED,
    now_us: int,
) -> Organisation:
    """Make an organisation; its creator may do everything in it, and it is current for them.

    One that opens with a trial has its balance at once, so that its first request works.
    """
    org = OrgId(new_id(now_us))
    orgs.create_org(
        db,
        org,
        org_name=org_name,
        display_name=display_name,
        billing_email=billing_email,
        creator=person.id,
        tier=opening.tier,
        trial_end_s=opening.trial_end_s(now_us),
        benchmark_model=benchmark_model,
        privacy_level=privacy_level,
        now_us=now_us,
    )
    _open(db, org, person.id, opening, now_us)
    return read_record(db, org, now_us)


def create_personal_org(
    db: Connection, user: UserId, *, email: str, name: str, opening: Opening = _UNLIMITED, now_us: int
) -> OrgId:
    """Make a new user's own organisation, and current for them. It opens as any other does.

    To be called wherever a user is made, in the same transaction.
    """
    org = OrgId(new_id(now_us))
    orgs.create_org(
        db,
        org,
        org_name=personal_slug(email, name),
        display_name=name,
        billing_email=email,
        creator=user,
        tier=opening.tier,
        trial_end_s=opening.trial_end_s(now_us),
        is_personal=True,
        now_us=now_us,
    )
    _open(db, org, user, opening, now_us)
    return org


def _open(db: Connection, org: OrgId, creator: UserId, opening: Opening, now_us: int) -> None:
    if opening.is_trial:
        add_grant(db, org, opening.trial_balance, "trial", now_us)
    members.add_member(db, org, creator, EVERY_PERMISSION, now_us)
    users.enter_org(db, creator, org)


def list_orgs(db: Connection, person: Person) -> list[UserOrgAccess]:
    """Every organisation that the person is in."""
    return members.list_access(db, person.id)


def switch_org(db: Connection, person: Person, org: OrgId) -> UserOrgAccess:
    """Make another organisation of the person's current for them; NotFound."""
    found = members.list_access(db, person.id, only=org)
    if not found:
        raise no_org()
    users.enter_org(db, person.id, org)
    return found[0]


def show_org(db: Connection, person: Person, now_us: int) -> Organisation:
    """The record of the person's current organisation."""
    return read_record(db, permitted_org(person, Operation.SHOW_ORG), now_us)


def update_org(
    db: Connection,
    person: Person,
    details: OrgDetails,
    *,
    org_id: str | None,
    org_name: str | None,
    revisions: frozenset[int] | None = None,
    now_us: int,
) -> Organisation:
    """Change what the details name of the current organisation, which an id and a name may repeat.

    Forbidden; NotFound for another id; Invalid for another name: it is a label of metrics, and fixed.
    Outdated if it was last changed at none of the `revisions`, microseconds; None is any.
    """
    org = acting_org(db, person, Operation.UPDATE_ORG)
    if revisions is not None and orgs.lock_revision(db, org) not in revisions:
        raise Outdated("the organisation was changed since you read it: read it again")
    if org_id not in (None, org):
        raise no_org()
    if org_name not in (None, orgs.name_of(db, org)):
        told = (
            "org_name never changes: metrics and logs carry it as a label; "
            "leave it out, and change org_display_name"
        )
        raise Invalid(Fault(loc=("body", "org_name"), msg=told, type="org_name_fixed"))
    orgs.update_org(db, org, details, now_us)
    return read_record(db, org, now_us)


def deactivate_org(db: Connection, person: Person, now_us: int) -> Organisation:
    """Switch the current organisation off, in every process; the operator can switch it on again."""
    org = acting_org(db, person, Operation.DEACTIVATE_ORG)
    orgs.deactivate_org(db, org, now_us)
    announce(db, org, now_us)
    return read_record(db, org, now_us)


def delete_org(db: Connection, person: Person, org_name: str, now_us: int) -> DeletedOrg:
    """Delete the current organisation, whose name is repeated; its keys end in every process.

    Forbidden; Conflict for a personal one; Invalid if the name is another.
    """
    org = locked(db, person, Operation.DELETE_ORG).org
    require_shared(db, org, "it cannot be deleted")
    if org_name != orgs.name_of(db, org):
        told = "repeat the org_name of your current organisation to delete it"
        raise Invalid(Fault(loc=("query", "org_name"), msg=told, type="name_not_repeated"))
    users.send_home(db, org)
    orgs.delete_org(db, org, person.id, now_us)
    announce(db, org, now_us)
    return DeletedOrg(
        org_id=org,
        org_name=org_name,
        deleted_on=moment(now_us),
        ledger_kept_until=moment(now_us + LEDGER_KEPT_US),
    )


def no_org() -> NotFound:
    """The same for an organisation of others and for an id that nobody has."""
    return NotFound("you are in no such organisation", code="organisation_not_found")


def change_org(
    db: Connection, org: OrgId, change: OrgChange, balance: Nano | None, now_us: int
) -> Organisation:
    """What the operator sets, in every process; a free balance is reached by a grant of what is missing.

    NotFound.
    """
    # Two who set the balance at once would both grant what is missing; and the fold spends of it.
    lock_org(db, org)
    if not orgs.change_org(db, org, change, now_us):
        raise NotFound(f"there is no organisation {org}", code="organisation_not_found")
    missing = 0 if balance is None else balance - free_balance(db, org)
    if missing:
        add_grant(db, org, Nano(missing), "operator", now_us)
    announce(db, org, now_us)
    return read_record(db, org, now_us)
