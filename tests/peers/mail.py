"""A real mail server on the loopback (aiosmtpd) whose answers a test decides."""

import asyncio
import ssl
import warnings
from collections import defaultdict
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HANG_UP = "421 bye"
"""Among answers: the connection ends instead."""


@dataclass(frozen=True, slots=True)
class Received:
    """A letter that the server took: its envelope, and what was in it."""

    sender: str
    to: list[str]
    message: EmailMessage
    was_encrypted: bool
    user: str | None

    @property
    def id(self) -> str:
        """Its Message-ID."""
        return str(self.message["Message-ID"])

    def part(self, subtype: str) -> str:
        """Its text as `plain` or `html`, decoded."""
        body = self.message.get_body((subtype,))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")


class MailPeer:
    """Takes every letter, but for what is scripted; with a `login`, from that user only."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        is_implicit: bool = False,
        login: tuple[str, str] | None = None,
        knows_utf8: bool = True,
    ) -> None:
        self._tls, self._is_implicit, self._login, self._knows_utf8 = tls, is_implicit, login, knows_utf8
        self._server: asyncio.Server | None = None
        self.port = 0
        self.sessions = 0
        self.received: list[Received] = []
        self.answers: defaultdict[str, list[str]] = defaultdict(list)
        """What a recipient is answered, in turn; then it is taken."""
        self.data_answers: list[str] = []
        self.taken = asyncio.Event()
        """Set when a letter was taken."""
        self.answers_data = asyncio.Event()
        """While it is not set, a letter that was taken is not answered."""
        self.answers_data.set()

    def url(self, scheme: str = "smtp", login: str = "") -> str:
        """`smtp://127.0.0.1:PORT`."""
        return f"{scheme}://{login}127.0.0.1:{self.port}"

    def _protocol(self) -> SMTP:
        self.sessions += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of passwords in the clear: what is not allowed is tested
            return self._smtp()

    def _smtp(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.example.com",
            enable_SMTPUTF8=self._knows_utf8,
            tls_context=None if self._is_implicit else self._tls,
            authenticator=self._authenticate if self._login else None,
            auth_required=self._login is not None,
            auth_require_tls=False,
        )

    def _authenticate(
        self,
        _server: SMTP,
        _session: Session,
        _envelope: Envelope,
        _mechanism: str,
        data: Any,  # noqa: ANN401 - aiosmtpd's
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        assert self._login
        is_right = (data.login.decode(), data.password.decode()) == self._login
        return AuthResult(success=is_right, auth_data=data.login.decode(), handled=False)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the recipient, or say what is scripted."""
        scripted = self.answers[address]
        if scripted:
            answer = scripted.pop(0)
            if answer == HANG_UP:
                assert server.transport is not None
                server.transport.close()
            return answer
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Take the letter, or say what is scripted."""
        if self.data_answers:
            return self.data_answers.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        self.received.append(
            Received(
                sender=envelope.mail_from or "",
                to=list(envelope.rcpt_tos),
                message=message,
                was_encrypted=self._is_implicit or session.ssl is not None,
                user=session.auth_data if session.authenticated else None,
            )
        )
        self.taken.set()
        await self.answers_data.wait()
        return "250 OK"

    async def start(self, port: int = 0) -> None:
        """Listen on the loopback."""
        loop = asyncio.get_running_loop()
        tls = self._tls if self._is_implicit else None
        self._server = await loop.create_server(self._protocol, "127.0.0.1", port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nobody listens any more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
