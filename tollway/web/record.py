"""The organisation record and its kin as JSON: the fields of the domain's classes, in their order.

Owns the rendering: money as an exact number, at most nine decimals, no exponent. Does not own
the fields; the schema in OpenAPI is made from the same class that the values come in.
"""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, Field, WithJsonSchema, create_model
from starlette.responses import Response

from tollway.domain import app
from tollway.domain.cycle import CycleRecord
from tollway.domain.log import Log
from tollway.domain.money import Nano, usd
from tollway.domain.org import Organisation
from tollway.domain.payment import PaymentDetails
from tollway.domain.subscription import Subscription
from tollway.store.app_limits import AppLimits, KeyLimits

_DOLLARS = {"type": "number", "description": "dollars, exact, at most nine decimals"}


def dollars(nano: Nano) -> msgspec.Raw:
    """An amount as the JSON number that it is."""
    return msgspec.Raw(usd(nano).encode())


_MODELS: dict[Any, Any] = {}
"""By the domain's class, what describes it: for the fields that hold one."""
_MONEY: dict[type, frozenset[str]] = {}
"""By the same, its fields that hold nano-dollars, or none."""


def _hints(of: type) -> dict[str, tuple[Any, str | None]]:
    """Each field's type, and its sentence if it has one."""
    hints = get_type_hints(of, include_extras=True)
    return {
        name: get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, None)
        for name, hint in hints.items()
    }


def _is_money(kind: Any) -> bool:  # noqa: ANN401 - a type, or a union of some
    return Nano in (kind, *get_args(kind))


def _field(kind: Any, description: str | None, default: object) -> Any:  # noqa: ANN401 - what `create_model` takes
    shown = kind
    if _is_money(kind):
        shown = Annotated[kind, WithJsonSchema({"anyOf": [_DOLLARS, {"type": "null"}]})]
        if kind is Nano:
            shown = Annotated[kind, WithJsonSchema(_DOLLARS)]
    for of, model in _MODELS.items():
        holding = {of: model, of | None: model | None, list[of]: list[model]}  # type: ignore[valid-type]  # classes of run time
        shown = holding.get(kind, shown)
    if default is MISSING:
        return shown, Field(description=description)
    return shown, Field(default, description=description)


def _model(name: str, of: Any, doc: str) -> type[BaseModel]:  # noqa: ANN401 - a dataclass; mypy has no name for one
    hints = _hints(of)
    shapes = {field.name: _field(*hints[field.name], field.default) for field in fields(of)}
    made: type[BaseModel] = create_model(name, __doc__=doc, **shapes)
    _MODELS[of] = made
    _MONEY[of] = frozenset(name for name, (kind, _) in hints.items() if _is_money(kind))
    return made


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


SubscriptionShown = _model("Subscription", Subscription, "What a tier offers.")
PaymentDetailsShown = _model(
    "PaymentDetails",
    PaymentDetails,
    "What an organisation may spend, on which plan, and how its trial stands.",
)
_model("Weights", app.Weights, "What a choice among models goes by.")
_model("Policies", app.Policies, "What holds for each call of an app.")
_model("AppSetup", app.AppSetup, "What a call of an app has where it does not say otherwise.")
_model("App", app.App, "An app, but for its keys.")
_model("AppKey", app.AppKey, "A valid key or access token of an app, known by its end.")
_model("AppMain", app.AppMain, "An app and what goes with it.")
AppSettingsShown = _model("AppSettings", app.AppSettings, "An app, and its sandboxes.")
AppPageShown = _model("AppPage", app.AppPage, "One page of apps, the newest first.")
KeyLimitsShown = _model("KeyLimits", KeyLimits, "The limits of one key, which is known by its end.")
AppLimitsShown = _model("AppLimits", AppLimits, "The limits of an app and of its valid keys.")
LogShown = _model("Log", Log, "One request: its ledger row, its rating, and what was kept of its words.")


Shown = Organisation | PaymentDetails | AppLimits | KeyLimits | app.AppSettings | app.AppPage | Log


def record_response(of: Shown, status: int = 200) -> Response:
    """One of these as an HTTP answer."""
    return Response(msgspec.json.encode(_shown(of)), status, media_type="application/json")


def cycles_response(cycles: Sequence[CycleRecord], has_more: bool) -> Response:
    """Cycles as an HTTP answer."""
    body = {"cycles": [_shown(cycle) for cycle in cycles], "has_more": has_more}
    return Response(msgspec.json.encode(body), media_type="application/json")


def shown_logs(logs: Sequence[Log]) -> list[Any]:
    """Logs, ready to be JSON."""
    return [_shown(log) for log in logs]


def _shown(of: Any) -> Any:  # noqa: ANN401 - one of the described classes, or what its fields hold
    if isinstance(of, list):
        return [_shown(item) for item in of]
    money = _MONEY.get(type(of))
    if money is None:
        return of
    return {
        field.name: dollars(value) if field.name in money and value is not None else _shown(value)
        for field in fields(of)
        for value in [getattr(of, field.name)]
    }
