"""The real server, killed, starved and restored: the books agree, request by request."""

from pathlib import Path

import pytest

from tests.peers.postgres import PostgresServer
from tests.soak import scenarios
from tests.soak.scenarios import Report

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SEED = 20_260
KILLS = 10
AWAY_S = 30


def assert_agree(report: Report, **at_least: int) -> None:
    assert not report.differences, "\n".join(report.differences[:10])
    for name, least in at_least.items():
        assert report.counts[name] >= least, f"{name}: {report.counts}"


async def test_a_server_that_is_killed_at_any_instant_loses_and_doubles_nothing(tmp_path: Path) -> None:
    report = await scenarios.kills(tmp_path / "soak", SEED, times=KILLS)
    assert_agree(report, settled=50, failed=1, unsettled=1)


async def test_the_same_on_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    postgres.create_database("kills")
    url = postgres.url("kills")
    report = await scenarios.kills(tmp_path / "soak", SEED + 1, times=KILLS, database_url=url)
    assert_agree(report, settled=50, failed=1, unsettled=1)


async def test_a_stop_under_load_leaves_nothing_unsettled(tmp_path: Path) -> None:
    assert_agree(await scenarios.stops(tmp_path / "soak", SEED), settled=50, estimated=1)


async def test_calls_are_answered_and_kept_while_the_database_is_away(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    report = await scenarios.database_away(tmp_path / "soak", SEED, postgres=postgres, away_s=AWAY_S)
    assert_agree(report, settled=200)


async def test_a_full_disk_refuses_calls_and_loses_none(tmp_path: Path) -> None:
    assert_agree(await scenarios.disk_full(tmp_path / "soak", SEED), settled=50, refused=1)


async def test_an_older_database_file_is_brought_up_to_date(tmp_path: Path) -> None:
    assert_agree(await scenarios.restored_file(tmp_path / "soak", SEED), settled=50)


async def test_a_database_set_back_below_a_running_server_is_brought_up_to_date(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    assert_agree(await scenarios.restored_below(tmp_path / "soak", SEED, postgres=postgres), settled=50)


async def test_a_server_takes_over_the_journal_of_one_that_was_killed(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    assert_agree(await scenarios.two_servers(tmp_path / "soak", SEED, postgres=postgres), settled=50)
