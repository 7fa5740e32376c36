"""The rows of tokens: when a use is written, and what leaves."""

from functools import partial

import pytest
from sqlalchemy import Connection

from tests.world.clock import NOON_US
from tollway.domain.ids import UserId
from tollway.domain.token import digest
from tollway.store.database import Database
from tollway.store.tokens import (
    USE_NOTED_EACH_US,
    StoredToken,
    add_token,
    drop_token,
    find_token,
    note_use,
    revoke_token,
    valid_tokens,
)
from tollway.store.users import create_user

TOKEN = "a token of Ada's"


@pytest.fixture
def user(database: Database) -> UserId:
    return database.write_here(
        partial(create_user, email="ada@example.com", name="Ada", token=TOKEN, now_us=NOON_US)
    )


def only(database: Database) -> StoredToken:
    found = database.write_here(lambda db: find_token(db, digest(TOKEN)))
    assert found is not None
    return found


@pytest.mark.usefixtures("user")
def test_a_use_is_written_once_a_minute_whoever_notes_it(database: Database) -> None:
    token = only(database)
    assert token.last_used_us is None
    assert not token.is_use_noted(NOON_US)
    written = []
    for after_us in (0, 1, USE_NOTED_EACH_US - 1, USE_NOTED_EACH_US, USE_NOTED_EACH_US + 1, 0):
        database.write_here(partial(note_use, token=token.id, now_us=NOON_US + after_us))
        written.append((only(database).last_used_us or 0) - NOON_US)
    assert written == [0, 0, 0, USE_NOTED_EACH_US, USE_NOTED_EACH_US, USE_NOTED_EACH_US]
    assert only(database).is_use_noted(NOON_US + 2 * USE_NOTED_EACH_US - 1)
    assert not only(database).is_use_noted(NOON_US + 2 * USE_NOTED_EACH_US)


def test_a_token_that_nobody_held_leaves_no_row(database: Database, user: UserId) -> None:
    database.write_here(lambda db: drop_token(db, digest(TOKEN)))
    assert database.write_here(lambda db: find_token(db, digest(TOKEN))) is None
    assert database.write_here(lambda db: valid_tokens(db, user, NOON_US)) == []


def test_a_token_is_ended_by_its_user_only_and_once(database: Database, user: UserId) -> None:
    def make(db: Connection) -> StoredToken:
        return add_token(db, user, token="another", name="ci", expires_us=None, now_us=NOON_US + 1)

    made = database.write_here(make)
    assert [token.id for token in database.write_here(lambda db: valid_tokens(db, user, NOON_US))] == [
        made.id,
        only(database).id,
    ]

    def revoked(who: UserId, at_us: int) -> bool:
        return database.write_here(lambda db: revoke_token(db, who, made.id, at_us))

    assert not revoked(UserId("somebody-else"), NOON_US)
    assert revoked(user, NOON_US + 1)
    assert not revoked(user, NOON_US + 2)
