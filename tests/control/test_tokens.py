"""Tokens that sign-ins make: for a day, and so few that old ones make room."""

from functools import partial

import pytest

from tests.world.clock import NOON_US
from tollway.control.tokens import MAX_SIGN_INS, MAX_TOKENS, SIGN_IN_US, make_sign_in, make_token, recognise
from tollway.domain.errors import Conflict
from tollway.domain.ids import UserId
from tollway.domain.token import digest
from tollway.store.database import Database
from tollway.store.tokens import find_token, valid_tokens
from tollway.store.users import create_user


@pytest.fixture
def user(database: Database) -> UserId:
    return database.write_here(
        partial(create_user, email="ada@example.com", name="Ada", token="first", now_us=NOON_US)
    )


def test_another_sign_in_ends_the_oldest_where_there_are_too_many(database: Database, user: UserId) -> None:
    signed_in = [
        database.write_here(partial(make_sign_in, user=user, now_us=NOON_US + number)).token
        for number in range(MAX_SIGN_INS + 2)
    ]
    now_us = NOON_US + MAX_SIGN_INS + 2

    def is_known(token: str) -> bool:
        return database.write_here(lambda db: recognise(db, digest(token), now_us)) is not None

    known = [is_known(token) for token in signed_in]
    assert known == [False, False] + [True] * MAX_SIGN_INS
    assert database.write_here(lambda db: recognise(db, digest("first"), now_us)) is not None


def test_a_sign_in_lasts_a_day_and_takes_no_room_of_the_others(database: Database, user: UserId) -> None:
    for number in range(MAX_TOKENS - 1):
        database.write_here(partial(make_token, user=user, name=f"{number}", expires_us=None, now_us=NOON_US))
    made = database.write_here(partial(make_sign_in, user=user, now_us=NOON_US))
    assert made.token not in repr(made)
    end_us = NOON_US + SIGN_IN_US
    assert database.write_here(lambda db: recognise(db, digest(made.token), end_us - 1)) is not None
    assert database.write_here(lambda db: recognise(db, digest(made.token), end_us)) is None
    with pytest.raises(Conflict, match="you have 90 valid tokens, and may have 90: revoke one first"):
        database.write_here(partial(make_token, user=user, name="more", expires_us=None, now_us=NOON_US))


def test_what_ended_long_ago_is_removed_when_another_is_made(database: Database, user: UserId) -> None:
    day_us = SIGN_IN_US
    ended = database.write_here(
        partial(make_token, user=user, name="short", expires_us=NOON_US + 1, now_us=NOON_US)
    )

    def is_there(token: str) -> bool:
        return database.write_here(lambda db: find_token(db, digest(token))) is not None

    def made_later(days: int) -> None:
        now_us = NOON_US + days * day_us
        database.write_here(partial(make_token, user=user, name="new", expires_us=None, now_us=now_us))

    made_later(90)
    assert is_there(ended.token)
    made_later(91)
    assert not is_there(ended.token)
    assert len(database.write_here(lambda db: valid_tokens(db, user, NOON_US + 91 * day_us))) == 3
