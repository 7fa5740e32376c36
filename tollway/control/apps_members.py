"""What people do with an app's members. Owns the rules; does not own the rows, or what a role may do."""

from sqlalchemy import Connection

from tollway.control.access import acting_app, permitted_app
from tollway.control.apps import no_app
from tollway.domain.app import AppMember
from tollway.domain.caller import Person
from tollway.domain.errors import NotFound
from tollway.domain.ids import AppId, UserId
from tollway.domain.operation import Operation
from tollway.domain.role import Role
from tollway.store import apps, apps_members, members


def list_app_members(db: Connection, person: Person, app: AppId) -> list[AppMember]:
    """Who has a role in the app, the first ones first. Forbidden; NotFound."""
    org = permitted_app(db, person, Operation.LIST_APP_MEMBERS, app)
    if apps.find_app(db, org, app) is None:
        raise no_app()
    return apps_members.list_app_members(db, org, app)


def put_app_member(
    db: Connection, person: Person, app: AppId, user: str, role: Role, now_us: int
) -> AppMember:
    """Give a member of the organisation a role in its app. Forbidden; NotFound."""
    org = acting_app(db, person, Operation.PUT_APP_MEMBER, app)
    members.lock_members(db, org)  # nobody leaves meanwhile
    if apps.lock_app(db, org, app) is None:
        raise no_app()
    member = members.find_member(db, org, user)
    if member is None:
        raise NotFound("there is no such member in your current organisation", code="member_not_found")
    apps_members.put_app_member(db, org, app, member.user, role, now_us)
    return next(
        shown for shown in apps_members.list_app_members(db, org, app) if shown.auth0_id == member.user
    )


def remove_app_member(db: Connection, person: Person, app: AppId, user: UserId) -> None:
    """Take somebody's role in the app away. Forbidden; NotFound."""
    org = acting_app(db, person, Operation.REMOVE_APP_MEMBER, app)
    if apps.lock_app(db, org, app) is None:
        raise no_app()
    if not apps_members.remove_app_member(db, org, app, user):
        raise no_app_member()


def no_app_member() -> NotFound:
    """The same for somebody of another organisation and for an id that nobody has."""
    return NotFound("the app has no such member", code="app_member_not_found")
