"""Every operation of the API as somebody might try it: with a path, and a body that would do."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from tests.world.entries import batch, entry
from tests.world.stage import Answer, Stage
from tollway.control.apps import create_app
from tollway.control.apps_keys import put_access_token
from tollway.control.apps_members import put_app_member
from tollway.control.invites import Wanted, invite
from tollway.control.orgs import create_org
from tollway.control.tokens import make_token
from tollway.control.users import create_user
from tollway.demo.offer import CHEAP_MODEL
from tollway.domain.caller import EVERY_KEY_PERMISSION, Person
from tollway.domain.ids import AppId, JournalId, KeyId, RequestId
from tollway.domain.operation import Operation
from tollway.domain.org import EVERY_PERMISSION
from tollway.domain.role import Permissions, Role
from tollway.store.app_limits import app_limits
from tollway.store.members import add_member
from tollway.store.usage import fold
from tollway.store.users import enter_org
from tollway.store.vault import Vault

PAGE = "https://app.example.com/join"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An organisation with an app, a creator, an actor, a bystander, and an invite of each kind."""

    org_id: str
    org_name: str
    creator: str
    actor: str
    """Tokens, of the creator and of the member who tries things."""
    actor_id: str
    actor_email: str
    app_id: str
    app_key: str
    key_id: str
    bystander_id: str
    """A viewer."""
    invite_id: str
    invited: str
    """The e-mail of somebody who has not answered yet."""
    token_for_actor: str
    """Of an invite to yet another organisation."""
    log_id: str
    """Of a call of the app."""
    token_id: str
    """Of another token of the actor."""
    access_token_id: str
    """Of the app."""


async def scene(stage: Stage, name: str = "acme", permissions: Permissions = EVERY_PERMISSION) -> Scene:
    """A scene whose actor has these permissions."""
    return await stage.world.database.write(
        _build, name, permissions, stage.world.vault, stage.clock.now_us()
    )


def _build(db: Connection, name: str, permissions: Permissions, vault: Vault, now_us: int) -> Scene:
    def user(role: str) -> tuple[Person, str]:
        email = f"{role}@{name}.example.com"
        made = create_user(db, email=email, name=role, now_us=now_us)
        person = Person(id=made.id, email=email, name=role, org_id=None, permissions=EVERY_PERMISSION)
        return person, made.token

    def org(person: Person, org_name: str) -> Person:
        made = create_org(db, person, org_name=org_name, display_name=None, billing_email=None, now_us=now_us)
        return replace(person, org_id=made.id)

    def invited(by: Person, email: str) -> Any:  # noqa: ANN401 - the one new invite
        (made,) = invite(db, by, [Wanted(email, Role.VIEWER)], PAGE, plans={}, vault=vault, now_us=now_us)
        return made

    def logged(app: AppId, key: KeyId) -> RequestId:
        call = entry(org_id=creator.org_id, app_id=app, key_id=key)
        fold(db, batch([(0, call)], JournalId(f"journal of {name}")), now_us)
        return call.request_id

    host, _ = user("host")
    host = org(host, f"{name}-host")
    creator, creator_token = user("creator")
    creator = org(creator, name)
    assert creator.org_id is not None
    actor, actor_token = user("actor")
    bystander, _ = user("bystander")
    for person, held in ((actor, permissions), (bystander, Role.VIEWER.permissions)):
        add_member(db, creator.org_id, person.id, held, now_us)
        enter_org(db, person.id, creator.org_id)
    app = create_app(
        db, creator, name="App", description=None, logo=None, benchmark_model=None, now_us=now_us
    )
    made = put_access_token(
        db,
        creator,
        app.id,
        name="tool",
        permissions=EVERY_KEY_PERMISSION,
        expires_us=None,
        now_us=now_us,
    )
    put_app_member(db, creator, app.id, bystander.id, Role.VIEWER, now_us)
    limits = app_limits(db, creator.org_id, app.id)
    assert limits is not None
    pending = invited(creator, f"invited@{name}.example.com")
    return Scene(
        org_id=creator.org_id,
        org_name=name,
        creator=creator_token,
        actor=actor_token,
        actor_id=actor.id,
        actor_email=actor.email,
        app_id=app.id,
        app_key=app.created_key,
        key_id=limits.keys[0].id,
        access_token_id=made.id,
        bystander_id=bystander.id,
        invite_id=pending.id,
        invited=pending.email,
        log_id=logged(app.id, limits.keys[0].id),
        token_for_actor=invited(host, actor.email).token,
        token_id=make_token(db, actor.id, name="other", expires_us=None, now_us=now_us).stored.id,
    )


IDS: Mapping[str, Callable[[Scene], str]] = {
    "org_id": lambda on: on.org_id,
    "app_id": lambda on: on.app_id,
    "key_id": lambda on: on.key_id,
    "access_token_id": lambda on: on.access_token_id,
    "id": lambda on: on.bystander_id,
    "log_id": lambda on: on.log_id,
    "user_id": lambda on: on.bystander_id,
    "token_id": lambda on: on.token_id,
}
"""What stands in a path for something of an organisation, by its name there."""
OF_NOBODY = {"model": CHEAP_MODEL, "model_id": CHEAP_MODEL}
"""What stands in a path and is no organisation's."""
QUERIES: Mapping[Operation, Callable[[Scene], str]] = {
    Operation.DELETE_ORG: lambda on: f"?org_name={on.org_name}",
    Operation.SWITCH_APP_MODEL: lambda _: "?enable=false",
}
BODIES: Mapping[Operation, Callable[[Scene], object]] = {
    Operation.CHAT: lambda _: {"model": CHEAP_MODEL, "messages": [{"role": "user", "content": "Hello!"}]},
    Operation.TAKE_SIGN_IN: lambda _: {"code": "none", "verifier": "v" * 43},
    Operation.CREATE_TOKEN: lambda _: {"name": "mine"},
    Operation.CREATE_USER: lambda on: {"email": f"new@{on.org_name}.example.com", "name": "New"},
    Operation.CREATE_ORG: lambda on: {"org_name": f"{on.org_name}-new"},
    Operation.CHECK_ORG_NAME: lambda _: {"org_name": "free"},
    Operation.UPDATE_ORG: lambda on: {"id": on.org_id, "org_display_name": "Changed"},
    Operation.PUT_INTEGRATIONS: lambda _: {"prom": None},
    Operation.TEST_INTEGRATIONS: lambda _: {},
    Operation.PUT_PERMISSIONS: lambda on: {"auth0_id": on.bystander_id, "permissions": "viewer:app"},
    Operation.INVITE: lambda on: {
        "emails": [{"email": f"another@{on.org_name}.example.com", "role": "viewer"}],
        "invite_link": PAGE,
    },
    Operation.RESEND_INVITE: lambda on: {"email": on.invited, "invite_link": PAGE, "org_id": on.org_id},
    Operation.JOIN_ORG: lambda on: {"email": on.actor_email, "token": on.token_for_actor},
    Operation.CREATE_APP: lambda _: {"name": "New app"},
    Operation.UPDATE_APP: lambda on: {"id": on.app_id, "name": "Changed"},
    Operation.PUT_ACCESS_TOKEN: lambda _: {"name": "new", "permissions": ["inference"]},
    Operation.PUT_APP_MEMBER: lambda on: {"auth0_id": on.bystander_id, "permissions": ["editor"]},
    Operation.PUT_APP_LIMITS: lambda _: {"rate_limit": 7},
    Operation.PUT_KEY_LIMITS: lambda _: {"rate_limit": 7},
    Operation.PUT_SPENDING_LIMITS: lambda _: {"spending_limit_hard": 7},
    Operation.LIST_LOGS: lambda _: {"date_from": "2026-03-01"},
    Operation.RATE_LOG: lambda _: {"good_answer": True},
    Operation.PUT_RETENTION: lambda _: {"days": 7},
    Operation.DRAW_GRAPHS: lambda _: {"date_from": "2026-03-01"},
    Operation.CHANGE_ORG: lambda _: {"rate_limit": 7},
    Operation.PUT_RATE_CARD: lambda _: {"markup": "1.5"},
}


def names_in(path: str) -> list[str]:
    """The names of what has to be filled in."""
    return re.findall(r"\{(\w+)\}", path)


async def attempt(
    stage: Stage,
    operation: Operation,
    on: Scene,
    token: str | None,
    ids: Mapping[str, str] | None = None,
) -> Answer:
    """Try an operation on what the scene has; `ids` stand in the path instead of its own."""
    path = operation.value.path
    for name in names_in(path):
        found = OF_NOBODY.get(name) or (ids or {}).get(name) or IDS[name](on)
        path = path.replace(f"{{{name}}}", found)
    if operation in QUERIES:
        path += QUERIES[operation](on)
    body = BODIES[operation](on) if operation in BODIES else None
    return await stage.request(operation.value.method, path, token=token, body=body)
