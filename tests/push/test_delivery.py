"""What an answer means, and that nothing a receiver does gets past its verdict."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers.postgres import free_port
from tests.push.receivers import answering, read_head, server
from tests.push.senders import BASIC, TOKEN, USER, outbound, sender, verdict_of
from tests.world.clock import NOON_US
from tollway.demo.loki import LokiReceiver
from tollway.demo.receiver import ScriptedAnswer
from tollway.domain.clock import moment
from tollway.push.delivery import Outcome, Verdict, judge

PUSH = "/loki/api/v1/push"


@asynccontextmanager
async def loki(*answers: ScriptedAnswer) -> AsyncIterator[LokiReceiver]:
    async with LokiReceiver(user=USER, token=TOKEN, now=lambda: NOON_US / 1e6) as double:
        double.scripted.extend(answers)
        yield double


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "sent"),
        (204, "sent"),
        (201, "retry"),
        (202, "retry"),
        (260, "retry"),
        (301, "refused"),
        (302, "refused"),
        (307, "refused"),
        (308, "refused"),
        (400, "bad_content"),
        (401, "refused"),
        (403, "refused"),
        (404, "refused"),
        (405, "refused"),
        (413, "bad_content"),
        (415, "refused"),
        (422, "bad_content"),
        (429, "retry"),
        (500, "retry"),
        (502, "retry"),
        (503, "retry"),
        (599, "retry"),
    ],
)
def test_each_status_has_its_verdict(status: int, outcome: Outcome) -> None:
    verdict = judge(status, "because", {})
    assert verdict.outcome == outcome
    assert (verdict.reason is None) == (outcome == "sent")
    assert verdict.status == status


@pytest.mark.parametrize("status", [429, 500, 503, 202])
@pytest.mark.parametrize(
    ("header", "after_s"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("7", 7),
        ("3600", 3_600),
        ("3601", 3_600),
        ("9" * 400, 3_600),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Tue, 10 Mar 2026 12:00:00 GMT", 30),
        ("Tue, 10 Mar 2026 11:00:00 GMT", 0),
        ("Wed, 11 Mar 2026 12:00:00 GMT", 3_600),
    ],
)
def test_a_receiver_may_ask_for_a_pause_of_at_most_an_hour(
    status: int, header: str | None, after_s: float | None
) -> None:
    headers = {"Date": "Tue, 10 Mar 2026 11:59:30 GMT"}
    if header is not None:
        headers["Retry-After"] = header
    assert judge(status, "slow down", headers).after_s == after_s


@pytest.mark.parametrize("date", [None, "", "soon", "Tue, 10 Mar 2026 11:59:30"])
def test_a_pause_until_a_date_is_none_where_the_receiver_has_no_clock(date: str | None) -> None:
    headers = {"Retry-After": "Tue, 10 Mar 2026 12:00:00 GMT"} | ({} if date is None else {"Date": date})
    assert judge(429, "slow down", headers).after_s is None


@settings(deadline=None)
@given(st.integers(100, 999), st.text(max_size=20), st.none() | st.text(max_size=20))
def test_every_answer_has_a_verdict_and_only_two_are_success(
    status: int, text: str, retry_after: str | None
) -> None:
    verdict = judge(status, text, {} if retry_after is None else {"Retry-After": retry_after})
    assert (verdict.outcome == "sent") == (status in (200, 204))
    assert verdict.after_s is None or 0 <= verdict.after_s <= 3_600


@pytest.mark.parametrize("retry_after", ["7", None])
async def test_the_verdict_of_a_real_answer_carries_its_text_and_retry_after(retry_after: str | None) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    async with loki(ScriptedAnswer(status=429, headers=headers, body=" too much\n")) as double:
        verdict = await verdict_of(double.url + PUSH)
    after_s = None if retry_after is None else 7
    said = (verdict.outcome, verdict.reason, verdict.after_s, verdict.status)
    assert said == ("retry", "429 too much", after_s, 429)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with loki() as elsewhere, loki() as double:
        location = {"Location": elsewhere.url + PUSH}
        double.scripted.append(ScriptedAnswer(status=status, headers=location))
        assert (await verdict_of(double.url + PUSH)).outcome == "refused"
        assert len(double.requests) == 1
        assert elsewhere.requests == []


@pytest.mark.parametrize("status", [400, 401, 500])
@pytest.mark.parametrize("said", [TOKEN, f"Basic {BASIC}", f"user 1: {TOKEN}/{BASIC} {TOKEN}"])
async def test_a_receiver_that_repeats_our_credentials_cannot_make_us_show_them(
    status: int, said: str
) -> None:
    async with loki(ScriptedAnswer(status=status, body=f"no: {said}.")) as double:
        reason = (await verdict_of(double.url + PUSH)).reason
    assert reason is not None
    assert TOKEN not in reason
    assert BASIC not in reason
    assert "••••" in reason


@pytest.mark.parametrize("cut", [4, 10, 25])
@pytest.mark.parametrize("secret", [TOKEN, BASIC])
async def test_credentials_that_are_cut_off_by_the_cap_are_not_shown_either(secret: str, cut: int) -> None:
    filling = "." * (2_048 - cut)
    async with loki(ScriptedAnswer(status=400, body=filling + secret)) as double:
        reason = (await verdict_of(double.url + PUSH)).reason
    assert reason == f"400 {filling}••••"


async def test_a_reason_has_no_control_characters_and_survives_broken_text() -> None:
    answer = b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\na\x1b[31m\n\xff\x00"
    async with server(answering(answer)) as address:
        reason = (await verdict_of(f"http://{address}/")).reason
    assert reason is not None
    assert reason.isprintable()


async def test_a_receiver_that_hangs_is_given_up_at_the_deadline() -> None:
    async with loki(ScriptedAnswer(status=204, delay_s=30)) as double:
        verdict = await verdict_of(double.url + PUSH, outbound(deadline_s=0.1))
    assert verdict == Verdict(outcome="retry", reason="no answer in time")


async def test_a_receiver_that_drips_its_head_is_given_up_at_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        while True:
            writer.write(b"H")
            await asyncio.sleep(0.01)

    async with server(drip) as address:
        verdict = await verdict_of(f"http://{address}/", outbound(deadline_s=0.15))
    assert verdict.outcome == "retry"


async def test_a_receiver_that_drips_its_text_is_judged_by_its_status() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 400 Bad\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b".")
            await asyncio.sleep(0.01)

    async with server(drip) as address:
        assert (await verdict_of(f"http://{address}/")).outcome == "bad_content"


@pytest.mark.parametrize("status", [204, 400, 500])
async def test_of_ten_megabytes_of_answer_little_is_read(status: int) -> None:
    taken = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await read_head(reader)
        writer.write(f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(160):
            writer.write(chunk)
            await writer.drain()
            taken += 0x10000

    async with server(flood) as address:
        verdict = await verdict_of(f"http://{address}/")
    assert len(verdict.reason or "") <= 2_048 + len("500 ")
    assert taken < 10_000_000


async def test_a_receiver_that_closes_at_once_is_tried_again() -> None:
    async with server(answering(b"")) as address:
        verdict = await verdict_of(f"http://{address}/")
    assert verdict == Verdict(outcome="retry", reason="the connection broke: ServerDisconnectedError")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\nContent-Length: 10\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_broken_connection(answer: bytes) -> None:
    async with server(answering(answer)) as address:
        verdict = await verdict_of(f"http://{address}/")
    assert verdict.outcome == "retry"
    assert str(verdict.reason).startswith("the connection broke: ")


async def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    verdict = await verdict_of(f"http://127.0.0.1:{free_port()}/")
    assert verdict.outcome == "retry"
    assert str(verdict.reason).startswith("no connection: ")


async def test_a_name_that_has_no_address_now_is_tried_again() -> None:
    verdict = await verdict_of("https://nobody.invalid/api/prom/push")
    assert verdict.outcome == "retry"


async def test_a_name_with_several_addresses_that_are_all_refused_is_refused() -> None:
    # glibc finds the loopback's addresses, of both kinds where there are, for this name.
    verdict = await verdict_of("https://*/", outbound(allowed=""))
    assert verdict.outcome == "refused"
    assert str(verdict.reason).startswith("* is at ")


@pytest.mark.parametrize("host", ["a" * 64 + ".example.com", "a..b.example.com", "☃" * 64 + ".example.com"])
async def test_a_host_that_can_be_no_name_is_refused_and_raises_nothing(host: str) -> None:
    verdict = await verdict_of(f"https://{host}/")
    assert verdict == Verdict(outcome="refused", reason="the endpoint is not a URL that can be called")


async def test_a_certificate_that_nobody_signed_is_a_broken_connection(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    async with server(answering(b"HTTP/1.1 204 No Content\r\n\r\n"), context) as address:
        verdict = await verdict_of(f"https://{address}/")
    assert verdict.outcome == "retry"
    assert "certificate" in str(verdict.reason)


async def test_a_token_and_user_beyond_ascii_are_sent_in_utf_8() -> None:
    token = "pässwörd-€"
    async with (
        LokiReceiver(user=USER, token=token, now=lambda: NOON_US / 1e6) as double,
        sender(double.url + PUSH, token=token) as made,
    ):
        verdict = await made.post(b'{"streams": []}', {"Content-Type": "application/json"})
    assert verdict.outcome == "bad_content"  # it was let in, and then told that there is nothing to store


async def test_cookies_of_a_receiver_are_not_sent_back() -> None:
    answer = ScriptedAnswer(status=500, headers={"Set-Cookie": "a=b; Path=/"})
    async with loki(answer, answer) as double, sender(double.url + PUSH) as made:
        await made.post(b"1", {})
        await made.post(b"2", {})
        assert all("Cookie" not in request.headers for request in double.requests)
        assert all(request.headers["User-Agent"].startswith("tollway/") for request in double.requests)


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = moment(NOON_US).astimezone(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3_650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "receiver.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
