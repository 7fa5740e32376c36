"""Receivers that fail and pushers that die: each has its organisation's numbers, and nobody else's.

`make soak` runs the same for longer: thirty organisations, for three minutes.
"""

from pathlib import Path

import pytest

from tests.peers.postgres import PostgresServer
from tests.soak import pushes
from tests.soak.scenarios import Report

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SEED = 5
ORGS = 10


def assert_agree(report: Report) -> None:
    assert not report.differences, "\n".join([*report.differences[:10], *report.notes])


async def test_receivers_that_fail_in_turn_have_all_in_the_end_and_harm_no_other(tmp_path: Path) -> None:
    assert_agree(await pushes.faults(tmp_path / "pushes", SEED, orgs=ORGS, rounds=1))


async def test_the_same_with_two_processes_on_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    report = await pushes.faults(tmp_path / "pushes", SEED, orgs=ORGS, rounds=1, postgres=postgres)
    assert_agree(report)


async def test_a_pusher_that_is_killed_or_paused_is_replaced_within_two_intervals(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    assert_agree(await pushes.handovers(tmp_path / "handovers", SEED, postgres=postgres, orgs=4))
