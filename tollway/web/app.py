"""The whole route table. Inference goes straight to the gateway, past the control plane's framework.

    POST   /v1/chat/completions      gateway/chat.py
    GET    /v1/models[/{model}]      gateway/models.py
    GET    /v1/auth/login            web/api/auth.py
    GET    /v1/auth/callback
    POST   /v1/auth/token
    POST   /v1/auth/logout
    POST   /v1/users                 web/api/users.py
    GET    /v1/users/me              web/api/tokens.py
    GET    /v1/users/tokens
    POST   /v1/users/tokens
    DELETE /v1/users/tokens/{token_id}
    POST   /v1/orgs                  web/api/orgs.py
    POST   /v1/orgs/check-name
    GET    /v1/orgs/list
    PATCH  /v1/orgs/switch/{org_id}
    PUT    /v1/orgs/update
    POST   /v1/orgs/deactivate
    GET    /v1/orgs/current
    DELETE /v1/orgs/current
    GET    /v1/orgs/cycles
    PUT    /v1/orgs/integrations
    POST   /v1/orgs/members          web/api/members.py
    PUT    /v1/orgs/members/permissions
    GET    /v1/orgs/members/{id}
    DELETE /v1/orgs/members/{id}
    POST   /v1/orgs/leave
    POST   /v1/orgs/invite
    POST   /v1/orgs/resend-invite
    POST   /v1/orgs/join-with-invite
    POST   /v1/apps                  web/api/apps.py
    POST   /v1/apps/create
    PUT    /v1/apps/update
    GET    /v1/apps/{app_id}
    DELETE /v1/apps/{app_id}
    GET    /v1/apps/{app_id}/limits
    PUT    /v1/apps/{app_id}/limits
    PUT    /v1/apps/{app_id}/keys/{key_id}/limits
    POST   /v1/apps/{app_id}/regenerate-key              web/api/apps_keys.py
    GET    /v1/apps/{app_id}/access-tokens
    POST   /v1/apps/{app_id}/access-tokens
    DELETE /v1/apps/{app_id}/access-tokens/{access_token_id}
    GET    /v1/apps/{app_id}/members                     web/api/apps_members.py
    POST   /v1/apps/{app_id}/members
    DELETE /v1/apps/{app_id}/members/{user_id}
    GET    /v1/apps/{app_id}/models                      web/api/apps_models.py
    PUT    /v1/apps/{app_id}/models/{model_id}/toggle
    GET    /v1/billing/limits        web/api/billing.py
    PUT    /v1/billing/limits
    PATCH  /v1/operator/orgs/{org_id}            web/api/operator_orgs.py
    PUT    /v1/operator/orgs/{org_id}/rate_card  web/api/operator.py
    GET    /v1/operator/orgs/{org_id}/rate_card
    POST   /v1/logs                  web/api/logs.py
    GET    /v1/logs/retention
    PUT    /v1/logs/retention
    GET    /v1/logs/{log_id}
    POST   /v1/logs/{log_id}/rating
    POST   /v1/stats                 web/api/stats.py
    GET    /v1/audit/ledger          web/api/audit.py
    GET    /v1/audit/trail           web/api/trail.py
    GET    /healthz, /readyz         web/api/health.py
    GET    /metrics                  web/api/metrics.py   also alone, on `metrics_port`
    GET    /openapi.json, /docs

Owns which path leads where, and the last resort for errors; does not own any answer.
"""

import asyncio
import logging
from functools import cache, partial
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from tollway import __version__
from tollway.control.issuer import Issuer
from tollway.domain.errors import BadRequest, TollwayError, Unavailable
from tollway.gateway.call import Call, Reply
from tollway.gateway.chat import chat
from tollway.gateway.models import list_models, show_model
from tollway.web import errors
from tollway.web.api import (
    apps,
    apps_keys,
    apps_members,
    apps_models,
    audit,
    auth,
    billing,
    health,
    logs,
    members,
    metrics,
    operator,
    operator_orgs,
    orgs,
    stats,
    tokens,
    trail,
    users,
)
from tollway.web.body import Bounded
from tollway.web.hot import Handler, Receive, Scope, Send, serve
from tollway.web.openapi import completed
from tollway.web.origins import shared
from tollway.web.recorded import Recorded
from tollway.world import World

_CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"

_log = logging.getLogger(__name__)


class App:
    """The ASGI application of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        control = Bounded(Recorded(control_plane(world), world.clock), world.settings.client_idle_s)
        self._control = shared(control, world.settings.cors_allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and count it."""
        if scope["type"] != "http":
            return
        now_us = self._world.clock.now_us
        traffic = self._world.gateway.meter.traffic
        sent = _Watched(send)
        path = scope["path"].rstrip("/")
        handler = self._inference(scope["method"], path)
        passage = traffic.control if handler is None else traffic.chat if path == _CHAT else traffic.models
        began_us = now_us()
        passage.in_flight += 1
        try:
            await self._answer(handler, path, scope, receive, sent)
        finally:
            passage.ended(sent.status, now_us() - began_us)

    async def _answer(
        self, handler: Handler | None, path: str, scope: Scope, receive: Receive, sent: "_Watched"
    ) -> None:
        """Whatever was not foreseen is a 500, logged, and nothing else suffers."""
        try:
            if handler is None:
                # A redirect to the path without the slash would send tokens wherever `Host` says.
                await self._control({**scope, "path": path or "/"}, receive, sent)
            else:
                await serve(handler, self._world, scope, receive, sent)
        except asyncio.CancelledError:  # by a stop, once its time to drain is over
            failure: TollwayError = Unavailable("this server is stopping; try again", code="stopping")
        except Exception:  # noqa: BLE001 - the last resort
            _log.exception("%s %s failed", scope["method"], scope["path"])
            failure = TollwayError(errors.UNFORESEEN)
        else:
            return
        if sent.status:
            return
        if handler is None:
            await errors.response(failure)(scope, receive, sent)
        else:
            await serve(partial(_fail, failure), self._world, scope, receive, sent)

    def _inference(self, method: str, path: str) -> Handler | None:
        """Who answers an inference request; None for a path of the control plane."""
        gateway = self._world.gateway
        if path == _CHAT:
            return partial(chat, gateway=gateway) if method == "POST" else _wrong_method("POST")
        if path == _MODELS:
            return partial(list_models, gateway=gateway) if method == "GET" else _wrong_method("GET")
        if path.startswith(f"{_MODELS}/"):
            name = path.removeprefix(f"{_MODELS}/")
            return (
                partial(show_model, gateway=gateway, name=name) if method == "GET" else _wrong_method("GET")
            )
        return None


def control_plane(world: World) -> FastAPI:
    """The control plane's application, which also describes the inference routes."""
    api = FastAPIOffline(
        title="Tollway",
        version=__version__,
        summary="An LLM gateway: metered, limited and billed from one ledger.",
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.world = world
    registration = world.settings.registration
    api.state.issuer = Issuer(registration, world.clock) if registration else None
    api.state.metrics_door = metrics.Door(world, is_open=False)
    errors.install(api)
    for module in (
        *(auth, users, tokens, orgs, members, apps, apps_keys, apps_members, apps_models),
        *(billing, logs, stats, audit, trail, operator, operator_orgs, health, metrics),
    ):
        api.include_router(module.router)
    described = api.openapi

    @cache
    def openapi() -> dict[str, Any]:
        return completed(described())

    api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return api


def metrics_alone(world: World) -> Bounded:
    """The ASGI application of the operator's own port: `/metrics`, and nothing else."""
    api = FastAPI(openapi_url=None, redirect_slashes=False)
    api.state.world = world
    api.state.metrics_door = metrics.Door(world, is_open=True)
    errors.install(api)
    api.include_router(metrics.router)
    return Bounded(api, world.settings.client_idle_s)


class _Watched:
    """`send`, remembering the status of the answer that was begun; 0 before."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Any) -> None:  # noqa: ANN401 - ASGI's messages
        if not self.status:
            self.status = message["status"]
        await self._send(message)


class _WrongMethod(BadRequest):
    status = 405
    code = "method_not_allowed"


def _wrong_method(allowed: str) -> Handler:
    async def refuse(_call: Call) -> Reply:
        refusal = _WrongMethod("this path has no such method")
        refusal.headers = ((b"allow", allowed.encode()),)
        raise refusal

    return refuse


async def _fail(error: TollwayError, _call: Call) -> Reply:
    raise error
