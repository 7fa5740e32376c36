"""Money in requests: JSON numbers of dollars, taken as they are written.

The standard library makes floats of them, which hold no money. Owns the way from a number's text
to nano-dollars; does not own what an amount is for.
"""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from starlette.responses import Response

from tollway.domain.money import NANO_PER_USD, ZERO, Nano, parse_usd
from tollway.domain.subscription import MAX_NANO

_MAX_INT_DIGITS = 30
"""Longer ones mean nothing here, and take long to read."""


@dataclass(frozen=True, slots=True)
class _Number:
    """A JSON number that is not a short integer, as it was written."""

    text: str


class ExactRequest(Request):
    """A request whose JSON has no floats."""

    async def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The body's value; what would be a float is of a class that only amounts of money take."""
        return json.loads(await self.body(), parse_float=_Number, parse_int=_integer, parse_constant=_Number)


class ExactRoute(APIRoute):
    """A route that reads its body so; `APIRouter(route_class=ExactRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's documented way to another class of requests."""
        handle = super().get_route_handler()

        async def exactly(request: Request) -> Response:
            return await handle(ExactRequest(request.scope, request.receive))

        return exactly


def _integer(text: str) -> int | _Number:
    return int(text) if len(text) <= _MAX_INT_DIGITS else _Number(text)


def _nano(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool) or not isinstance(value, int | _Number):
        raise ValueError("a number of dollars")  # noqa: TRY004 - pydantic makes a fault of a ValueError only
    nano = parse_usd(value.text if isinstance(value, _Number) else str(value))
    if not 0 <= nano <= MAX_NANO:
        raise ValueError(f"from 0 to {_MAX_DOLLARS} dollars")
    return nano


def _decimal(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool) or not isinstance(value, int | _Number):
        raise ValueError("a number")  # noqa: TRY004 - as above
    number = float(value.text) if isinstance(value, _Number) else float(value)
    if not isfinite(number):
        raise ValueError("a finite number")
    return number


def _positive(nano: Nano) -> Nano:
    if nano == ZERO:
        raise ValueError("more than 0 dollars; null is no limit")
    return nano


_MAX_DOLLARS = MAX_NANO // NANO_PER_USD
_SCHEMA = {
    "type": "number",
    "minimum": 0,
    "maximum": _MAX_DOLLARS,
    "description": "dollars, exact, at most nine decimals",
}

Dollars = Annotated[Nano, BeforeValidator(_nano), WithJsonSchema(_SCHEMA)]
"""From 0 to a billion dollars, at most nine decimals; a `Body` under an `ExactRoute` has nano-dollars."""
Decimal = Annotated[float, BeforeValidator(_decimal), WithJsonSchema({"type": "number"})]
"""A number that is no money; its bounds are the field's to say."""
PositiveDollars = Annotated[
    Nano,
    BeforeValidator(_nano),
    AfterValidator(_positive),
    WithJsonSchema({**_SCHEMA, "exclusiveMinimum": 0}),
]
