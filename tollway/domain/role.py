"""Roles: what a member may do, as bundles of permissions that have a name.

Owns the bundles, the text that permissions are stored and sent as, and who may give what; does
not own who has them (`store/members.py`).
"""

from collections.abc import Iterable
from enum import StrEnum

from tollway.domain.org import EVERY_PERMISSION, Permission

Permissions = frozenset[Permission]


class Role(StrEnum):
    """A bundle of permissions; each has all that the one before it has."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether who has this one may do all that the other may."""
        return _ORDER.index(self) >= _ORDER.index(other)

    @property
    def permissions(self) -> Permissions:
        """What its members may do."""
        return BUNDLES[self]


_ORDER = tuple(Role)
_VIEWER = frozenset({Permission.VIEWER_APP, Permission.VIEWER_MEMBERS})
_EDITOR = _VIEWER | {Permission.EDITOR_APP, Permission.EDITOR_MEMBERS, Permission.EDITOR_ORG}
BUNDLES = {Role.VIEWER: _VIEWER, Role.EDITOR: _EDITOR, Role.ADMIN: EVERY_PERMISSION}

_ROLES = {str(role) for role in Role}
_PERMISSIONS = {str(permission) for permission in Permission}


def words_of(permissions: Iterable[Permission]) -> str:
    """`editor:org viewer:app`: as they are stored and answered."""
    return " ".join(sorted(permissions))


def parse_permissions(text: str) -> Permissions:
    """A role's name, or permissions with spaces between; ValueError, which says what there is."""
    if text in _ROLES:
        return Role(text).permissions
    words = text.split()
    unknown = [word for word in words if word not in _PERMISSIONS]
    if unknown or not words:
        roles, every = ", ".join(Role), " ".join(Permission)
        raise ValueError(f"a role ({roles}), or permissions with spaces between: {every}")
    return frozenset(Permission(word) for word in words)


def is_admin(permissions: Permissions) -> bool:
    """Whether somebody may do everything; an organisation always has such a member."""
    return permissions >= EVERY_PERMISSION
