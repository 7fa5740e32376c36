"""What a vendor may do to us and our tenants: repeat our key, answer oddly, or without an end."""

import pytest
from msgspec.structs import replace

from tests.gateway.scripts import answer, delta, events, only_entry, stream
from tests.world.stage import VENDOR_KEY, Stage
from tollway.demo.vendor import Scripted, sse
from tollway.domain.ledger import Outcome
from tollway.domain.usage import Unit
from tollway.settings import Settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ECHO = b'{"error": {"message": "You sent Bearer %s", "type": "x", "param": null, "code": null}}' % (
    VENDOR_KEY.encode()
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, vendor_answer_max_bytes=20_000, vendor_total_s=0.5)


@pytest.mark.parametrize("status", [200, 400, 429])
async def test_our_key_is_masked_in_a_vendor_s_error(stage: Stage, status: int) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(Scripted(status=status, parts=[ECHO]))
    reply = await stage.chat(acme)
    assert VENDOR_KEY.encode() not in reply.body
    assert "You sent Bearer ••••" in reply.json["error"]["message"]


async def test_our_key_is_masked_in_an_error_within_a_stream(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hel"), b"data: " + ECHO + b"\n\n"))
    reply = await stage.chat(acme, stream=True)
    assert VENDOR_KEY.encode() not in reply.body
    assert b"You sent Bearer" in reply.body


@pytest.mark.parametrize("status", [201, 204, 206, 302, 600, 999])
async def test_a_status_that_is_no_answer_is_a_502_that_costs_nothing(stage: Stage, status: int) -> None:
    acme = await stage.tenant()
    script = answer()
    parts = script.parts if status != 204 else ()
    stage.vendor.scripted.append(Scripted(status=status, parts=parts))
    reply = await stage.chat(acme)
    assert (reply.status, reply.json["error"]["code"]) == (502, "vendor_error")
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.cost.total) == (Outcome.FAILED, 0)


async def test_a_header_that_cannot_be_passed_is_left_out(stage: Stage) -> None:
    acme = await stage.tenant()
    headers = {"Content-Type": "application/json", "retry-after": "\udcff\udcfe", "retry-after-ms": "1500"}
    stage.vendor.scripted.append(Scripted(status=429, headers=headers, parts=[ECHO]))
    reply = await stage.chat(acme)
    assert reply.status == 429
    assert "retry-after" not in reply.headers
    assert reply.headers["retry-after-ms"] == "1500"


async def test_a_stream_that_passes_our_bound_of_size_is_charged_by_estimate(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(*[delta("x" * 1_000)] * 50, sse({"choices": []})))
    reply = await stage.chat(acme, stream=True)
    assert events(reply.body)[-1]["error"]["code"] == "vendor_answer_cut_off"
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status) == (Outcome.ESTIMATED, 502)
    assert entry.units[Unit.OUTPUT] > 3_000
    assert entry.cost.total > 0


async def test_a_stream_that_passes_our_bound_of_time_is_charged_by_estimate(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(*[delta("x" * 100)] * 100, pause_s=0.05))
    reply = await stage.chat(acme, stream=True)
    assert events(reply.body)[-1]["error"]["code"] == "vendor_late"
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status) == (Outcome.ESTIMATED, 504)
    assert entry.cost.total > 0
