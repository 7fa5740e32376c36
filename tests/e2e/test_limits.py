"""Four real processes on one PostgreSQL: limits hold by the vendor's own bill, and leak nothing.

`make soak` runs the same for longer: four minutes, and 10,000 disconnects.
"""

from pathlib import Path

import pytest

from tests.peers.postgres import PostgresServer
from tests.soak import limits
from tests.soak.scenarios import Report

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SEED = 4
DISCONNECTS = 300
A_FULL_MINUTE, THEN_ONE_WITH_A_KILL = False, True
RECOVERED_S = 25.0
"""By then, what a killed worker held of the minute is with the others, and used up."""


def assert_agree(report: Report) -> None:
    assert not report.differences, "\n".join([*report.differences[:10], *report.notes])


async def test_a_hard_limit_of_a_dollar_is_used_up_and_never_passed(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    assert_agree(await limits.spending(tmp_path / "spending", SEED, postgres=postgres))


async def test_a_rate_limit_lets_exactly_that_many_through_in_a_minute_and_with_a_kill_hardly_less(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    report = await limits.minutes(
        tmp_path / "minutes",
        SEED,
        postgres=postgres,
        kills=(A_FULL_MINUTE, THEN_ONE_WITH_A_KILL),
        last_s=RECOVERED_S,
    )
    assert_agree(report)


async def test_clients_that_leave_at_any_moment_leave_nothing_reserved(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    report = await limits.disconnects(tmp_path / "disconnects", SEED, postgres=postgres, times=DISCONNECTS)
    assert_agree(report)
    assert report.counts["hung_up"] > DISCONNECTS / 10
