"""What is believed of an issuer's claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.identity import Identity, Registration, check_issuer_url, identity_of
from tollway.domain.token import Secret

ISSUER = "https://id.example.com"
ADA = {"sub": "1", "email": "ada@example.com", "email_verified": True, "name": "Ada"}


def test_a_person_is_a_subject_with_a_verified_address_and_a_name() -> None:
    assert identity_of(ISSUER, ADA) == Identity(
        issuer=ISSUER, subject="1", email="ada@example.com", name="Ada"
    )


@pytest.mark.parametrize("verified", [False, None, "true", "false", 1, [True], {}])
def test_only_an_address_that_is_said_to_be_verified_is_one(verified: object) -> None:
    assert identity_of(ISSUER, ADA | {"email_verified": verified}).email is None
    assert identity_of(ISSUER, {"sub": "1", "email": "ada@example.com"}).email is None


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b\n",
        "a@b\0",
        "a@\ud800",
        "x" * 250 + "@b.cd",
        None,
        5,
        [],
    ],
)
def test_what_is_no_address_is_none(email: object) -> None:
    assert identity_of(ISSUER, ADA | {"email": email}).email is None


@pytest.mark.parametrize("subject", [None, "", 1, ["1"], "x" * 256, "a\0", "a\n", "\ud800", True])
def test_without_a_subject_there_is_nobody(subject: object) -> None:
    with pytest.raises(ValueError, match="no subject"):
        identity_of(ISSUER, ADA | {"sub": subject})


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": " Ada \0\n"}, "Ada"),
        ({"name": "x" * 300}, "x" * 200),
        ({"name": "", "preferred_username": "ada"}, "ada"),
        ({"name": ["Ada"], "nickname": "Adi"}, "Adi"),
        ({"name": None}, "ada@example.com"),
        ({"name": "\n", "email_verified": False}, "1"),
    ],
)
def test_there_is_always_a_name_that_can_be_stored(claims: dict[str, object], name: str) -> None:
    assert identity_of(ISSUER, ADA | claims).name == name


_json = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=3)


@given(st.dictionaries(st.sampled_from([*ADA, "nickname", "preferred_username"]), _json))
def test_whatever_is_claimed_it_is_a_person_or_a_reason(claims: dict[str, object]) -> None:
    try:
        identity = identity_of(ISSUER, claims)
    except ValueError:
        return
    assert identity.subject.isprintable()
    assert identity.name.isprintable()
    assert identity.name
    assert identity.email is None or claims["email_verified"] is True


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com/realms/one",
        "http://127.0.0.1:8080",
        "http://[::1]/x",
        "http://localhost:9000",
    ],
)
def test_an_issuer_is_reached_by_https_or_is_on_this_machine(url: str) -> None:
    assert check_issuer_url(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "id.example.com",
        "http://id.example.com",
        "http://192.0.2.1",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "https://user:secret@id.example.com",
        "https://id.example.com/#x",
        "ftp://id.example.com",
    ],
)
def test_any_other_url_is_none_of_an_issuer(url: str) -> None:
    with pytest.raises(ValueError, match="https") as refused:
        check_issuer_url(url)
    assert "secret" not in str(refused.value)


def test_the_secret_of_a_registration_is_not_shown() -> None:
    known = Registration(
        issuer=ISSUER, client_id="tollway", client_secret=Secret("hidden-secret"), audience=""
    )
    assert "hidden" not in repr(known)
