"""Ids: one type each, so that an application's id is never passed for an organisation's.

Owns how ids are made; does not own what they name.
"""

import os
from typing import NewType
from uuid import UUID

UserId = NewType("UserId", str)
TokenId = NewType("TokenId", str)
OrgId = NewType("OrgId", str)
AppId = NewType("AppId", str)
KeyId = NewType("KeyId", str)
RequestId = NewType("RequestId", str)
JournalId = NewType("JournalId", str)


def new_id(now_us: int) -> str:
    """A UUIDv7 (RFC 9562 §5.7) in its text form; `now_us` in microseconds since the epoch.

    Ids of one millisecond are random among each other; later milliseconds sort later, so rows
    of one time lie together in an index.
    """
    random = int.from_bytes(os.urandom(10), "big")
    bits = (now_us // 1000) << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(UUID(int=bits))


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in the form that ids have here: lower case, with hyphens."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
