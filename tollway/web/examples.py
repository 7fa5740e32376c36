"""An example of each operation's body, as `/openapi.json` and `/docs` show it.

A test holds that every operation that takes a body is here, and that its example is accepted.
"""

from collections.abc import Mapping

from tollway.domain.operation import Operation

_ID = "019cd789-5a00-7000-8000-000000000001"
_PAGE = "https://tollway.example.com/join"

EXAMPLES: Mapping[Operation, object] = {
    Operation.CHAT: {"model": "demo/small", "messages": [{"role": "user", "content": "Hello!"}]},
    Operation.TAKE_SIGN_IN: {"code": "what the browser brought", "verifier": "v" * 43},
    Operation.CREATE_USER: {"email": "ada@example.com", "name": "Ada"},
    Operation.CREATE_TOKEN: {"name": "my laptop", "expires_on": "2099-01-01T00:00:00Z"},
    Operation.CREATE_ORG: {
        "org_name": "acme",
        "org_display_name": "Acme",
        "billing_email": "ada@example.com",
    },
    Operation.CHECK_ORG_NAME: {"org_name": "acme"},
    Operation.UPDATE_ORG: {"org_display_name": "Acme Europe", "address_city": "Ghent"},
    Operation.PUT_INTEGRATIONS: {
        "prom": {
            "id": "123456",
            "token": "password of the receiver",
            "endpoint": "https://prometheus.example.com/api/prom/push",
        },
        "loki": None,
    },
    Operation.TEST_INTEGRATIONS: {},
    Operation.PUT_PERMISSIONS: {"auth0_id": _ID, "permissions": "editor"},
    Operation.INVITE: {"emails": [{"email": "eve@example.com", "role": "viewer"}], "invite_link": _PAGE},
    Operation.RESEND_INVITE: {"email": "eve@example.com", "invite_link": _PAGE, "org_id": _ID},
    Operation.JOIN_ORG: {"email": "eve@example.com", "token": "what the letter's link has", "accept": "1"},
    Operation.CREATE_APP: {"name": "Support bot", "benchmark_model": "demo/large"},
    Operation.LIST_APPS: {},
    Operation.UPDATE_APP: {"id": _ID, "name": "Support bot", "benchmark_model": "demo/large"},
    Operation.PUT_ACCESS_TOKEN: {"name": "nightly run", "permissions": ["inference"]},
    Operation.PUT_APP_MEMBER: {"auth0_id": _ID, "permissions": ["editor"]},
    Operation.PUT_APP_LIMITS: {"rate_limit": 60, "spending_limit": 25},
    Operation.PUT_KEY_LIMITS: {"tokens_per_minute": 100000},
    Operation.PUT_SPENDING_LIMITS: {"spending_limit_soft": 50, "spending_limit_hard": 100},
    Operation.LIST_LOGS: {"date_from": "2026-03-01T00:00:00Z", "labels": {"team": "search"}},
    Operation.RATE_LOG: {"good_answer": True, "feedback": "Right, and short."},
    Operation.PUT_RETENTION: {"days": 30},
    Operation.DRAW_GRAPHS: {"date_from": "2026-03-01T00:00:00Z", "group_by": "app"},
    Operation.CHANGE_ORG: {"rate_limit": 600, "subscription_tier": "_INTERNAL_"},
    Operation.PUT_RATE_CARD: {"markup": "1.25"},
}
