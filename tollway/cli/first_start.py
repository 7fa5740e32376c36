"""The first start: the tokens that are shown once, and a demo organisation to try things with.

Owns what is made and printed then; does not own users, organisations or apps (`control/`).
"""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from tollway import __version__
from tollway.control.apps import create_app
from tollway.control.orgs import create_org
from tollway.control.users import create_user
from tollway.demo.offer import BENCHMARK_MODEL, CHEAP_MODEL
from tollway.domain.caller import Person
from tollway.domain.org import EVERY_PERMISSION
from tollway.domain.token import Bearer, digest, mint
from tollway.settings import Settings
from tollway.store.deployment import claim_operator
from tollway.store.users import has_users
from tollway.world import World

_EMAIL = "demo@example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStart:
    """What was made at this start, in plain; None for what was there already, or is not wanted."""

    operator_token: str | None = None
    user_token: str | None = None
    app_key: str | None = None


async def first_start(world: World) -> FirstStart:
    """Make what a first start makes; on a later one, nothing."""
    return await world.database.write(_first_start, world.settings, world.clock.now_us())


def _first_start(db: Connection, settings: Settings, now_us: int) -> FirstStart:
    operator_token = None
    if not settings.operator_token:
        made = mint(Bearer.OPERATOR)
        operator_token = made if claim_operator(db, digest(made)) else None
    if "demo" not in settings.providers or has_users(db):
        return FirstStart(operator_token=operator_token)
    user = create_user(db, email=_EMAIL, name="Demo", now_us=now_us)
    person = Person(id=user.id, email=user.email, name=user.name, org_id=None, permissions=frozenset())
    org = create_org(
        db, person, org_name="demo", display_name="Demo organisation", billing_email=_EMAIL, now_us=now_us
    )
    person = replace(person, org_id=org.id, permissions=EVERY_PERMISSION)
    app = create_app(
        db,
        person,
        name="Demo app",
        description=None,
        logo=None,
        benchmark_model=BENCHMARK_MODEL,
        now_us=now_us,
    )
    return FirstStart(operator_token=operator_token, user_token=user.token, app_key=app.created_key)


def greeting(settings: Settings, host: str, port: int, begun: FirstStart) -> str:
    """What is printed once connections are accepted."""
    base = f"http://{_reachable(host)}:{port}"
    lines = [f"Tollway {__version__} listens on {base}   (API: {base}/docs)"]
    if settings.push_allow_cidrs:
        lines.append(
            f"Pushes may also go to {settings.push_allow_cidrs}, unencrypted too (TOLLWAY_PUSH_ALLOW_CIDRS)."
        )
    if begun.operator_token or begun.user_token:
        lines += ["", "First start. These are shown once:"]
    if begun.operator_token:
        lines.append(f"  operator token  {begun.operator_token}")
    if begun.user_token and begun.app_key:
        lines += [
            f"  user token      {begun.user_token}",
            f"  app key         {begun.app_key}",
            "",
            "Try it:",
            f"  {chat_curl(base, begun.app_key)}",
            "",
            "What it cost:",
            f"  curl -s {base}/v1/orgs/current -H 'Authorization: Bearer {begun.user_token}'",
        ]
    return "\n".join(lines)


def chat_curl(base: str, app_key: str) -> str:
    """A line that asks the demo vendor, to be pasted into a shell."""
    body = f'{{"model": "{CHEAP_MODEL}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    return (
        f"curl -s {base}/v1/chat/completions -H 'Authorization: Bearer {app_key}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - every address; a client needs one
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
