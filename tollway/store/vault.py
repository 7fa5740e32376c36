"""Secrets at rest: AES-256-GCM, each value bound to what it may be used for.

A sealed value is `v1.<key id>.<base64 of nonce and ciphertext>`. The context (organisation,
receiver, user, endpoint) is authenticated with it, so that a secret copied to another row,
or a row whose endpoint was changed, does not open. The first key seals, every key opens:
that is how keys are rotated. Owns encryption; does not own where keys are kept.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tollway.domain.token import Secret

_VERSION = "v1"
_NONCE_BYTES = 12


class VaultError(Exception):
    """A sealed value that does not open: another key, another context, or damage."""


class Vault:
    """Seals and opens secrets. `keys` are 32 bytes each; at least one."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def seal(self, secret: str, context: Sequence[str]) -> str:
        """Encrypt `secret` for use in `context` only."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._keys[self._current].encrypt(nonce, secret.encode(), _bound(context))
        return f"{_VERSION}.{self._current}.{urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, context: Sequence[str]) -> Secret:
        """Decrypt what was sealed for the same context; VaultError if it does not open."""
        version, _, rest = sealed.partition(".")
        key_id, _, text = rest.partition(".")
        if version != _VERSION or key_id not in self._keys:
            raise VaultError(f"sealed with key {key_id or '?'}, which is not among the configured keys")
        try:
            data = urlsafe_b64decode(text)
            opened = self._keys[key_id].decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _bound(context))
        except (InvalidTag, ValueError):  # ValueError: not even base64, or too short
            raise VaultError("the sealed value was not made for this use, or is damaged") from None
        return Secret(opened.decode())


def _key_id(key: bytes) -> str:
    return sha256(key).hexdigest()[:8]


def _bound(context: Sequence[str]) -> bytes:
    """Each part with its length before it: no two contexts are bound alike."""
    parts = (part.encode() for part in context)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
