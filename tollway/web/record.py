"""The organisation record and its cycles as JSON: the fields of the domain's classes, in their order.

Owns the rendering: money as an exact number, at most nine decimals, no exponent. Does not own
the fields; the schema in OpenAPI is made from the same class that the values come in.
"""

from collections.abc import Sequence
from dataclasses import MISSING, asdict, fields
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from pydantic import BaseModel, Field, WithJsonSchema, create_model
from starlette.responses import Response

from tollway.domain.cycle import CycleRecord
from tollway.domain.money import Nano, usd
from tollway.domain.org import Organisation

_DOLLARS = {"type": "number", "description": "dollars, exact, at most nine decimals"}


def dollars(nano: Nano) -> msgspec.Raw:
    """An amount as the JSON number that it is."""
    return msgspec.Raw(usd(nano).encode())


def _hints(of: type) -> dict[str, Any]:
    return get_type_hints(of, include_extras=True)


def _money(of: type) -> frozenset[str]:
    """The fields that hold nano-dollars, or none."""
    return frozenset(
        name for name, hint in _hints(of).items() if Nano in (get_args(hint)[0], *get_args(get_args(hint)[0]))
    )


def _field(hint: Any, default: object, is_money: bool) -> Any:  # noqa: ANN401 - what `create_model` takes
    kind, description = get_args(hint)
    if is_money:
        nullable = kind is not Nano
        shape = {"anyOf": [_DOLLARS, {"type": "null"}]} if nullable else _DOLLARS
        kind = Annotated[kind, WithJsonSchema(shape)]
    if default is MISSING:
        return kind, Field(description=description)
    return kind, Field(default, description=description)


def _model(name: str, of: Any, doc: str) -> type[BaseModel]:  # noqa: ANN401 - a dataclass; mypy has no name for one
    hints, money = _hints(of), _money(of)
    shapes = {
        field.name: _field(hints[field.name], field.default, field.name in money) for field in fields(of)
    }
    return create_model(name, __doc__=doc, **shapes)


OrgRecord = _model(
    "OrgRecord",
    Organisation,
    "An organisation: its usage in the current cycle, its subscription, limits and receivers.",
)
"""For the OpenAPI description; answers are written by `record_response`."""

CycleShown = _model("CycleShown", CycleRecord, "What one billing cycle came to; [start, end).")


class Cycles(BaseModel):
    """Billing cycles, newest first; where there are older ones, ask again with `before` the last start."""

    cycles: list[CycleShown]  # type: ignore[valid-type]  # a class made at run time
    has_more: bool


_ORG_MONEY = _money(Organisation)
_CYCLE_MONEY = _money(CycleRecord)


def record_response(org: Organisation, status: int = 200) -> Response:
    """The record as an HTTP answer."""
    return _response(_values(org, _ORG_MONEY), status)


def cycles_response(cycles: Sequence[CycleRecord], has_more: bool) -> Response:
    """Cycles as an HTTP answer."""
    return _response({"cycles": [_values(cycle, _CYCLE_MONEY) for cycle in cycles], "has_more": has_more})


def _values(of: Organisation | CycleRecord, money: frozenset[str]) -> dict[str, Any]:
    return {
        name: dollars(value) if name in money and value is not None else value
        for name, value in asdict(of).items()
    }


def _response(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
