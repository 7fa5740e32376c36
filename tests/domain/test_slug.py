"""Slugs: what a label may be, made from whatever a person typed."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.slug import ORG_NAME_CHARS, ORG_NAME_PATTERN, numbered, personal_slug, slug_of

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@given(st.text(max_size=200))
@settings(deadline=None)
def test_whatever_the_name_the_slug_is_one(name: str) -> None:
    slug = slug_of(name, "app")
    assert SLUG.fullmatch(slug)
    assert len(slug) <= 48


@given(st.text(max_size=200))
@settings(deadline=None)
def test_the_slug_of_a_slug_is_itself(name: str) -> None:
    slug = slug_of(name, "app")
    assert slug_of(slug, "other") == slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My App", "my-app"),
        ("  Über--die   Straße! ", "uber-die-strae"),
        ("a_b.c/d", "a-b-c-d"),
        ("日本語", "app"),
        ("", "app"),
        ("---", "app"),
        ('"} 1\nevil{', "1-evil"),
        ("x" * 100, "x" * 48),
        ("x" * 47 + " y", "x" * 47),
    ],
)
def test_a_slug_is_what_is_plain_in_the_name(name: str, slug: str) -> None:
    assert slug_of(name, "app") == slug


def test_the_second_of_a_name_is_numbered() -> None:
    assert [numbered("app", number) for number in (1, 2, 10)] == ["app", "app-2", "app-10"]


@pytest.mark.parametrize("name", ["acme", "acme-2", "0", "a-b-c"])
def test_the_pattern_takes_slugs(name: str) -> None:
    assert re.search(ORG_NAME_PATTERN, name)


@pytest.mark.parametrize("name", ["", "Acme", "-acme", "acme-", "a--b", "a b", "a_b", "ä", 'a"b', "a\nb"])
def test_the_pattern_takes_nothing_else(name: str) -> None:
    assert not re.search(ORG_NAME_PATTERN, name)


@pytest.mark.parametrize(
    ("email", "name", "stem"),
    [
        ("ada@example.com", "Ada Lovelace", "ada"),
        ("Ada.Lovelace+x@example.com", "Ada", "ada-lovelace-x"),
        ("a@example.com", "Ada", "a"),
        ("日本@example.com", "Ada Lovelace", "ada-lovelace"),
        ("日本@example.com", "日本", "user"),
        ("x" * 39 + "-y@example.com", "Ada", "x" * 39),
    ],
)
def test_a_personal_slug_is_the_start_of_the_address_and_what_nobody_else_has(
    email: str, name: str, stem: str
) -> None:
    made = {personal_slug(email, name) for _ in range(50)}
    assert len(made) == 50
    for slug in made:
        assert slug.rpartition("-")[0] == stem
        assert re.fullmatch(ORG_NAME_PATTERN, slug)
        assert ORG_NAME_CHARS[0] <= len(slug) <= ORG_NAME_CHARS[1]
