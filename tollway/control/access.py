"""May this person do this here? The only place that answers.

Owns the decision; does not own who the person is (`store/users.py`). Every operation asks it
with the permission that it needs, and gets the organisation that it may act on.
"""

from sqlalchemy import Connection

from tollway.domain.caller import Person
from tollway.domain.errors import Forbidden, NotFound
from tollway.domain.ids import OrgId
from tollway.domain.org import Permission
from tollway.store.orgs import is_org_active


def current_org(person: Person) -> OrgId:
    """The person's current organisation, to read; NotFound if they are in none."""
    if person.org_id is None:
        raise NotFound("you are in no organisation yet: make one with POST /v1/orgs", code="no_organisation")
    return person.org_id


def permitted_org(person: Person, permission: Permission) -> OrgId:
    """The person's current organisation, if they have `permission` there; else Forbidden."""
    org = current_org(person)
    if permission not in person.permissions:
        raise Forbidden(f"this needs the permission {permission} in the organisation")
    return org


def require_active(db: Connection, org: OrgId) -> None:
    """Forbidden if the organisation may only be read."""
    if not is_org_active(db, org):
        raise Forbidden("the organisation is not active: it can only be read", code="organisation_inactive")
