"""A small issuer on the loopback that a test can make misbehave, and the tokens that it signs.

Not a provider: it has a discovery document and keys, and signs what it is told to.
"""

import asyncio
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any

from aiohttp import web
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tollway.control.signatures import KEY_TYPES, Key
from tollway.demo.server import LoopbackServer

DOCUMENT = "/.well-known/openid-configuration"
JWKS = "/keys"


@cache
def key_of(algorithm: str, kid: str) -> Key:
    """A private key, the same each time: making one takes long."""
    named: Any = {"kid": kid}
    match KEY_TYPES[algorithm]:
        case "RSA":
            return RSAKey.generate_key(2048, named)
        case "EC":
            curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
            return ECKey.generate_key(curves[algorithm], named)
        case _:
            return OKPKey.generate_key("Ed25519", named)


class SmallIssuer(LoopbackServer):
    """The issuer. `answers` replace what it has at a path: a JSON value, text, or a whole answer."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[Key] = [key_of("RS256", "first")]
        self.asked: list[str] = []
        self.sent: dict[str, tuple[Mapping[str, str], str]] = {}
        """Headers and body of the last request of each path."""
        self.answers: dict[str, Any] = {}
        self.pause_s = 0.0

    @property
    def document(self) -> dict[str, Any]:
        """Its discovery document."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}{JWKS}",
            "userinfo_endpoint": f"{self.url}/userinfo",
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """What it has at this path."""
        self.asked.append(request.path)
        self.sent[request.path] = request.headers, await request.text()
        await asyncio.sleep(self.pause_s)
        keys = {"keys": [key.as_dict(private=False) for key in self.keys]}
        has = {DOCUMENT: self.document, JWKS: keys, **self.answers}
        answer = has.get(request.path)
        if answer is None:
            raise web.HTTPNotFound
        if isinstance(answer, web.HTTPException):
            raise answer
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.json_response(answer)


def signed(claims: dict[str, Any], algorithm: str = "RS256", key: Key | None = None, **header: object) -> str:
    """A token that this key signed; a header of None is left out."""
    key = key or key_of(algorithm, "first")
    whole = {"alg": algorithm, "kid": key.kid, **header}
    kept = {name: value for name, value in whole.items() if value is not None}
    return signed_text(json.dumps(claims), json.dumps(kept), algorithm, key)


def signed_text(
    claims: str,
    header: str = '{"alg": "RS256", "kid": "first"}',
    algorithm: str = "RS256",
    key: Key | None = None,
) -> str:
    """A token with just these texts in it."""
    signing = f"{encoded(header.encode())}.{encoded(claims.encode())}"
    model = jws.JWSRegistry.algorithms[algorithm]
    return f"{signing}.{encoded(model.sign(signing.encode(), key or key_of('RS256', 'first')))}"


def unsigned(claims: dict[str, Any], **header: object) -> str:
    """A token without a signature."""
    return f"{part({'alg': 'none', **header})}.{part(claims)}."


def signed_with_the_public_key(claims: dict[str, Any], key: Key) -> str:
    """HS256, with the text of the public key for a secret: what everybody can do."""
    signing = f"{part({'alg': 'HS256', 'kid': key.kid})}.{part(claims)}"
    public = key.as_pem(private=False)
    return f"{signing}.{encoded(hmac.new(public, signing.encode(), sha256).digest())}"


def part(value: object) -> str:
    """One part of a token."""
    return encoded(json.dumps(value).encode())


def encoded(data: bytes) -> str:
    """Base64 as tokens have it."""
    return urlsafe_b64encode(data).decode().rstrip("=")
