"""What people do with organisations. Owns the operations; does not own the record's values."""

from sqlalchemy import Connection

from tollway.control.access import current_org
from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.caller import Person
from tollway.domain.errors import NotFound
from tollway.domain.ids import OrgId, new_id
from tollway.domain.money import Nano
from tollway.domain.org import EVERY_PERMISSION, Organisation
from tollway.domain.subscription import Opening
from tollway.store import orgs, users
from tollway.store.changes import announce
from tollway.store.grants import add_grant, free_balance
from tollway.store.leases import lock_org
from tollway.store.orgs import OrgChange
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
    if opening.is_trial:
        add_grant(db, org, opening.trial_balance, "trial", now_us)
    orgs.add_member(db, org, person.id, EVERY_PERMISSION, now_us)
    users.enter_org(db, person.id, org)
    return read_record(db, org, now_us)


def show_org(db: Connection, person: Person, now_us: int) -> Organisation:
    """The record of the person's current organisation."""
    return read_record(db, current_org(person), now_us)


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
