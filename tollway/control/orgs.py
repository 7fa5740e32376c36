"""What people do with organisations. Owns the operations; does not own the record's values."""

from sqlalchemy import Connection

from tollway.control.access import current_org
from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.caller import Person
from tollway.domain.ids import OrgId, new_id
from tollway.domain.org import EVERY_PERMISSION, Organisation
from tollway.store import orgs, users
from tollway.store.record import read_record


def create_org(
    db: Connection,
    person: Person,
    *,
    org_name: str,
    display_name: str | None,
    billing_email: str | None,
    benchmark_model: str | None = None,
    privacy_level: PrivacyLevel = DEFAULT_PRIVACY_LEVEL,
    now_us: int,
) -> Organisation:
    """Make an organisation; its creator may do everything in it, and it is current for them."""
    org = OrgId(new_id(now_us))
    orgs.create_org(
        db,
        org,
        org_name=org_name,
        display_name=display_name,
        billing_email=billing_email,
        creator=person.id,
        tier="_INTERNAL_",
        benchmark_model=benchmark_model,
        privacy_level=privacy_level,
        now_us=now_us,
    )
    orgs.add_member(db, org, person.id, EVERY_PERMISSION, now_us)
    users.enter_org(db, person.id, org)
    return read_record(db, org, now_us)


def show_org(db: Connection, person: Person, now_us: int) -> Organisation:
    """The record of the person's current organisation."""
    return read_record(db, current_org(person), now_us)
