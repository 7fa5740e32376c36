"""Roles are bundles, each within the next; permissions are read from text or refused with what there is."""

import pytest

from tollway.domain.org import EVERY_PERMISSION, Permission
from tollway.domain.role import Role, is_admin, parse_permissions, words_of


def test_each_role_has_all_that_the_one_before_it_has() -> None:
    viewer, editor, admin = (role.permissions for role in Role)
    assert viewer < editor < admin == EVERY_PERMISSION
    assert words_of(viewer) == "viewer:app viewer:members"
    assert editor - viewer == {Permission.EDITOR_APP, Permission.EDITOR_MEMBERS, Permission.EDITOR_ORG}


@pytest.mark.parametrize("role", Role)
def test_a_roles_name_and_its_permissions_mean_the_same(role: Role) -> None:
    assert parse_permissions(role) == parse_permissions(words_of(role.permissions)) == role.permissions


def test_any_bundle_may_be_named_in_any_order() -> None:
    assert parse_permissions(" admin:org  viewer:app admin:org") == {
        Permission.ADMIN_ORG,
        Permission.VIEWER_APP,
    }


@pytest.mark.parametrize("text", ["", " ", "Admin", "viewer editor", "viewer:app,editor:app", "viewer:apps"])
def test_what_is_no_permission_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"viewer, editor, admin.*editor:org"):
        parse_permissions(text)


def test_an_admin_is_who_may_do_everything() -> None:
    assert is_admin(EVERY_PERMISSION)
    assert not any(is_admin(EVERY_PERMISSION - {permission}) for permission in Permission)


def test_each_role_includes_those_before_it() -> None:
    for number, role in enumerate(Role):
        assert [role.includes(other) for other in Role] == [place <= number for place in range(len(Role))]
