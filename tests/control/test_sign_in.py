"""Who is let in as whom."""

from dataclasses import replace
from functools import partial

import pytest

from tests.world.clock import NOON_US
from tollway.control.sign_in import enter, enter_person, find_person
from tollway.control.users import create_user
from tollway.domain.errors import Conflict, Forbidden
from tollway.domain.identity import Identity
from tollway.domain.ids import UserId
from tollway.domain.subscription import Opening
from tollway.store.database import Database

ADA = Identity(issuer="https://id.example.com", subject="1", email="ada@example.com", name="Ada")


def let_in(database: Database, identity: Identity) -> UserId:
    return database.write_here(partial(enter, identity=identity, opening=Opening(), now_us=NOON_US))


def made(database: Database, email: str) -> UserId:
    return database.write_here(partial(create_user, email=email, name="Ada", now_us=NOON_US)).id


def test_a_person_is_known_by_the_subject_once_they_were_here(database: Database) -> None:
    assert database.write_here(partial(find_person, identity=ADA)) is None
    user = let_in(database, ADA)
    without_address = replace(ADA, email=None, name="Somebody")
    assert let_in(database, without_address) == user
    for find in (partial(find_person), partial(enter_person, opening=Opening(), now_us=NOON_US)):
        found = database.write_here(partial(find, identity=without_address))
        assert found is not None
        assert (found.id, found.email, found.name) == (user, "ada@example.com", "Ada")


def test_the_same_subject_of_another_issuer_is_somebody_else(database: Database) -> None:
    user = let_in(database, ADA)
    elsewhere = replace(ADA, issuer="https://other.example.com", email="eve@example.com")
    assert let_in(database, elsewhere) != user


def test_whoever_moves_to_another_issuer_is_matched_by_the_address(database: Database) -> None:
    user = let_in(database, ADA)
    moved = replace(ADA, issuer="https://other.example.com", subject="2")
    assert let_in(database, moved) == user
    assert let_in(database, ADA) == user


def test_an_address_is_matched_with_one_user_whom_nobody_of_the_issuer_is(database: Database) -> None:
    user = made(database, "Ada@Example.com")
    assert let_in(database, ADA) == user
    with pytest.raises(Conflict, match="belongs to another account"):
        let_in(database, replace(ADA, subject="2"))


def test_an_address_that_two_users_have_is_nobody_s(database: Database) -> None:
    made(database, "Ada@example.com")
    made(database, "ada@Example.com")
    with pytest.raises(Conflict):
        let_in(database, ADA)


def test_without_a_verified_address_nobody_new_is_let_in(database: Database) -> None:
    with pytest.raises(Forbidden) as refused:
        let_in(database, replace(ADA, email=None))
    assert refused.value.code == "email_not_verified"
