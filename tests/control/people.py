"""People of an organisation with just the permissions that a test wants."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete

from tests.world.stage import OPERATOR_TOKEN, Stage, Tenant
from tollway.domain.ids import OrgId, UserId
from tollway.domain.org import Permission
from tollway.store.members import add_member
from tollway.store.schema import members
from tollway.store.users import enter_org


async def member(stage: Stage, tenant: Tenant, email: str, permissions: Iterable[Permission]) -> str:
    """The token of a new member, whose current organisation is the tenant's."""
    body = {"email": email, "name": "Grace"}
    made = await stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=body)
    assert made.status == 201, made.body
    org, user = OrgId(tenant.org_id), UserId(made.json["id"])
    await stage.world.database.write(add_member, org, user, permissions, stage.clock.now_us())
    await stage.world.database.write(enter_org, user, org)
    return str(made.json["token"])


async def in_no_organisation(stage: Stage, email: str = "nobody@example.com") -> str:
    """The token of a user who is in none, not even one of their own: as it may be in old databases."""
    body = {"email": email, "name": "Nobody"}
    made = await stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=body)

    def forget(db: Connection) -> None:
        db.execute(delete(members).where(members.c.user_id == made.json["id"]))

    await stage.world.database.write(forget)
    return str(made.json["token"])
