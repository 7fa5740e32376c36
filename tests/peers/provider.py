"""A real OpenID Connect provider on the loopback: idpyoidc, behind a server of ours.

The protocol is idpyoidc's own: discovery, authorization, PKCE, token, user info, signed tokens.
Whoever comes to the authorization endpoint is signed in as `user`, without a form.
"""

import json
from typing import Any

from aiohttp import web
from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration

from tollway.demo.server import LoopbackServer

CLIENT_ID = "tollway"
CLIENT_SECRET = "the-secret-of-tollway-at-the-provider"
OTHER_CLIENT_ID = "a-script"
AUDIENCE = "https://tollway.example.com"

_KEYS = [{"type": "RSA", "use": ["sig"]}, {"type": "EC", "crv": "P-256", "use": ["sig"]}]
_PASSWORDS = [{"type": "OCT", "use": ["enc"], "kid": kid} for kid in ("password", "salt")]
_OIDC = "idpyoidc.server.oidc"
_SESSIONS = "idpyoidc.server.session.manager"


class OpenIDProvider(LoopbackServer):
    """The provider; its issuer is its URL. `people` are what it knows of each user."""

    def __init__(self) -> None:
        super().__init__()
        self._clients: dict[str, str] = {}
        self.user = "ada"
        self.people: dict[str, dict[str, object]] = {
            "ada": {"email": "ada@example.com", "email_verified": True, "name": "Ada"}
        }
        self.asked: list[str] = []
        """The path of each request."""
        self.id_token_claims = ["email", "email_verified", "name"]
        """What stands in the ID token already; the rest is for who asks for the user info."""

    async def start(self, port: int = 0) -> str:
        """Serve, with new keys; a new issuer unless it is the same port again."""
        url = await super().start(port)
        self.rotate()
        return url

    def rotate(self) -> None:
        """Sign with new keys from now on, and publish those alone. Who signed in before is forgotten."""
        self._server = Server(OPConfiguration(conf=self._configuration(self.url), base_path="."))
        self._server.context.userinfo.db = self.people  # it made a copy
        for client, back in self._clients.items():
            self._server.context.cdb[client] = {
                "client_id": client,
                "client_secret": CLIENT_SECRET,
                "redirect_uris": [(back, {})],
                "response_types": ["code"],
                "response_types_supported": ["code"],
                "allowed_scopes": ["openid", "profile", "email"],
                "token_endpoint_auth_method": "client_secret_basic",
            }

    def register(self, client: str, redirect_uri: str) -> None:
        """Let the client come, and go back to this place."""
        self._clients[client] = redirect_uri
        self.rotate()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One endpoint's answer."""
        self.asked.append(request.path)
        if request.path == "/jwks.json":
            return web.json_response(self._server.context.keyjar.export_jwks())
        path = request.path.removeprefix("/")
        found = (each for each in self._server.endpoint.values() if each.endpoint_path == path)
        endpoint = next(found, None)
        if endpoint is None:
            raise web.HTTPNotFound
        self._server.context.authn_broker.db["anyone"]["method"].user = self.user
        sent: Any = dict(request.query) if request.method == "GET" else await request.text()
        about = {"headers": {name.lower(): value for name, value in request.headers.items()}}
        parsed = endpoint.parse_request(sent, http_info=about)
        answered = parsed if "error" in parsed else endpoint.process_request(parsed, http_info=about)
        if "error" in answered:
            return web.json_response({"error": answered["error"]}, status=400)
        answer = endpoint.do_response(request=parsed, **answered)
        if answer.get("response_placement", endpoint.response_placement) == "url":
            raise web.HTTPFound(answer["response"])
        return web.json_response(json.loads(answer["response"]))

    def _configuration(self, url: str) -> dict[str, object]:
        def endpoint(name: str, path: str, **settings: object) -> dict[str, object]:
            return {"path": path, "class": f"{_OIDC}.{name}", "kwargs": settings}

        clients = {"client_authn_method": ["client_secret_basic", "client_secret_post"]}
        return {
            "issuer": url,
            "subject_types_supported": ["public"],
            "keys": {"uri_path": "jwks.json", "key_defs": _KEYS},
            "endpoint": {
                "provider_config": endpoint(
                    "provider_config.ProviderConfiguration", ".well-known/openid-configuration"
                ),
                "authorization": endpoint("authorization.Authorization", "authorization"),
                "token": endpoint("token.Token", "token", **clients),
                "userinfo": endpoint("userinfo.UserInfo", "userinfo", client_authn_method=["bearer_header"]),
            },
            "authentication": {
                "anyone": {
                    "acr": "nothing was asked",
                    "class": "idpyoidc.server.user_authn.user.NoAuthn",
                    "kwargs": {"user": self.user},
                }
            },
            "userinfo": {"class": "idpyoidc.server.user_info.UserInfo", "kwargs": {"db": self.people}},
            "add_ons": {
                "pkce": {
                    "function": "idpyoidc.server.oauth2.add_on.pkce.add_support",
                    "kwargs": {"essential": True},
                }
            },
            "authz": {
                "class": "idpyoidc.server.authz.AuthzHandling",
                "kwargs": {
                    "grant_config": {
                        "usage_rules": {
                            "authorization_code": {
                                "supports_minting": ["access_token", "id_token"],
                                "max_usage": 1,
                                "expires_in": 300,
                            },
                            "access_token": {"expires_in": 600},
                        },
                        "expires_in": 43_200,
                    }
                },
            },
            "token_handler_args": {
                "key_conf": {"key_defs": _KEYS},
                "code": {
                    "lifetime": 600,
                    # Few iterations: it is a test's.
                    "kwargs": {"crypt_conf": {"kwargs": {"password": "x", "salt": "y", "iterations": 1}}},
                },
                "token": {
                    "class": "idpyoidc.server.token.jwt_token.JWTToken",
                    "kwargs": {
                        "lifetime": 3_600,
                        "base_claims": dict.fromkeys(["email", "email_verified"]),
                    },
                },
                "id_token": {
                    "class": "idpyoidc.server.token.id_token.IDToken",
                    "kwargs": {"base_claims": dict.fromkeys(self.id_token_claims)},
                },
            },
            "session_params": {
                "encrypter": {"kwargs": {"keys": {"key_defs": _PASSWORDS}, "iterations": 1}},
                "sub_func": {"public": {"class": f"{_SESSIONS}.PublicID", "kwargs": {"salt": "of a test"}}},
            },
        }
