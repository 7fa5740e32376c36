"""Entity tags: which state of a record an answer shows, so that nobody overwrites what they have not seen.

A tag is `"<revision>.<rest>"`: the revision moves with what people change, the rest with all that the
answer shows. `If-None-Match` asks for the same answer, `If-Match` for the same revision: a record's
totals move with every call, and are no reason to refuse a change. Owns tags; does not own a revision.
"""

from datetime import datetime
from hashlib import sha256
from typing import Annotated

from fastapi import Header
from starlette.responses import Response

from tollway.domain.errors import Outdated
from tollway.domain.moment import us_of

_MAX_CHARS = 1_000

IfMatch = Annotated[
    str | None,
    Header(
        max_length=_MAX_CHARS,
        description="The `ETag` of the record that is to be changed; 412 if it was changed since.",
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(max_length=_MAX_CHARS, description="An `ETag` that you have; 304 if it is still the same."),
]


def tagged(answer: Response, modified_on: datetime | None) -> Response:
    """The answer with its tag."""
    revision = 0 if modified_on is None else us_of(modified_on)
    answer.headers["ETag"] = f'"{revision:x}.{sha256(bytes(answer.body)).hexdigest()[:16]}"'
    return answer


def unless_known(answer: Response, if_none_match: str | None) -> Response:
    """The tagged answer, or 304 without a body if the client has it."""
    tag = answer.headers["ETag"]
    known = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return Response(status_code=304, headers={"ETag": tag}) if tag in known or "*" in known else answer


def revisions(if_match: str | None) -> frozenset[int] | None:
    """The revisions that a change may meet, microseconds; None for any. Outdated if none is named."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = set()
    for each in if_match.split(","):
        revision, _, rest = each.strip().strip('"').partition(".")
        if rest and each.strip().startswith('"') and all(char in "0123456789abcdef" for char in revision):
            found.add(int(revision or "0", 16))
    if not found:
        raise Outdated("If-Match names no ETag of this record: read it again")
    return frozenset(found)
