"""What can be asked for: `GET /v1/models` and `GET /v1/models/{name}`. Owns these two answers."""

import msgspec

from tollway.domain.errors import ModelNotFound
from tollway.gateway.call import Call, Reply
from tollway.gateway.chat import Gateway
from tollway.gateway.live import require_on
from tollway.gateway.wire import JSON_TYPE, model_body, models_body


async def list_models(call: Call, gateway: Gateway) -> Reply:
    """Every model of every configured vendor that is switched on for the app."""
    off = (await gateway.live.identify(call.token)).models_off
    on = (model for model in gateway.catalog.names.items() if model[0] not in off)
    return Reply(status=200, headers=(JSON_TYPE,), body=models_body(on))


async def show_model(call: Call, gateway: Gateway, name: str) -> Reply:
    """One model; ModelNotFound if nobody has it, Forbidden if it is switched off for the app."""
    caller = await gateway.live.identify(call.token)
    vendor = gateway.catalog.names.get(name)
    if vendor is None:
        raise ModelNotFound(f"no vendor here has the model {name!r}", param="model")
    require_on(caller, name)
    return Reply(status=200, headers=(JSON_TYPE,), body=msgspec.json.encode(model_body(name, vendor)))
