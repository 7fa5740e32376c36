"""The clock that all processes share."""

import logging

import pytest

from tests.world.entries import ON_POSTGRESQL, ON_SQLITE
from tollway.domain.clock import US_PER_S, SystemClock
from tollway.store.clock import SharedClock
from tollway.store.database import Database

LATE_US = 3600 * US_PER_S


class LateClock:
    """A machine's clock that is an hour late."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return SystemClock().now_us() - LATE_US


async def test_a_machine_that_agrees_with_the_database_keeps_its_own_time(database: Database) -> None:
    clock = SharedClock(database)
    await clock.set_right()
    assert clock.ahead_us == 0


@ON_POSTGRESQL
async def test_a_machine_that_is_late_is_set_right(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SharedClock(database, LateClock())
    asked_us = SystemClock().now_us()
    await clock.set_right()
    round_trip_us = SystemClock().now_us() - asked_us
    assert abs(clock.ahead_us - LATE_US) <= round_trip_us
    assert caplog.records[0].levelno == logging.WARNING
    assert "differs from the database's by 3" in caplog.text


@ON_POSTGRESQL
async def test_a_machine_that_was_set_right_meanwhile_is_left_alone_again(database: Database) -> None:
    clock = SharedClock(database)
    clock.ahead_us = LATE_US
    await clock.set_right()
    assert clock.ahead_us == 0


@ON_SQLITE
async def test_a_file_has_no_clock_of_its_own(database: Database) -> None:
    clock = SharedClock(database, LateClock())
    await clock.set_right()
    assert clock.ahead_us == 0
