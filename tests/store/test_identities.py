"""Which user an issuer's subject is, and whose an e-mail address is."""

from functools import partial

import pytest
from sqlalchemy import Connection

from tests.world.clock import NOON_US
from tollway.domain.identity import Identity
from tollway.domain.ids import UserId
from tollway.store.database import Database
from tollway.store.identities import add_identity, find_identity, has_identity
from tollway.store.users import create_user, find_user, users_with_email

ISSUER = "https://id.example.com"


def make(db: Connection, email: str) -> UserId:
    return create_user(db, email=email, name="Ada", token=f"token of {email}", now_us=NOON_US)


def who(subject: str, issuer: str = ISSUER) -> Identity:
    return Identity(issuer=issuer, subject=subject, email=None, name="Ada")


def test_a_subject_is_one_user_of_its_issuer_and_stays_so(database: Database) -> None:
    ada, eve = (database.write_here(partial(make, email=f"{name}@example.com")) for name in ("ada", "eve"))

    def work(db: Connection) -> None:
        assert find_identity(db, ISSUER, "1") is None
        assert add_identity(db, ada, who("1"), NOON_US)
        assert not add_identity(db, eve, who("1"), NOON_US)  # and the transaction goes on
        assert add_identity(db, eve, who("1", "https://other.example.com"), NOON_US)
        assert find_identity(db, ISSUER, "1") == ada
        assert find_identity(db, "https://other.example.com", "1") == eve
        assert has_identity(db, ada, ISSUER)
        assert not has_identity(db, eve, ISSUER)

    database.write_here(work)


@pytest.mark.parametrize(
    ("stored", "asked", "is_found"),
    [
        ("ada@example.com", "ada@example.com", True),
        ("Ada@Example.com", "ADA@example.COM", True),
        ("ada@example.com", "ada@example.co", False),
        ("kim@example.com", "\N{KELVIN SIGN}im@example.com", False),
        ("\N{KELVIN SIGN}im@example.com", "kim@example.com", False),
        ("ada_@example.com", "adax@example.com", False),
        ("%@example.com", "ada@example.com", False),
    ],
)
def test_an_address_is_the_same_in_any_case_of_ascii_and_in_no_other_way(
    database: Database, stored: str, asked: str, is_found: bool
) -> None:
    user = database.write_here(partial(make, email=stored))
    found = database.write_here(partial(users_with_email, email=asked))
    assert found == ([user] if is_found else [])


def test_a_user_is_found_by_the_id(database: Database) -> None:
    user = database.write_here(partial(make, email="ada@example.com"))
    found = database.write_here(partial(find_user, user=user))
    assert found is not None
    assert (found.id, found.email, found.org_id) == (user, "ada@example.com", None)
    assert database.write_here(lambda db: find_user(db, UserId("nobody"))) is None
