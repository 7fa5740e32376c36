"""Prompts and answers, where an organisation asks for them to be kept.

At privacy level 1 both are kept, capped; at level 2, the default, and 3 neither is. At level 3 nothing
that a caller typed is kept, and no log is shown. Owns a piece of a body, and how long it stays; does
not own where it is kept (`metering/journal.py`, `store/bodies.py`).
"""

from enum import StrEnum
from typing import Literal

import msgspec

from tollway.domain.ids import OrgId, RequestId

PrivacyLevel = Literal[1, 2, 3]
DEFAULT_PRIVACY_LEVEL: PrivacyLevel = 2
KEEPS_BODIES: PrivacyLevel = 1
KEEPS_NO_LOG: PrivacyLevel = 3

DEFAULT_BODY_DAYS = 30
MAX_BODY_DAYS = 3_650


class Part(StrEnum):
    """Which of the two bodies."""

    REQUEST = "request"
    """As the caller sent it."""
    RESPONSE = "response"
    """As the caller was answered; of a stream its events."""


class BodyPiece(msgspec.Struct, frozen=True, kw_only=True):
    """So many bytes of a body, from byte `at` on. A body that reached its cap ends there."""

    org_id: OrgId
    request_id: RequestId
    attempt: int = 1
    part: Part
    at: int
    data: bytes
    written_us: int
