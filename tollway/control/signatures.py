"""Signed tokens (JWT) of an issuer: which keys and algorithms count, and whether a signature holds.

Pure: the issuer's keys come in (`control/issuer.py` fetches them). Asymmetric algorithms only, by
an allow-list of ours and never by what a token says of itself alone: a key is used for the
algorithms of its own type, so that a public key is no HMAC secret. Owns signatures; does not own
what a token claims.
"""

from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

Key = RSAKey | ECKey | OKPKey

KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}
"""Each algorithm that is accepted, and the type of its keys."""

MAX_KEYS = 100
_LEAST_RSA_BYTES = 2_048 // 8
_CLASSES = (RSAKey, ECKey, OKPKey)


class SignatureError(Exception):
    """This is no token, or not one that these keys signed. The message is for the operator's log."""


class Header(msgspec.Struct, frozen=True):
    """What a token says of itself before anything is believed."""

    alg: str
    kid: str | None = None
    typ: str | None = None


class _Registry(JWSRegistry):
    """joserfc's algorithms, but for those that are not accepted here."""

    def get_alg(self, name: str) -> Any:  # noqa: ANN401 - joserfc does not export its type
        # Not the parent's: it warns at each use of EdDSA's older name, which issuers still send.
        if name not in KEY_TYPES:
            raise UnsupportedAlgorithmError("not accepted here")
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)


def read_header(token: str) -> Header:
    """What the token says of itself; SignatureError for what is none, or of another algorithm."""
    text = token.partition(".")[0]
    if token.count(".") != 2 or len(text) > JWSRegistry.max_header_length:
        raise SignatureError("not a signed token")
    try:
        content = msgspec.json.decode(_decoded(text), type=dict[str, Any])
        header = msgspec.convert(content, Header)
    except (ValueError, msgspec.MsgspecError):
        raise SignatureError("its header cannot be read") from None
    if header.alg not in KEY_TYPES:
        raise SignatureError("its algorithm is not accepted")
    if "crit" in content or "b64" in content:
        raise SignatureError("it needs an extension")
    return header


def read_keys(document: Mapping[str, Any]) -> list[Key]:
    """The keys of a JWKS that sign; those that are private, weak or unknown to us are left out."""
    given = document.get("keys")
    if not isinstance(given, list):
        return []
    keys = (_key(each) for each in given[:MAX_KEYS] if isinstance(each, dict))
    return [key for key in keys if key is not None]


def key_for(header: Header, keys: Sequence[Key]) -> Key | None:
    """The key that the token names; if it names none, the only one that fits."""
    fitting = [key for key in keys if _fits(key, header.alg)]
    if header.kid is None:
        return fitting[0] if len(fitting) == 1 else None
    return next((key for key in fitting if key.kid == header.kid), None)


def verified(token: str, key: Key) -> dict[str, Any]:
    """The claims of a token that this key signed; SignatureError."""
    try:
        return jwt.decode(token, key, registry=_REGISTRY).claims
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise SignatureError(f"its signature does not hold ({type(error).__name__})") from None


def _fits(key: Key, algorithm: str) -> bool:
    return key.key_type == KEY_TYPES[algorithm] and key.alg in (None, algorithm)


def _key(given: Mapping[str, Any]) -> Key | None:
    operations = given.get("key_ops")
    if given.get("use", "sig") != "sig" or "d" in given:
        return None
    try:
        if operations is not None and "verify" not in operations:
            return None
        if given.get("kty") == "RSA" and len(_decoded(given["n"]).lstrip(b"\0")) < _LEAST_RSA_BYTES:
            return None
        key = JWKRegistry.import_key(dict(given))
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, _CLASSES) else None


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
