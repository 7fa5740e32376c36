"""Slugs: the names that labels and addresses carry. Fixed at creation, unlike display names.

Owns which texts are slugs and how one is made from a name; does not own whether it is taken.
"""

import re
import secrets
import unicodedata

ORG_NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
ORG_NAME_CHARS = (4, 63)

_APP_SLUG_CHARS = 48
_STEM_CHARS = 40
_SUFFIX_CHARS = 8
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def slug_of(name: str, fallback: str) -> str:
    """Lower-case ASCII letters, digits and single hyphens made from `name`; else `fallback`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return slug[:_APP_SLUG_CHARS].rstrip("-") or fallback


def numbered(slug: str, number: int) -> str:
    """`slug` itself for number 1, else with the number behind it."""
    return slug if number == 1 else f"{slug}-{number}"


def personal_slug(email: str, name: str) -> str:
    """`ada-3kx09z1c`: the start of the e-mail, else the name, and what nobody else has behind it."""
    stem = slug_of(email.partition("@")[0], slug_of(name, "user"))[:_STEM_CHARS].rstrip("-")
    return f"{stem}-{''.join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_CHARS))}"
