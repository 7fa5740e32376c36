"""The connection to a vendor: what becomes of it when the vendor misbehaves."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tollway.demo.server import LoopbackServer
from tollway.demo.vendor import DemoVendor, Scripted
from tollway.domain.errors import VendorError, VendorLate, VendorTimeout, VendorUnreachable
from tollway.domain.ids import RequestId
from tollway.domain.token import Secret
from tollway.providers.connection import VendorConnection
from tollway.providers.openai import CHAT_PATH

KEY = "key-of-the-vendor"
BODY = b'{"model":"small","messages":[{"role":"user","content":"Hi"}]}'
REQUEST = RequestId("request-1")
HOUR_S = 3_600.0

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def connection(
    base_url: str,
    *,
    api_key: str | None = KEY,
    idle_s: float = HOUR_S,
    total_s: float = HOUR_S,
    max_bytes: int = 1_000_000,
) -> VendorConnection:
    return VendorConnection(
        vendor="acme",
        base_url=base_url,
        api_key=Secret(api_key) if api_key else None,
        connect_s=HOUR_S,
        idle_s=idle_s,
        total_s=total_s,
        max_bytes=max_bytes,
    )


@pytest.fixture
async def vendor() -> AsyncIterator[DemoVendor]:
    async with DemoVendor(api_key=KEY) as running:
        yield running


@asynccontextmanager
async def raw_server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server below HTTP; yields its port, and ends when its clients have left."""
    handlers: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*handlers)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Recorder(LoopbackServer):
    """Answers every request alike and keeps what it was sent."""

    def __init__(self, **headers: str) -> None:
        super().__init__()
        self.seen: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self._headers = headers

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.bodies.append(await request.read())
        return web.Response(body=b"{}", headers=self._headers)


async def test_the_vendor_is_told_our_id_of_the_request() -> None:
    async with Recorder() as recorder, connection(recorder.url) as acme:
        (await acme.post(CHAT_PATH, BODY, REQUEST)).close()
    assert recorder.seen[0].headers["X-Client-Request-Id"] == REQUEST


async def test_an_answer_is_read_whole(vendor: DemoVendor) -> None:
    async with connection(vendor.base_url) as acme:
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("application/json")
        assert (await answer.read()).startswith(b'{"id":')
        assert await answer.chunk() == b""
        answer.close()
    assert vendor.requests[0]["model"] == "small"


async def test_an_answer_is_read_part_by_part_as_it_comes(vendor: DemoVendor) -> None:
    vendor.scripted.append(Scripted(parts=[b"one", b"two", b"three"], pause_s=0.01))
    async with connection(vendor.base_url) as acme:
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        parts = [await answer.chunk()]
        while parts[-1]:
            parts.append(await answer.chunk())
        answer.close()
    assert b"".join(parts) == b"onetwothree"
    assert len(parts) > 2


async def test_a_vendor_s_refusal_is_an_answer(vendor: DemoVendor) -> None:
    vendor.scripted.append(Scripted(status=429, headers={"Retry-After": "7"}, parts=[b"slow down"]))
    async with connection(vendor.base_url) as acme:
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert await answer.read() == b"slow down"
        answer.close()


async def test_the_key_is_sent_as_the_bearer_and_nowhere_else() -> None:
    async with Recorder() as recorder, connection(f"{recorder.url}/v1/") as acme:
        (await acme.post(CHAT_PATH, BODY, REQUEST)).close()
        (request,) = recorder.seen
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert [name for name, value in request.headers.items() if KEY in value] == ["Authorization"]
        assert KEY not in request.path_qs
        assert (request.method, request.path_qs) == ("POST", "/v1/chat/completions")
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Accept-Encoding"] == "identity"
        assert recorder.bodies == [BODY]


async def test_without_a_key_no_credentials_are_sent() -> None:
    async with Recorder() as recorder, connection(recorder.url, api_key=None) as acme:
        (await acme.post(CHAT_PATH, BODY, REQUEST)).close()
        assert "Authorization" not in recorder.seen[0].headers


async def test_what_a_vendor_wants_remembered_is_not_told_to_it_by_the_next_caller() -> None:
    async with Recorder(**{"Set-Cookie": "caller=first"}) as recorder, connection(recorder.url) as acme:
        for _ in range(2):
            answer = await acme.post(CHAT_PATH, BODY, REQUEST)
            await answer.read()
            answer.close()
        assert len(recorder.seen) == 2
        assert "Cookie" not in recorder.seen[1].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_so_that_the_key_goes_nowhere_else(
    vendor: DemoVendor, status: int
) -> None:
    async with Recorder() as elsewhere, connection(vendor.base_url) as acme:
        vendor.scripted.append(Scripted(status=status, headers={"Location": f"{elsewhere.url}/v1"}))
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        answer.close()
        assert answer.status == status
        assert elsewhere.seen == []


async def test_a_closed_port_is_an_unreachable_vendor() -> None:
    port = closed_port()
    async with connection(f"http://127.0.0.1:{port}") as acme:
        with pytest.raises(
            VendorUnreachable, match="acme cannot be reached: the connection was refused"
        ) as caught:
            await acme.post(CHAT_PATH, BODY, REQUEST)
    assert str(port) not in str(caught.value)
    assert caught.value.status == 502


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b.invalid", "x" * 64 + ".invalid"])
async def test_a_name_that_does_not_resolve_is_an_unreachable_vendor(host: str) -> None:
    async with connection(f"http://{host}") as acme:
        with pytest.raises(VendorUnreachable, match="acme cannot be reached") as caught:
            await acme.post(CHAT_PATH, BODY, REQUEST)
    assert host not in str(caught.value)


async def test_a_vendor_that_hangs_up_before_its_answer_is_unreachable() -> None:
    async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with raw_server(hang_up) as port, connection(f"http://127.0.0.1:{port}") as acme:
        with pytest.raises(VendorUnreachable, match="the connection was lost"):
            await acme.post(CHAT_PATH, BODY, REQUEST)


async def test_a_vendor_that_does_not_speak_http_is_unreachable() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    async with raw_server(babble) as port, connection(f"http://127.0.0.1:{port}") as acme:
        with pytest.raises(VendorUnreachable, match="the connection was lost") as caught:
            await acme.post(CHAT_PATH, BODY, REQUEST)
    assert "SSH" not in str(caught.value)


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "vendor.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    tls = self_signed(tmp_path)
    async with raw_server(hear, tls) as port, connection(f"https://127.0.0.1:{port}") as acme:
        with pytest.raises(VendorUnreachable, match="its certificate was not accepted"):
            await acme.post(CHAT_PATH, BODY, REQUEST)
    assert not any(heard)


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("limits", [{"idle_s": 0.05}, {"total_s": 0.05}])
async def test_a_vendor_that_never_answers_is_given_up(limits: dict[str, Any]) -> None:
    async with raw_server(silent) as port, connection(f"http://127.0.0.1:{port}", **limits) as acme:
        with pytest.raises(VendorTimeout, match="acme did not answer in time") as caught:
            await acme.post(CHAT_PATH, BODY, REQUEST)
    assert caught.value.status == 504


async def test_a_vendor_that_falls_silent_in_its_answer_is_given_up() -> None:
    async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        await reader.read()

    async with raw_server(fall_silent) as port, connection(f"http://127.0.0.1:{port}", idle_s=0.05) as acme:
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        assert await answer.chunk() == b"hello"
        with pytest.raises(VendorTimeout, match="acme stopped answering"):
            await answer.chunk()
        answer.close()


async def test_a_vendor_that_drips_for_ever_meets_the_deadline_of_the_whole_answer(
    vendor: DemoVendor,
) -> None:
    vendor.scripted.append(Scripted(parts=[b"x"] * 1_000, pause_s=0.01))
    async with connection(vendor.base_url, idle_s=HOUR_S, total_s=0.1) as acme:
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        with pytest.raises(VendorLate, match="took longer than is waited for"):
            await answer.read()
        answer.close()


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/event-stream"}])
async def test_an_answer_that_is_broken_off_is_no_whole_one(
    vendor: DemoVendor, headers: dict[str, str]
) -> None:
    vendor.scripted.append(Scripted(headers=headers, parts=[b"half"], breaks_off=True))
    async with connection(vendor.base_url) as acme:
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        with pytest.raises(VendorUnreachable, match="acme broke off its answer: the connection was lost"):
            await answer.read()
        answer.close()


async def test_an_answer_shorter_than_it_said_is_broken_off() -> None:
    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")

    async with raw_server(short) as port, connection(f"http://127.0.0.1:{port}") as acme:
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        with pytest.raises(VendorUnreachable, match="broke off"):
            await answer.read()
        answer.close()


async def test_an_answer_as_large_as_is_accepted_is_read_and_one_more_byte_is_not(vendor: DemoVendor) -> None:
    vendor.scripted.extend([Scripted(parts=[b"x" * 100]), Scripted(parts=[b"x" * 101])])
    async with connection(vendor.base_url, max_bytes=100) as acme:
        fits = await acme.post(CHAT_PATH, BODY, REQUEST)
        assert len(await fits.read()) == 100
        fits.close()
        large = await acme.post(CHAT_PATH, BODY, REQUEST)
        with pytest.raises(VendorError, match="larger than is accepted"):
            await large.read()
        large.close()


async def test_an_answer_that_is_packed_small_is_measured_unpacked() -> None:
    packed = gzip.compress(b"x" * 1_000_000)
    assert len(packed) < 2_000

    async def bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        writer.write(head.encode() + packed)
        await reader.read()

    async with raw_server(bomb) as port, connection(f"http://127.0.0.1:{port}", max_bytes=10_000) as acme:
        answer = await acme.post(CHAT_PATH, BODY, REQUEST)
        with pytest.raises(VendorError, match="larger than is accepted"):
            await answer.read()
        answer.close()


async def test_an_answer_read_to_its_end_leaves_the_connection_for_the_next_call() -> None:
    opened = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(len(BODY))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    async with raw_server(count) as port, connection(f"http://127.0.0.1:{port}") as acme:
        for _ in range(3):
            answer = await acme.post(CHAT_PATH, BODY, REQUEST)
            assert await answer.read() == b"hello"
            answer.close()
    assert opened == 1


async def test_an_abandoned_answer_takes_its_connection_with_it() -> None:
    opened = 0

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
        await reader.read()

    async with raw_server(half) as port, connection(f"http://127.0.0.1:{port}") as acme:
        for _ in range(2):
            answer = await acme.post(CHAT_PATH, BODY, REQUEST)
            assert await answer.chunk() == b"hello"
            answer.close()
    assert opened == 2
