"""The way to the mail server: TLS that is verified, passwords that are safe, an end to all waiting."""

import asyncio
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from tests.notices.offices import mailer
from tests.peers.mail import MailPeer
from tests.push.certificates import Authority
from tollway.notices.mail import MailUnavailable

ADA = "ada@example.com"
LOGIN = ("tollway@example.com", "p@ss:wörd/%")
IN_THE_URL = "tollway%40example.com:p%40ss%3Aw%C3%B6rd%2F%25@"


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server listens with whose authority this machine trusts."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    return authority.context(["127.0.0.1"])


def letter() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "tollway@example.com", ADA, "Hello"
    message.set_content("Hello!")
    return message.as_bytes(policy=SMTP)


async def send(url: str, to: str = ADA) -> None:
    session = await mailer(url).open()
    assert not await session.send(letter(), [to])
    await session.close()


async def trouble(url: str, deadline_s: float = 5.0) -> str:
    with pytest.raises(MailUnavailable) as caught:
        await mailer(url, deadline_s).open()
    return str(caught.value)


async def test_starttls_is_taken_where_it_is_offered(tls: ssl.SSLContext) -> None:
    async with MailPeer(tls=tls) as encrypting, MailPeer() as plain:
        for peer, scheme in ((encrypting, "smtp"), (encrypting, "smtp+starttls"), (plain, "smtp")):
            await send(peer.url(scheme))
        assert [got.was_encrypted for got in encrypting.received] == [True, True]
        assert [got.was_encrypted for got in plain.received] == [False]


async def test_where_starttls_is_insisted_on_nothing_goes_without() -> None:
    async with MailPeer() as peer:
        assert "STARTTLS extension not supported" in await trouble(peer.url("smtp+starttls"))
        assert not peer.received


async def test_tls_from_the_first_byte(tls: ssl.SSLContext) -> None:
    async with MailPeer(tls=tls, is_implicit=True) as peer:
        await send(peer.url("smtps"))
        assert peer.received[0].was_encrypted


@pytest.mark.parametrize("scheme", ["smtp", "smtp+starttls", "smtps"])
async def test_a_certificate_that_nobody_vouches_for_ends_it(tmp_path: Path, scheme: str) -> None:
    tls = Authority(tmp_path).context(["127.0.0.1"])
    async with MailPeer(tls=tls, is_implicit=scheme == "smtps") as peer:
        assert "CERTIFICATE_VERIFY_FAILED" in (await trouble(peer.url(scheme))).replace(" ", "_").upper()


async def test_who_signs_in_is_known_and_who_is_not_is_told_so(tls: ssl.SSLContext) -> None:
    async with MailPeer(tls=tls, login=LOGIN) as peer:
        await send(peer.url("smtp+starttls", IN_THE_URL))
        assert peer.received[0].user == LOGIN[0]
        said = await trouble(peer.url("smtp+starttls", "tollway:wrong-password@"))
        assert said.startswith("535 ")
        assert "wrong-password" not in said


async def test_a_password_is_not_sent_in_the_clear_but_to_this_machine() -> None:
    async with MailPeer(login=LOGIN) as peer:
        await send(peer.url("smtp", IN_THE_URL))
        assert peer.received[0].user == LOGIN[0]
        elsewhere = peer.url("smtp", IN_THE_URL).replace("127.0.0.1", "127.1")  # by a name of its own
        assert await trouble(elsewhere) == "it offers no STARTTLS, and a password is not sent in the clear"


async def test_the_deadline_is_kept_by_a_server_that_says_nothing() -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await gone.wait()
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await trouble(f"smtp://127.0.0.1:{port}", 0.1) == "it did not answer in time"
    gone.set()
    server.close()


async def test_a_server_that_says_nothing_of_a_letter_is_left() -> None:
    async with MailPeer() as peer:
        peer.answers_data.clear()
        session = await mailer(peer.url(), 0.1).open()
        with pytest.raises(MailUnavailable, match="it did not answer in time"):
            await session.send(letter(), [ADA])
        peer.answers_data.set()
        await session.close()


async def test_where_nobody_listens_it_is_said() -> None:
    peer = MailPeer()
    await peer.start()
    await peer.stop()
    assert await trouble(peer.url())


async def test_an_address_of_other_letters_goes_where_they_are_known() -> None:
    async with MailPeer() as knowing, MailPeer(knows_utf8=False) as other:
        await send(knowing.url(), "jürgen@example.com")
        assert knowing.received[0].to == ["jürgen@example.com"]
        session = await mailer(other.url()).open()
        answers = await session.send(letter(), ["jürgen@example.com"])
        assert answers["jürgen@example.com"].is_final
        assert not await session.send(letter(), [ADA])
        await session.close()
