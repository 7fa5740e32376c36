"""The types of fields in requests: bounded text and numbers that every database can hold.

Owns what is accepted; does not own what it means.
"""

import contextlib
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

_ALLOWED_CONTROLS = frozenset("\n\t\r")


class Body(BaseModel):
    """A request's body: unknown keys are refused, so that a misspelt one is not lost in silence."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _printable(text: str) -> str:
    if any(not char.isprintable() for char in text):
        raise ValueError("no control or other unprintable characters")
    return text


def _storable(text: str) -> str:
    if any(not char.isprintable() and char not in _ALLOWED_CONTROLS for char in text):
        raise ValueError("no control or other unprintable characters, but for line breaks and tabs")
    return text


def _moment(value: object) -> object:
    """Strict JSON has no date-times, and a query would take a number for one: text is read here."""
    if not isinstance(value, str):
        return value
    with contextlib.suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    raise ValueError("a date-time with its zone, as 2027-01-01T00:00:00Z")


def _no_colon(text: str) -> str:
    if ":" in text:
        raise ValueError("the user of HTTP basic auth has no colon")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Line = Annotated[str, StringConstraints(max_length=200), AfterValidator(_printable)]
Prose = Annotated[str, StringConstraints(max_length=4_000), AfterValidator(_storable)]
Link = Annotated[str, StringConstraints(max_length=2_048), AfterValidator(_printable)]
Email = Annotated[
    str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254), AfterValidator(_printable)
]
AuthUser = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256),
    AfterValidator(_printable),
    AfterValidator(_no_colon),
]
Token = Annotated[str, StringConstraints(min_length=1, max_length=4_096), AfterValidator(_printable)]
Instant = Annotated[AwareDatetime, BeforeValidator(_moment)]
RatePerMinute = Annotated[int, Field(ge=1, le=10**9)]
TokensPerMinute = Annotated[int, Field(ge=1, le=10**15)]
