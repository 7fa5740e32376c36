"""Invites: a place in an organisation that is held for one e-mail address, for a while.

Owns how long, in which states, and the link of the letter; does not own the rows
(`store/invites.py`).
"""

from enum import StrEnum
from urllib.parse import urlencode, urlsplit, urlunsplit

from tollway.domain.clock import US_PER_S

VALID_DAYS = 7
VALID_US = VALID_DAYS * 86_400 * US_PER_S


class InviteStatus(StrEnum):
    """What became of an invite; a member's is always accepted."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"


def address_of(email: str) -> str:
    """The form in which addresses are compared: people write them in either case."""
    return email.lower()


def parse_page(link: str) -> str:
    """The page that invites lead to, an absolute URL; ValueError."""
    try:
        parts = urlsplit(link)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:  # brackets that hold no address
        is_whole = False
    if not is_whole:
        raise ValueError("an absolute http:// or https:// URL without a user")
    return link


def link_of(page: str, email: str, token: str) -> str:
    """The page's address with `email` and `token` in its query, for the one who is invited."""
    parts = urlsplit(page)
    query = "&".join(part for part in (parts.query, urlencode({"email": email, "token": token})) if part)
    return urlunsplit(parts._replace(query=query))
