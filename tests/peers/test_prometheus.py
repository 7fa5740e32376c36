"""The Prometheus that other tests rely on is real, asks for its password and keeps what it is sent."""

import struct
import time
from base64 import b64encode
from collections.abc import Iterator

import aiohttp
import cramjam
import pytest

from tests.peers.prometheus import PrometheusServer

pytestmark = pytest.mark.e2e

USER, TOKEN = "123456", "glc_right"


@pytest.fixture(scope="module")
def server() -> Iterator[PrometheusServer]:
    with PrometheusServer(USER, TOKEN) as running:
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


async def push(server: PrometheusServer, user: str, token: str, body: bytes) -> int:
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
async def test_a_push_with_wrong_credentials_is_refused(
    server: PrometheusServer, user: str, token: str
) -> None:
    body = write_request("refused", 1.0, time.time_ns() // 1_000_000)
    assert await push(server, user, token, body) == 401
    assert server.query("refused") == []


async def test_a_sample_that_is_pushed_is_found_by_a_query(server: PrometheusServer) -> None:
    body = write_request("tolls", 2.5, time.time_ns() // 1_000_000)
    assert await push(server, USER, TOKEN, body) == 204
    assert server.query("tolls * 2") == [({}, 5.0)]
    assert server.query("tolls") == [({"__name__": "tolls"}, 2.5)]


def test_an_expression_that_makes_no_sense_is_an_error_and_not_an_empty_answer(
    server: PrometheusServer,
) -> None:
    with pytest.raises(ValueError, match="parse error"):
        server.query("sum(")
