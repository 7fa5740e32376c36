"""Who an OpenID Connect issuer says a person is, and how this installation is known to the issuer.

Owns what is believed of an issuer's claims: a subject, and an e-mail address only where the
issuer says that it is verified. Does not own whether the claims are the issuer's
(`control/signatures.py`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from tollway.domain.destination import Endpoint, is_localhost, parse_endpoint
from tollway.domain.token import Secret

MAX_SUBJECT_CHARS = 255
_MAX_EMAIL_CHARS = 254
_MAX_NAME_CHARS = 200
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """How this installation is known to its issuer; an empty `client_id` or `audience` is none."""

    issuer: str
    client_id: str
    client_secret: Secret | None
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person as the issuer knows them. `email` is None unless the issuer has verified it."""

    issuer: str
    subject: str
    email: str | None
    name: str


def identity_of(issuer: str, claims: Mapping[str, Any]) -> Identity:
    """The person of verified claims; ValueError without a subject that can be one."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARS or not subject.isprintable():
        raise ValueError("the claims name no subject")
    email = _email(claims)
    return Identity(issuer=issuer, subject=subject, email=email, name=_name(claims) or email or subject)


def check_issuer_url(url: str) -> Endpoint:
    """An https URL, or an http one of this machine, without a query; ValueError."""
    try:
        endpoint = parse_endpoint(url)
    except ValueError:
        raise ValueError("an absolute https URL without credentials or fragment") from None
    if not endpoint.encrypted and not _is_here(endpoint):
        raise ValueError("https: what it says is believed (http only at this machine's loopback)")
    return endpoint


def _is_here(endpoint: Endpoint) -> bool:
    try:
        return ip_address(endpoint.host).is_loopback
    except ValueError:  # a name
        return is_localhost(endpoint)


def _email(claims: Mapping[str, Any]) -> str | None:
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    fits = len(email) <= _MAX_EMAIL_CHARS and email.isprintable() and _EMAIL.fullmatch(email)
    return email if fits else None


def _name(claims: Mapping[str, Any]) -> str:
    for claim in ("name", "preferred_username", "nickname"):
        text = claims.get(claim)
        if isinstance(text, str):
            plain = "".join(char for char in text if char.isprintable()).strip()[:_MAX_NAME_CHARS]
            if plain:
                return plain
    return ""
