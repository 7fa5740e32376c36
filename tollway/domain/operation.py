"""Every operation of the API, and what it needs: the one table.

`control/access.py` decides by it, `docs/permissions.md` is made from it, and a test compares it with
the API's own description. Owns who may do what; does not own how that is found out.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum

from tollway.domain.org import Permission
from tollway.domain.role import Role


class Who(StrEnum):
    """Who may, where no permission in an organisation decides."""

    ANYONE = "anyone"
    KEY = "an app's key"
    OPERATOR = "the operator"
    PERSON = "a signed-in user"
    MEMBER = "a member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One operation: where it is, whom it needs, and which state of the organisation it acts on."""

    method: str
    path: str
    need: Permission | Who
    needs_active: bool = False
    """Refused in an organisation that is not active."""
    needs_paid_seats: bool = False
    """Refused while the organisation's seats are not paid."""
    takes_key: bool = False
    """An app's key may do it too, for its own app."""
    in_app: Role | None = None
    """The role in the app that it acts on which is enough, without the permission. An `admin:app` has
    every role in every app."""


def _read(method: str, path: str, need: Permission | Who) -> Rule:
    return Rule(method=method, path=path, need=need)


def _write(method: str, path: str, need: Permission | Who) -> Rule:
    return Rule(method=method, path=path, need=need, needs_active=True, needs_paid_seats=True)


def _while_active(method: str, path: str, need: Permission | Who) -> Rule:
    """For what goes on while seats are not paid."""
    return Rule(method=method, path=path, need=need, needs_active=True)


def _with_key(method: str, path: str, need: Permission, *, needs_active: bool = False) -> Rule:
    """For a member, or an app by its key."""
    return Rule(method=method, path=path, need=need, needs_active=needs_active, takes_key=True)


def _of_app(rule: Rule, role: Role) -> Rule:
    """For an operation on an app: this role there is enough too."""
    return replace(rule, in_app=role)


class Operation(Enum):
    """Named by what they do; in the order of the API's paths."""

    CHAT = _read("POST", "/v1/chat/completions", Who.KEY)
    LIST_MODELS = _read("GET", "/v1/models", Who.KEY)
    SHOW_MODEL = _read("GET", "/v1/models/{model}", Who.KEY)

    SIGN_IN = _read("GET", "/v1/auth/login", Who.ANYONE)
    COME_BACK = _read("GET", "/v1/auth/callback", Who.ANYONE)
    TAKE_SIGN_IN = _read("POST", "/v1/auth/token", Who.ANYONE)
    SIGN_OUT = _read("POST", "/v1/auth/logout", Who.PERSON)

    CREATE_USER = _read("POST", "/v1/users", Who.OPERATOR)
    SHOW_ME = _read("GET", "/v1/users/me", Who.PERSON)
    LIST_TOKENS = _read("GET", "/v1/users/tokens", Who.PERSON)
    CREATE_TOKEN = _read("POST", "/v1/users/tokens", Who.PERSON)
    REVOKE_TOKEN = _read("DELETE", "/v1/users/tokens/{token_id}", Who.PERSON)

    CREATE_ORG = _read("POST", "/v1/orgs", Who.PERSON)
    CHECK_ORG_NAME = _read("POST", "/v1/orgs/check-name", Who.PERSON)
    LIST_ORGS = _read("GET", "/v1/orgs/list", Who.PERSON)
    SWITCH_ORG = _read("PATCH", "/v1/orgs/switch/{org_id}", Who.PERSON)
    UPDATE_ORG = _write("PUT", "/v1/orgs/update", Permission.EDITOR_ORG)
    DEACTIVATE_ORG = _write("POST", "/v1/orgs/deactivate", Permission.ADMIN_ORG)
    DELETE_ORG = Rule(
        method="DELETE", path="/v1/orgs/current", need=Permission.ADMIN_ORG, needs_paid_seats=True
    )
    SHOW_ORG = _read("GET", "/v1/orgs/current", Who.MEMBER)
    LIST_CYCLES = _read("GET", "/v1/orgs/cycles", Who.MEMBER)
    PUT_INTEGRATIONS = _write("PUT", "/v1/orgs/integrations", Permission.EDITOR_ORG)
    SHOW_INTEGRATIONS = _read("GET", "/v1/orgs/integrations/status", Who.MEMBER)
    TEST_INTEGRATIONS = _while_active("POST", "/v1/orgs/integrations/test", Permission.EDITOR_ORG)

    LIST_MEMBERS = _read("POST", "/v1/orgs/members", Permission.VIEWER_MEMBERS)
    SHOW_MEMBER = _read("GET", "/v1/orgs/members/{id}", Permission.VIEWER_MEMBERS)
    PUT_PERMISSIONS = _write("PUT", "/v1/orgs/members/permissions", Permission.EDITOR_MEMBERS)
    REMOVE_MEMBER = _write("DELETE", "/v1/orgs/members/{id}", Permission.ADMIN_MEMBERS)
    LEAVE_ORG = _read("POST", "/v1/orgs/leave", Who.MEMBER)
    INVITE = _write("POST", "/v1/orgs/invite", Permission.EDITOR_MEMBERS)
    RESEND_INVITE = _write("POST", "/v1/orgs/resend-invite", Permission.EDITOR_MEMBERS)
    JOIN_ORG = _write("POST", "/v1/orgs/join-with-invite", Who.PERSON)

    CREATE_APP = _write("POST", "/v1/apps/create", Permission.EDITOR_APP)
    LIST_APPS = _read("POST", "/v1/apps", Who.MEMBER)
    UPDATE_APP = _of_app(_write("PUT", "/v1/apps/update", Permission.EDITOR_APP), Role.EDITOR)
    SHOW_APP = _of_app(_read("GET", "/v1/apps/{app_id}", Permission.VIEWER_APP), Role.VIEWER)
    REVOKE_APP = _of_app(_write("DELETE", "/v1/apps/{app_id}", Permission.EDITOR_APP), Role.ADMIN)
    SHOW_APP_LIMITS = _of_app(_read("GET", "/v1/apps/{app_id}/limits", Permission.VIEWER_APP), Role.VIEWER)
    PUT_APP_LIMITS = _of_app(_write("PUT", "/v1/apps/{app_id}/limits", Permission.EDITOR_APP), Role.ADMIN)
    PUT_KEY_LIMITS = _of_app(
        _write("PUT", "/v1/apps/{app_id}/keys/{key_id}/limits", Permission.EDITOR_APP), Role.ADMIN
    )
    REGENERATE_KEY = _of_app(
        _write("POST", "/v1/apps/{app_id}/regenerate-key", Permission.EDITOR_APP), Role.ADMIN
    )
    LIST_ACCESS_TOKENS = _of_app(
        _read("GET", "/v1/apps/{app_id}/access-tokens", Permission.VIEWER_APP), Role.VIEWER
    )
    PUT_ACCESS_TOKEN = _of_app(
        _write("POST", "/v1/apps/{app_id}/access-tokens", Permission.EDITOR_APP), Role.ADMIN
    )
    REVOKE_ACCESS_TOKEN = _of_app(
        _write("DELETE", "/v1/apps/{app_id}/access-tokens/{access_token_id}", Permission.EDITOR_APP),
        Role.ADMIN,
    )
    LIST_APP_MEMBERS = _of_app(_read("GET", "/v1/apps/{app_id}/members", Permission.VIEWER_APP), Role.VIEWER)
    PUT_APP_MEMBER = _of_app(_write("POST", "/v1/apps/{app_id}/members", Permission.ADMIN_APP), Role.ADMIN)
    REMOVE_APP_MEMBER = _of_app(
        _write("DELETE", "/v1/apps/{app_id}/members/{user_id}", Permission.ADMIN_APP), Role.ADMIN
    )
    LIST_APP_MODELS = _of_app(_read("GET", "/v1/apps/{app_id}/models", Permission.VIEWER_APP), Role.VIEWER)
    SWITCH_APP_MODEL = _of_app(
        _write("PUT", "/v1/apps/{app_id}/models/{model_id}/toggle", Permission.EDITOR_APP), Role.EDITOR
    )

    SHOW_SPENDING_LIMITS = _read("GET", "/v1/billing/limits", Who.MEMBER)
    PUT_SPENDING_LIMITS = _while_active("PUT", "/v1/billing/limits", Permission.EDITOR_ORG)

    LIST_LOGS = _with_key("POST", "/v1/logs", Permission.VIEWER_APP)
    SHOW_LOG = _with_key("GET", "/v1/logs/{log_id}", Permission.VIEWER_APP)
    RATE_LOG = _with_key("POST", "/v1/logs/{log_id}/rating", Permission.VIEWER_APP, needs_active=True)
    SHOW_RETENTION = _read("GET", "/v1/logs/retention", Permission.VIEWER_APP)
    PUT_RETENTION = _write("PUT", "/v1/logs/retention", Permission.EDITOR_ORG)
    DRAW_GRAPHS = _with_key("POST", "/v1/stats", Permission.VIEWER_APP)

    CHANGE_ORG = _read("PATCH", "/v1/operator/orgs/{org_id}", Who.OPERATOR)
    PUT_RATE_CARD = _read("PUT", "/v1/operator/orgs/{org_id}/rate_card", Who.OPERATOR)
    LIST_RATE_CARDS = _read("GET", "/v1/operator/orgs/{org_id}/rate_card", Who.OPERATOR)
    LIST_TRAIL = _read("GET", "/v1/audit/trail", Permission.ADMIN_ORG)
    AUDIT_LEDGER = _read("GET", "/v1/audit/ledger", Who.OPERATOR)

    SHOW_HEALTH = _read("GET", "/healthz", Who.ANYONE)
    SHOW_READINESS = _read("GET", "/readyz", Who.ANYONE)
    SHOW_METRICS = _read("GET", "/metrics", Who.OPERATOR)

    @property
    def title(self) -> str:
        """As people read it: `create app`."""
        return self.name.lower().replace("_", " ")
