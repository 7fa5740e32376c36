"""People of an organisation with just the permissions that a test wants."""

from collections.abc import Iterable

from tests.world.stage import OPERATOR_TOKEN, Stage, Tenant
from tollway.domain.ids import OrgId, UserId
from tollway.domain.org import Permission
from tollway.store.orgs import add_member
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
