"""Numbers that vendors report, and the bounds that keep them out of a ledger if they are none.

Shared by the dialects. Owns what counts as a count, and how an odd field is read without
losing its neighbours; does not own what a number includes (`openai.py`, `anthropic.py`).
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

MAX_COUNT = 10**9

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)] | None
"""A number that no call can have, or no ledger can sum up, is no report."""

Part = Annotated[int, msgspec.Meta(le=MAX_COUNT)] | None
"""The same of a detail, where some say -1 for what they do not know."""

Tier = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")] | None


class Tools(msgspec.Struct):
    """Anthropic's count of tools used, which gateways in front of it pass on."""

    web_search_requests: Part = None


ABSENT = msgspec.Raw()
"""For fields that are noticed, or read apart; `Raw | None` would take nothing but null."""

NOTHING = (b"", b"null")

UNREADABLE_AS_TYPED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

T = TypeVar("T")

_decode_extra = msgspec.json.Decoder(Part, strict=False).decode


def at_least_0(count: int | None) -> int:
    """The count; 0 for one that is missing or negative."""
    return max(0, count or 0)


def decoded(decode: Callable[[msgspec.Raw], T], raw: msgspec.Raw, otherwise: T) -> T:
    """What `decode` makes of a field, or `otherwise` if that field is absent or not of its type."""
    if not raw:
        return otherwise
    try:
        return decode(raw)
    except UNREADABLE_AS_TYPED:
        return otherwise


def extra(raw: msgspec.Raw) -> int:
    """A count in a field of one vendor's own; 0 if it is absent, odd or out of bounds."""
    return at_least_0(decoded(_decode_extra, raw, None)) if raw else 0
