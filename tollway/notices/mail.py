"""The way to the mail server: SMTP with deadlines, verified TLS, and a password only where it is safe.

Owns a session and what the server's answers mean; does not own texts, or when something is tried
again (`post.py`). A 5xx for a recipient, or for the message, is final; all else may be better later.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import aiosmtplib

from tollway.domain.mail import MailServer
from tollway.domain.token import MASK, Bearer
from tollway.notices.letters import plain

DEADLINE_S = 20.0
"""Of connecting with all that belongs to it, and of each letter."""

_VERDICTS = (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError, aiosmtplib.SMTPNotSupported)
_MAX_SAID_CHARS = 300
_FINAL = 500
_GOODBYE_S = 1.0
_TOKENS = re.compile("|".join(f"{bearer}[0-9A-Za-z]+" for bearer in Bearer))
"""A server may quote what it refuses, and a letter may hold a link with a token."""


class MailUnavailable(Exception):  # noqa: N818 - as the store's own: it says what happened
    """The server takes nothing now; the message says why, in its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why one recipient did not get a letter, in the server's words."""

    is_final: bool
    said: str


class Mailer:
    """Opens sessions with one server."""

    def __init__(self, server: MailServer, *, deadline_s: float = DEADLINE_S) -> None:
        self.sender = server.sender
        self._server = server
        self._deadline_s = deadline_s
        self._tls = ssl.create_default_context()

    async def open(self) -> "Session":
        """Connect, encrypt, sign in. MailUnavailable."""
        server = self._server
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=self._deadline_s,
            use_tls=server.tls == "implicit",
            start_tls=False,
            tls_context=self._tls,
            local_hostname=_own_name(),
        )
        try:
            with _named():
                async with asyncio.timeout(self._deadline_s):
                    await self._begin(smtp)
        except BaseException:
            smtp.close()
            raise
        return Session(smtp, self.sender.addr_spec, self._deadline_s)

    async def _begin(self, smtp: aiosmtplib.SMTP) -> None:
        server = self._server
        await smtp.connect()
        is_encrypted = server.tls == "implicit"
        if not is_encrypted:
            await smtp.ehlo()
            if server.tls == "required" or smtp.supports_extension("starttls"):
                await smtp.starttls()
                is_encrypted = True
        if server.user is not None and server.password is not None:
            if not (is_encrypted or server.is_near):
                raise MailUnavailable("it offers no STARTTLS, and a password is not sent in the clear")
            await smtp.login(server.user.encode(), server.password.reveal().encode())


class Session:
    """A connection that letters may be handed over on, one after the other."""

    def __init__(self, smtp: aiosmtplib.SMTP, sender: str, deadline_s: float) -> None:
        self._smtp = smtp
        self._sender = sender
        self._deadline_s = deadline_s

    async def send(self, mail: bytes, to: Sequence[str]) -> Mapping[str, Refusal]:
        """Hand a letter over; who does not get it, and why. MailUnavailable: the session is over."""
        options = [] if all(address.isascii() for address in to) else ["SMTPUTF8"]
        try:
            with _named():
                async with asyncio.timeout(self._deadline_s):
                    refused, _ = await self._smtp.sendmail(self._sender, to, mail, mail_options=options)
            return {address: _refusal(each.code, each.message) for address, each in refused.items()}
        except aiosmtplib.SMTPRecipientsRefused as error:
            return {each.recipient: _refusal(each.code, each.message) for each in error.recipients}
        except aiosmtplib.SMTPDataError as error:
            return dict.fromkeys(to, _refusal(error.code, error.message))
        except aiosmtplib.SMTPNotSupported:
            said = "the mail server knows ASCII addresses only (no SMTPUTF8)"
            return dict.fromkeys(to, Refusal(is_final=True, said=said))

    async def close(self) -> None:
        """Say goodbye, if there is still somebody to say it to."""
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await self._smtp.quit(timeout=_GOODBYE_S)
        self._smtp.close()


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """What means that the server takes nothing now, by that name; verdicts on a letter pass."""
    try:
        yield
    except _VERDICTS:
        raise
    except aiosmtplib.SMTPResponseException as error:
        raise MailUnavailable(_said(f"{error.code} {error.message}")) from None
    except TimeoutError:
        raise MailUnavailable("it did not answer in time") from None
    except (aiosmtplib.SMTPException, OSError) as error:
        raise MailUnavailable(_said(str(error) or type(error).__name__)) from None


def _refusal(code: int, message: str) -> Refusal:
    return Refusal(is_final=code >= _FINAL, said=_said(f"{code} {message}"))


def _said(text: str) -> str:
    return plain(_TOKENS.sub(MASK, text), _MAX_SAID_CHARS)


def _own_name() -> str:
    """What the server is greeted with; looking up a full name could take long."""
    return re.sub(r"[^0-9A-Za-z.-]", "-", socket.gethostname()) or "localhost"
