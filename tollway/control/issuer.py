"""The OpenID Connect issuer of this installation: its document, its keys, and what it signed.

Whatever callers send, it is asked for its keys at most once each RETRY_S; while it is away, the
keys that are known serve on. Every answer is bounded in size and time, and no redirect is
followed. Owns asking and believing it; does not own users (`control/sign_in.py`).
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oidc.core.claims import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry

from tollway import __version__
from tollway.control.signatures import (
    KEY_TYPES,
    Key,
    SignatureError,
    key_for,
    read_header,
    read_keys,
    verified,
)
from tollway.domain.clock import US_PER_S, Clock
from tollway.domain.errors import IssuerUnavailable, Unauthenticated
from tollway.domain.identity import Identity, Registration, check_issuer_url, identity_of

RETRY_S = 10
FRESH_S = 600
"""A key that the issuer has withdrawn is accepted no longer than this."""
LEEWAY_S = 60
DEADLINE_S = 5.0
MAX_ANSWER_BYTES = 256 * 1024
MAX_AT_ONCE = 16
"""Codes that are being redeemed; further ones are refused, since anybody can bring one."""

SCOPES = "openid email profile"
_TOKEN_TYPES = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})
_NOT_VALID = "this token is not valid here, or not any more: sign in again"

_log = logging.getLogger(__name__)


class Document(msgspec.Struct, frozen=True):
    """What we need of an issuer's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    document: Document
    keys: list[Key]
    asked_us: int


class Issuer:
    """One issuer, as one process knows it. It is first asked when it is first needed."""

    def __init__(self, registration: Registration, clock: Clock, deadline_s: float = DEADLINE_S) -> None:
        self.registration = registration
        self._deadline_s = deadline_s
        self._clock = clock
        self._known: _Known | None = None
        self._tried_us: int | None = None
        self._asking = asyncio.Lock()
        self._redeeming = 0

    async def identify(self, token: str) -> Identity:
        """Who this access token of ours stands for; Unauthenticated, IssuerUnavailable."""
        registered = self.registration
        try:
            if not registered.audience:
                raise SignatureError("no audience is configured")
            header = read_header(token)
            if (header.typ and header.typ.lower()) not in _TOKEN_TYPES:
                raise SignatureError("it is a token of another kind")
            claims = verified(token, await self._key(token))
            if "cnf" in claims:
                raise SignatureError("it is bound to a key, which is not shown here")
            JWTClaimsRegistry(
                now=self._now_s(),
                leeway=LEEWAY_S,
                iss={"essential": True, "value": registered.issuer},
                aud={"essential": True, "value": registered.audience},
                exp={"essential": True},
                sub={"essential": True},
            ).validate(claims)
            return identity_of(registered.issuer, claims)
        except (SignatureError, JoseError, ValueError, TypeError) as error:
            _log.info("a token was refused: %s", error)
            raise Unauthenticated(_NOT_VALID) from None

    async def sign_in_url(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where to send a person who wants to sign in. IssuerUnavailable."""
        document = (await self._asked()).document
        client = self._client(redirect_uri=redirect_uri)
        url, _ = client.create_authorization_url(
            document.authorization_endpoint, state=state, code_verifier=verifier, nonce=nonce
        )
        return str(url)

    async def redeem(self, code: str, *, redirect_uri: str, nonce: str, verifier: str) -> Identity:
        """Who signed in, for the code that they came back with; Unauthenticated, IssuerUnavailable."""
        if self._redeeming >= MAX_AT_ONCE:
            raise IssuerUnavailable("too many sign-ins at once")
        self._redeeming += 1
        try:
            return await self._redeem(code, redirect_uri, nonce, verifier)
        finally:
            self._redeeming -= 1

    async def _redeem(self, code: str, redirect_uri: str, nonce: str, verifier: str) -> Identity:
        document = (await self._asked()).document
        answer = await self._exchange(document, code, redirect_uri, verifier)
        token, access = answer.get("id_token"), answer.get("access_token")
        try:
            if not isinstance(token, str):
                raise SignatureError("the issuer gave no ID token")
            header = read_header(token)
            claims = verified(token, await self._key(token))
            # Which hash EdDSA has is nowhere said, and the token came from the issuer itself.
            hashed = None if KEY_TYPES[header.alg] == "OKP" else access
            CodeIDToken(
                claims,
                {"alg": header.alg},
                {
                    "iss": {"essential": True, "value": self.registration.issuer},
                    "aud": {"essential": True, "value": self.registration.client_id},
                },
                {"nonce": nonce, "client_id": self.registration.client_id, "access_token": hashed},
            ).validate(now=self._now_s(), leeway=LEEWAY_S)
            is_whole = {"email", "email_verified"} <= claims.keys()
            if not is_whole and document.userinfo_endpoint and isinstance(access, str):
                claims |= await self._userinfo(document.userinfo_endpoint, access, claims["sub"])
            return identity_of(self.registration.issuer, claims)
        except (SignatureError, JoseError, ValueError, TypeError) as error:
            _log.warning("a sign-in was refused: %s", error)
            raise Unauthenticated(
                "the identity provider's answer cannot be believed: sign in again", code="sign_in_failed"
            ) from None

    async def _exchange(
        self, document: Document, code: str, redirect_uri: str, verifier: str
    ) -> dict[str, Any]:
        client = self._client(redirect_uri=redirect_uri)
        url, headers, body = client.client_auth(_auth_method(self.registration, document)).prepare(
            "POST",
            document.token_endpoint,
            {"Content-Type": "application/x-www-form-urlencoded"},
            prepare_token_request(
                "authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=verifier
            ),
        )
        status, answer = await self._call("POST", url, headers, body)
        if status == 200:
            return answer
        _log.warning("the issuer refused a code: %d %r", status, str(answer.get("error"))[:100])
        raise Unauthenticated(
            "the identity provider did not accept this sign-in: start again", code="sign_in_failed"
        )

    async def _userinfo(self, url: str, access_token: str, subject: str) -> dict[str, Any]:
        status, answer = await self._call("GET", url, {"Authorization": f"Bearer {access_token}"})
        if status != 200 or answer.get("sub") != subject:
            raise SignatureError("its user info is of somebody else, or there is none")
        return {name: answer[name] for name in ("email", "email_verified", "name") if name in answer}

    async def _key(self, token: str) -> Key:
        """The key that the token names, asked for again where it is not known; SignatureError."""
        header = read_header(token)
        key = key_for(header, (await self._asked()).keys)
        if key is None:
            key = key_for(header, (await self._asked(again=True)).keys)
        if key is None:
            raise SignatureError("nobody knows its key")
        return key

    async def _asked(self, *, again: bool = False) -> _Known:
        """What is known of the issuer, not too old where it answers; IssuerUnavailable."""
        known = self._known
        if known is not None and not again and (not self._is_old(known) or self._asking.locked()):
            return known
        async with self._asking:
            # Who waited for another's question takes its answer.
            is_news = self._known is not known
            if not is_news and self._may_ask():
                await self._ask()
        if self._known is None:
            raise IssuerUnavailable("the identity provider was never reached")
        return self._known

    def _is_old(self, known: _Known) -> bool:
        return not 0 <= self._clock.now_us() - known.asked_us < FRESH_S * US_PER_S

    def _may_ask(self) -> bool:
        tried_us = self._tried_us
        return tried_us is None or not 0 <= self._clock.now_us() - tried_us < RETRY_S * US_PER_S

    async def _ask(self) -> None:
        """Read the document and the keys; where that fails, what is known stays."""
        self._tried_us = self._clock.now_us()
        try:
            async with asyncio.timeout(self._deadline_s):
                document = self._believed(await self._document())
                status, answer = await self._call("GET", document.jwks_uri, {})
            keys = read_keys(answer) if status == 200 else []
            if not keys:
                raise IssuerUnavailable(f"{document.jwks_uri} has no key that can be used ({status})")
        except (IssuerUnavailable, TimeoutError) as error:
            _log.warning("what is known of the issuer stays as it is: %s", error)
            return
        self._known = _Known(document=document, keys=keys, asked_us=self._clock.now_us())

    async def _document(self) -> Document:
        url = get_well_known_url(self.registration.issuer, external=True)
        status, answer = await self._call("GET", url, {})
        if status != 200:
            raise IssuerUnavailable(f"{url} answered {status}")
        try:
            return msgspec.convert(answer, Document)
        except msgspec.ValidationError as error:
            raise IssuerUnavailable(f"{url}: {error}") from None

    def _believed(self, document: Document) -> Document:
        """A document speaks for its own issuer only, and names places that can be trusted."""
        if document.issuer != self.registration.issuer:
            raise IssuerUnavailable(
                f"its document is of the issuer {document.issuer!r}; TOLLWAY_OIDC_ISSUER must be the same"
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            url = getattr(document, name)
            try:
                if url is not None:
                    check_issuer_url(url)
            except ValueError as error:
                raise IssuerUnavailable(f"its {name} is not usable: {error}") from None
        return document

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON object that is answered; IssuerUnavailable."""
        try:
            async with (
                aiohttp.ClientSession(
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,  # a few bytes could become gigabytes
                    timeout=aiohttp.ClientTimeout(total=self._deadline_s),
                    headers={
                        "Accept": "application/json",
                        "Accept-Encoding": "identity",
                        "User-Agent": f"tollway/{__version__}",
                    },
                ) as session,
                session.request(method, url, headers=headers, data=body, allow_redirects=False) as answer,
            ):
                return answer.status, _object(await _bounded(answer))
        except (aiohttp.ClientError, TimeoutError, UnicodeError) as error:
            raise IssuerUnavailable(f"{url}: {type(error).__name__}: {error}") from None

    def _client(self, *, redirect_uri: str) -> Any:  # noqa: ANN401 - Authlib has no types
        secret = self.registration.client_secret
        return OAuth2Client(
            None,  # it prepares; we send
            client_id=self.registration.client_id,
            client_secret=secret.reveal() if secret else None,
            scope=SCOPES,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    def _now_s(self) -> int:
        return self._clock.now_us() // US_PER_S


def _auth_method(registered: Registration, document: Document) -> str:
    if registered.client_secret is None:
        return "none"
    known = document.token_endpoint_auth_methods_supported
    is_post = "client_secret_post" in known and "client_secret_basic" not in known
    return "client_secret_post" if is_post else "client_secret_basic"


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for chunk in answer.content.iter_any():
        read += chunk
        if len(read) > MAX_ANSWER_BYTES:
            raise IssuerUnavailable(f"its answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(read)


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; of a page in HTML or the like, nothing."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
