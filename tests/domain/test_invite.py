"""Invites: pages that links may lead to, and links that carry e-mail and token whole."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tollway.domain.invite import VALID_US, address_of, link_of, parse_page


@pytest.mark.parametrize(
    "page", ["https://app.example.com", "http://localhost:3000/join?from=mail#top", "https://[::1]/join"]
)
def test_a_page_is_an_absolute_url(page: str) -> None:
    assert parse_page(page) == page


@pytest.mark.parametrize(
    "page",
    [
        "",
        "/join",
        "app.example.com/join",
        "//app.example.com",
        "https://",
        "ftp://app.example.com",
        "javascript:alert(1)",
        "https://ada@app.example.com",
        "https://ada:secret@app.example.com",
        "https://[::1",
    ],
)
def test_anything_else_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        parse_page(page)


def test_a_link_is_the_page_with_e_mail_and_token_behind_what_it_has() -> None:
    email = "ada+tollway&x=1@example.com"
    for page in ("https://app.example.com/join", "https://app.example.com/join?from=mail#top"):
        link = urlsplit(link_of(page, email, "twi_x"))
        assert link._replace(query="") == urlsplit(page)._replace(query="")
        asked = parse_qs(link.query, strict_parsing=True)
        assert (asked.pop("email"), asked.pop("token")) == ([email], ["twi_x"])
        assert asked == parse_qs(urlsplit(page).query)


def test_addresses_are_compared_without_case() -> None:
    assert address_of("Ada@Example.com") == address_of("ada@example.COM") == "ada@example.com"


def test_an_invite_is_open_for_a_week() -> None:
    assert VALID_US == 7 * 24 * 3600 * 10**6
