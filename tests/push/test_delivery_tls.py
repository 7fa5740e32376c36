"""Certificates of receivers: whom the gateway believes, and that nobody else sees a token."""

import asyncio
import ssl
from pathlib import Path

import msgspec
import pytest

from tests.push.certificates import PAST, Authority
from tests.push.receivers import server
from tests.push.senders import BASIC, SYSTEM_TLS, listing, outbound, verdict_of
from tollway.push.delivery import Verdict
from tollway.settings import Settings


def trusting(authority: Authority) -> ssl.SSLContext:
    return msgspec.structs.replace(Settings(), push_ca_bundle=str(authority.bundle)).push_tls


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_receiver_that_the_bundle_s_authority_vouches_for_is_pushed_to(
    authority: Authority, host: str
) -> None:
    heads: list[bytes] = []
    async with server(listing(heads), authority.context(["127.0.0.1", "localhost"])) as address:
        endpoint = f"https://{host}:{address.rpartition(':')[2]}/"
        verdict = await verdict_of(endpoint, outbound(tls=trusting(authority)))
    assert verdict.outcome == "sent"
    (head,) = heads
    assert f"Basic {BASIC}".encode() in head


async def refused_by(context: ssl.SSLContext, tls: ssl.SSLContext, host: str = "127.0.0.1") -> Verdict:
    """A push to a receiver that must not see anything of it."""
    heads: list[bytes] = []
    async with server(listing(heads), context) as address:
        verdict = await verdict_of(f"https://{host}:{address.rpartition(':')[2]}/", outbound(tls=tls))
    assert heads == []
    assert verdict.outcome == "retry"  # nothing is lost: a certificate may be put right
    assert "certificate" in str(verdict.reason)
    assert BASIC not in str(verdict.reason)
    return verdict


async def test_without_the_bundle_it_sees_no_token(authority: Authority) -> None:
    await refused_by(authority.context(["127.0.0.1"]), SYSTEM_TLS)


async def test_a_bundle_replaces_the_authorities_and_another_s_word_is_not_taken(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    await refused_by(other.context(["127.0.0.1"]), trusting(authority))


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (["localhost"], "127.0.0.1"),
        (["127.0.0.1"], "localhost"),
        (["127.0.0.2"], "127.0.0.1"),
        (["prometheus.example.com", "*.localhost"], "localhost"),
    ],
)
async def test_a_certificate_for_another_name_sees_no_token(
    authority: Authority, names: list[str], host: str
) -> None:
    await refused_by(authority.context(names), trusting(authority), host)


async def test_an_expired_certificate_sees_no_token(authority: Authority) -> None:
    verdict = await refused_by(authority.context(["127.0.0.1"], until=PAST), trusting(authority))
    assert "expired" in str(verdict.reason)


async def test_versions_of_tls_that_are_broken_are_not_spoken(authority: Authority) -> None:
    tls = trusting(authority)
    assert min(tls.minimum_version, SYSTEM_TLS.minimum_version) >= ssl.TLSVersion.TLSv1_2
    assert tls.check_hostname
    assert tls.verify_mode is ssl.CERT_REQUIRED


async def test_a_receiver_that_speaks_no_tls_sees_no_token() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(65_536))
        writer.write(b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n")

    async with server(talk) as address:
        verdict = await verdict_of(f"https://{address}/")
    assert verdict.outcome == "retry"
    assert seen
    assert BASIC.encode() not in b"".join(seen)
