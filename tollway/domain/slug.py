"""Slugs: the names that labels and addresses carry. Fixed at creation, unlike display names.

Owns which texts are slugs and how one is made from a name; does not own whether it is taken.
"""

import re
import unicodedata

ORG_NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
ORG_NAME_CHARS = (4, 63)

_APP_SLUG_CHARS = 48


def slug_of(name: str, fallback: str) -> str:
    """Lower-case ASCII letters, digits and single hyphens made from `name`; else `fallback`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return slug[:_APP_SLUG_CHARS].rstrip("-") or fallback


def numbered(slug: str, number: int) -> str:
    """`slug` itself for number 1, else with the number behind it."""
    return slug if number == 1 else f"{slug}-{number}"
