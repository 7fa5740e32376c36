"""The chat request, start to finish.

Owns the order of the steps: identify, choose, reserve, send, meter. Each is one function. No
SQL here, and for a key and a model seen before, nothing waits before the vendor is called.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tollway.domain.errors import TollwayError
from tollway.gateway.call import Call, Reply
from tollway.gateway.live import Live, require_on
from tollway.gateway.metered import Meter, Tally
from tollway.gateway.need import need_of
from tollway.gateway.relay import relay
from tollway.gateway.wire import read_chat
from tollway.limits.limits import Limits
from tollway.providers import openai
from tollway.providers.catalog import Catalog
from tollway.providers.connection import VendorConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What a request meets on its way, in this order."""

    live: Live
    catalog: Catalog
    limits: Limits
    meter: Meter
    vendors: Mapping[str, VendorConnection]


async def chat(call: Call, gateway: Gateway) -> Reply:
    """Answer `POST /v1/chat/completions`; every TollwayError is the client's to see."""
    caller = await gateway.live.identify(call.token)  # 401, 403
    try:
        return await _answer(call, gateway)
    except TollwayError as error:
        gateway.limits.tell(caller, error)
        raise


async def _answer(call: Call, gateway: Gateway) -> Reply:
    read = await call.read_body()  # 400, 413
    read_us = gateway.meter.clock.now_us()
    caller = await gateway.live.identify(call.token)  # anew: a body may take minutes to come
    asked = read_chat(read)  # 400
    route = gateway.catalog.resolve(asked.model)  # 404, 402
    require_on(caller, route.model)  # 403
    need = need_of(asked, route, caller, call.received_us)  # 402
    with (
        await gateway.limits.reserve(caller, need) as reservation,  # 402, 429, 503
        Tally(gateway.meter, call, caller, route, asked, reservation) as tally,  # 400, 503
    ):
        await tally.begun()  # 503
        body = openai.request_body(
            asked.fields, route.upstream, stream=asked.stream, cap=reservation.cap, cap_field=route.cap_field
        )
        gateway.meter.traffic.overhead.add(gateway.meter.clock.now_us() - read_us)
        answer = await gateway.vendors[route.provider].post(
            openai.CHAT_PATH, body, call.request_id
        )  # 502, 504
        reply = await relay(answer, tally, wants_usage=asked.wants_usage)
        await tally.recorded()
        return reply.with_headers(reservation.headers)
