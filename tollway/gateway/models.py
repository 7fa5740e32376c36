"""What can be asked for: `GET /v1/models` and `GET /v1/models/{name}`. Owns these two answers."""

import msgspec

from tollway.domain.errors import ModelNotFound
from tollway.gateway.call import Call, Reply
from tollway.gateway.chat import Gateway
from tollway.gateway.wire import JSON_TYPE, model_body, models_body


async def list_models(call: Call, gateway: Gateway) -> Reply:
    """Every model of every configured vendor."""
    await gateway.live.identify(call.token)
    return Reply(status=200, headers=(JSON_TYPE,), body=models_body(gateway.catalog.names.items()))


async def show_model(call: Call, gateway: Gateway, name: str) -> Reply:
    """One model; ModelNotFound if nobody has it."""
    await gateway.live.identify(call.token)
    vendor = gateway.catalog.names.get(name)
    if vendor is None:
        raise ModelNotFound(f"no vendor here has the model {name!r}", param="model")
    return Reply(status=200, headers=(JSON_TYPE,), body=msgspec.json.encode(model_body(name, vendor)))
