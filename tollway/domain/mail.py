"""The mail server, the sender and other addresses, as operators and tenants write them.

`smtp://` takes STARTTLS where the server offers it, `smtp+starttls://` insists on it, `smtps://`
speaks TLS from the first byte. Owns what is accepted; does not own sending (`notices/mail.py`).
"""

import re
from dataclasses import dataclass
from email.headerregistry import Address
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

from tollway.domain.token import Secret

Tls = Literal["offered", "required", "implicit"]

_TLS: dict[str, Tls] = {"smtp": "offered", "smtp+starttls": "required", "smtps": "implicit"}
_SUBMISSION_PORT = 587
_SUBMISSIONS_PORT = 465
_FORM = (
    "smtp://host:port, smtp+starttls://host:port or smtps://host:port, "
    "with user:password@ before the host if wanted, both percent-encoded"
)
_PART = r"[^\s<>()\[\],;:\\\"@]+"
"""Quoted names before the @ are allowed by the standard, and used by those who smuggle."""
_ADDRESS = re.compile(rf"({_PART})@({_PART})")
_ASCII = r"[\x21-\x7e]+"
_SENDER = re.compile(rf"(?P<bare>{_ASCII})|(?P<name>[^<>]*)<(?P<named>{_ASCII})>")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed over, and by whom it says it is. Without a `user` there is no password."""

    host: str
    port: int
    tls: Tls
    sender: Address
    user: str | None = None
    password: Secret | None = None

    @property
    def is_near(self) -> bool:
        """Whether what is sent there does not leave the machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_mail(url: str, sender: str) -> MailServer | None:
    """What `smtp_url` and `mail_from` say together; None without a URL.

    ValueError names the setting that is wrong; its text holds nothing of the URL.
    """
    try:
        address = parse_sender(sender) if sender else None
    except ValueError as error:
        raise ValueError(f"mail_from: {error}") from None
    if not url:
        return None
    if address is None:
        raise ValueError("mail_from: letters need a sender where there is an smtp_url")
    try:
        return _parse_server(url, address)
    except ValueError as error:
        raise ValueError(f"smtp_url: {error}") from None


def _parse_server(url: str, sender: Address) -> MailServer:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:  # its text would hold what stands at the port's place
        raise ValueError(_FORM) from None
    if parts.scheme not in _TLS or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(_FORM)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError("a user and a password, or neither")
    if not (user + password + host).isprintable():
        raise ValueError("no control or other unprintable characters")
    tls = _TLS[parts.scheme]
    return MailServer(
        host=host,
        port=port or (_SUBMISSIONS_PORT if tls == "implicit" else _SUBMISSION_PORT),
        tls=tls,
        sender=sender,
        user=user or None,
        password=Secret(password) if password else None,
    )


def parse_sender(text: str) -> Address:
    """`tollway@example.com`, or `Tollway <tollway@example.com>`; ValueError."""
    found = _SENDER.fullmatch(text)
    if found is None or not text.isprintable():
        raise ValueError("an address: tollway@example.com, or Tollway <tollway@example.com>")
    plain = parse_address(found["named"] or found["bare"])
    name = (found["name"] or "").strip().strip('"')
    return Address(display_name=name, username=plain.username, domain=plain.domain)


def parse_address(text: str) -> Address:
    """One address, its domain in ASCII; ValueError for what no mail can go to."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not text.isprintable():
        raise ValueError(f"{text!r} is no address that mail can go to")
    try:
        return Address(username=found[1], domain=found[2].encode("idna").decode())
    except UnicodeError:
        raise ValueError(f"{text!r} is no address that mail can go to: its domain") from None
