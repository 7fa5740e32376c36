"""The real servers that other tests rely on ask for their password and keep what they are sent."""

import struct
from base64 import b64encode
from collections.abc import Iterator

import aiohttp
import cramjam
import pytest

from tests.peers.monitor import MonitorServer
from tests.peers.prometheus import Prometheus3Server, PrometheusServer
from tests.peers.victoria import VictoriaServer
from tests.world.waiting import until
from tollway.domain.clock import US_PER_MS, SystemClock

pytestmark = pytest.mark.e2e

USER, TOKEN = "123456", "glc_right"


@pytest.fixture(
    scope="module",
    params=[PrometheusServer, Prometheus3Server, VictoriaServer],
    ids=lambda kind: kind.NAME,
)
def server(request: pytest.FixtureRequest) -> Iterator[MonitorServer]:
    with request.param(USER, TOKEN) as running:
        yield running


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field, short enough for lengths of one byte."""
    return bytes([number << 3 | 2, len(content)]) + content


def varint(value: int) -> bytes:
    digits = []
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def write_request(name: str, value: float, at_ms: int) -> bytes:
    label = field(1, b"__name__") + field(2, name.encode())
    sample = b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at_ms)
    return bytes(cramjam.snappy.compress_raw(field(1, field(1, label) + field(2, sample))))


def now_ms() -> int:
    return SystemClock().now_us() // US_PER_MS


async def push(server: MonitorServer, user: str, token: str, body: bytes) -> int:
    headers = {
        "Authorization": "Basic " + b64encode(f"{user}:{token}".encode()).decode(),
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.push_url, data=body, headers=headers) as answer,
    ):
        return answer.status


@pytest.mark.parametrize(("user", "token"), [(USER, "glc_wrong"), ("654321", TOKEN), (USER, "")])
async def test_a_push_with_wrong_credentials_is_refused(server: MonitorServer, user: str, token: str) -> None:
    assert await push(server, user, token, write_request("refused", 1.0, now_ms())) == 401
    assert server.query("refused") == []


async def test_a_sample_that_is_pushed_is_found_by_a_query(server: MonitorServer) -> None:
    at_ms = now_ms()
    assert await push(server, USER, TOKEN, write_request("tolls", 2.5, at_ms)) == 204
    await until(lambda: server.query("tolls * 2") == [({}, 5.0)])
    assert server.query("tolls") == [({"__name__": "tolls"}, 2.5)]
    assert server.samples("tolls[1m]") == [({"__name__": "tolls"}, [(at_ms, 2.5)])]


async def test_a_server_that_was_stopped_starts_again_where_it_was_with_what_it_had(
    server: MonitorServer,
) -> None:
    assert await push(server, USER, TOKEN, write_request("kept", 1.5, now_ms())) == 204
    url = server.push_url
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        server.query("kept")
    server.start()
    assert server.push_url == url
    await until(lambda: server.query("kept") == [({"__name__": "kept"}, 1.5)])


def test_an_expression_that_makes_no_sense_is_an_error_and_not_an_empty_answer(
    server: MonitorServer,
) -> None:
    with pytest.raises(ValueError, match=f"{server.NAME} answered 4"):
        server.query("sum(")
