"""The organisation record as JSON: the fields of `domain/org.py`, in their order.

Owns the rendering: money as an exact number, at most nine decimals, no exponent. Does not own
the fields; the schema in OpenAPI is made from the same class that the values come in.
"""

from dataclasses import MISSING, asdict, fields
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from pydantic import BaseModel, Field, WithJsonSchema, create_model
from starlette.responses import Response

from tollway.domain.money import Nano, usd
from tollway.domain.org import Organisation

_DOLLARS = {"type": "number", "description": "dollars, exact, at most nine decimals"}
_HINTS = get_type_hints(Organisation, include_extras=True)
_MONEY = frozenset(
    name for name, hint in _HINTS.items() if Nano in (get_args(hint)[0], *get_args(get_args(hint)[0]))
)


def _field(name: str, default: object) -> Any:  # noqa: ANN401 - what `create_model` takes
    kind, description = get_args(_HINTS[name])
    if name in _MONEY:
        nullable = kind is not Nano
        shape = {"anyOf": [_DOLLARS, {"type": "null"}]} if nullable else _DOLLARS
        kind = Annotated[kind, WithJsonSchema(shape)]
    if default is MISSING:
        return kind, Field(description=description)
    return kind, Field(default, description=description)


OrgRecord: type[BaseModel] = create_model(
    "OrgRecord",
    __doc__="An organisation: its usage in the current cycle, its subscription, limits and receivers.",
    **{field.name: _field(field.name, field.default) for field in fields(Organisation)},
)
"""For the OpenAPI description; answers are written by `record_response`."""


def record_response(org: Organisation, status: int = 200) -> Response:
    """The record as an HTTP answer."""
    values = asdict(org)
    for name in _MONEY:
        if values[name] is not None:
            values[name] = msgspec.Raw(usd(values[name]).encode())
    return Response(msgspec.json.encode(values), status, media_type="application/json")
