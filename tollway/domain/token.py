"""Bearer tokens: how they are made, recognised, hashed and masked.

A token is a prefix that names its bearer, 32 random characters and a checksum of 6, so that
junk is told apart without asking the database. Only its SHA-256 is ever stored: 190 random
bits need no slow hash. Owns the format; does not own who a token belongs to.
"""

import secrets
from enum import StrEnum
from hashlib import sha256
from zlib import crc32

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS = 32
_CHECK_CHARS = 6
MASK = "••••"
_SHOWN_CHARS = 4
_SHOWN_FROM_CHARS = 12
"""Of a shorter secret, four characters would be too large a part."""


class Bearer(StrEnum):
    """Who a token stands for, as its prefix."""

    APP = "twk_"
    USER = "twu_"
    OPERATOR = "two_"
    INVITE = "twi_"


class Secret:
    """A string that does not show itself: `repr` and `str` are masked, `reveal()` is not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({masked(self._value)!r})"

    __str__ = __repr__


def mint(bearer: Bearer) -> str:
    """A new token of this kind."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return f"{bearer}{random}{_checksum(bearer + random)}"


def is_minted(token: str, bearer: Bearer) -> bool:
    """Whether `token` has the prefix, length and checksum of one that `mint` made."""
    if not token.startswith(bearer) or len(token) != len(bearer) + _RANDOM_CHARS + _CHECK_CHARS:
        return False
    return _checksum(token[:-_CHECK_CHARS]) == token[-_CHECK_CHARS:]


def digest(token: str) -> str:
    """SHA-256 in hex, the form in which tokens are stored and looked up."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def ending(token: str) -> str:
    """The last four characters, shown so that people can tell their keys apart."""
    return token[-_SHOWN_CHARS:]


def masked(secret: str) -> str:
    """Four bullets and the last four characters; bullets alone for under twelve characters."""
    return MASK + (secret[-_SHOWN_CHARS:] if len(secret) >= _SHOWN_FROM_CHARS else "")


def _checksum(text: str) -> str:
    rest = crc32(text.encode("utf-8", "surrogatepass"))
    chars = []
    for _ in range(_CHECK_CHARS):
        rest, index = divmod(rest, len(_ALPHABET))
        chars.append(_ALPHABET[index])
    return "".join(reversed(chars))
