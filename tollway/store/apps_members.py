"""Members of an app: who has which role in it, beside what they may do in its organisation.

Owns the rows; does not own the rules (`control/access.py`, `control/apps_members.py`).
"""

from sqlalchemy import Connection, delete, select, update

from tollway.domain.app import AppMember
from tollway.domain.clock import moment
from tollway.domain.ids import AppId, OrgId, UserId, new_id
from tollway.domain.role import Role
from tollway.store.apps_schema import app_members
from tollway.store.schema import users
from tollway.store.upsert import keeping

_KEEPING = keeping(app_members)


def find_role(db: Connection, org: OrgId, app: AppId, user: UserId) -> Role | None:
    """The user's role in the app; None if they have none, or `org` no such app."""
    found = select(app_members.c.role).where(
        app_members.c.org_id == org, app_members.c.app_id == app, app_members.c.user_id == user
    )
    role = db.execute(found).scalar()
    return None if role is None else Role(role)


def list_app_members(db: Connection, org: OrgId, app: AppId) -> list[AppMember]:
    """All of them, the first ones first."""
    rows = db.execute(
        select(app_members, users.c.name, users.c.email)
        .join(users, users.c.id == app_members.c.user_id)
        .where(app_members.c.org_id == org, app_members.c.app_id == app)
        .order_by(app_members.c.added_us, app_members.c.id)
    )
    return [
        AppMember(
            id=row.id,
            app_id=app,
            auth0_id=UserId(row.user_id),
            permissions=row.role,
            added_on=moment(row.added_us),
            name=row.name,
            email=row.email,
        )
        for row in rows
    ]


def put_app_member(db: Connection, org: OrgId, app: AppId, user: UserId, role: Role, now_us: int) -> None:
    """Give a member of `org` this role in its app, instead of the one that they may have."""
    row = {
        "id": new_id(now_us),
        "org_id": org,
        "app_id": app,
        "user_id": user,
        "role": role.value,
        "added_us": now_us,
    }
    own = (app_members.c.org_id == org, app_members.c.app_id == app, app_members.c.user_id == user)
    db.execute(_KEEPING[db.dialect.name], row)
    db.execute(update(app_members).where(*own).values(role=role.value))


def remove_app_member(db: Connection, org: OrgId, app: AppId, user: UserId) -> bool:
    """Take the user's role in the app away; whether they had one."""
    gone = db.execute(
        delete(app_members).where(
            app_members.c.org_id == org, app_members.c.app_id == app, app_members.c.user_id == user
        )
    )
    return bool(gone.rowcount)


def forget_roles(db: Connection, org: OrgId, user: UserId) -> None:
    """Take away what the user had in any app of `org`."""
    db.execute(delete(app_members).where(app_members.c.org_id == org, app_members.c.user_id == user))
