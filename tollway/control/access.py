"""May this person do this here, or to this app? The only place that answers.

Owns the decision; does not own what an operation needs (`domain/operation.py`) or who the person
is (`store/users.py`). Every operation asks it, and gets the organisation that it may act on.
"""

from sqlalchemy import Connection

from tollway.domain.caller import Person
from tollway.domain.errors import Forbidden, Limited, NotFound
from tollway.domain.ids import AppId, OrgId
from tollway.domain.operation import Operation
from tollway.domain.org import Permission
from tollway.store.apps_members import find_role
from tollway.store.orgs import find_state


def current_org(person: Person) -> OrgId:
    """The person's current organisation, to read; NotFound if they are in none."""
    if person.org_id is None:
        raise NotFound(
            "no organisation is current for you: choose one with PATCH /v1/orgs/switch/{org_id}, "
            "or make one with POST /v1/orgs",
            code="no_organisation",
        )
    return person.org_id


def permitted_org(person: Person, operation: Operation) -> OrgId:
    """The person's current organisation, if they may do this there; else Forbidden."""
    org = current_org(person)
    need = operation.value.need
    if isinstance(need, Permission) and need not in person.permissions:
        raise Forbidden(f"this needs the permission {need} in the organisation")
    return org


def permitted_app(db: Connection, person: Person, operation: Operation, app: AppId) -> OrgId:
    """The person's current organisation, if they may do this to its app; else Forbidden.

    By the permission in the organisation, or by their role in the app. Does not tell whether it has
    the app.
    """
    org = current_org(person)
    rule = operation.value
    if rule.need in person.permissions or Permission.ADMIN_APP in person.permissions:
        return org
    held = find_role(db, org, app, person.id)
    if rule.in_app is None or held is None or not held.includes(rule.in_app):
        raise Forbidden(
            f"this needs the permission {rule.need} in the organisation, or the role {rule.in_app} in the app"
        )
    return org


def acting_app(db: Connection, person: Person, operation: Operation, app: AppId) -> OrgId:
    """The same, if it may be done now."""
    org = permitted_app(db, person, operation, app)
    require_able(db, org, operation)
    return org


def require_able(db: Connection, org: OrgId, operation: Operation) -> None:
    """Forbidden if the organisation may only be read, Limited if its seats are not paid."""
    rule, state = operation.value, find_state(db, org)
    if rule.needs_active and not state.is_active:
        raise Forbidden("the organisation is not active: it can only be read", code="organisation_inactive")
    if rule.needs_paid_seats and state.has_unpaid_seats:
        raise Limited(
            "the organisation's seats are not paid, so its members can only read; "
            "once they are paid, everything is as it was",
            code="seats_unpaid",
        )


def acting_org(db: Connection, person: Person, operation: Operation) -> OrgId:
    """The person's current organisation, if they may do this there and it may be done now."""
    org = permitted_org(person, operation)
    require_able(db, org, operation)
    return org
