"""Alerts: raised when a limit is reached, once per cycle, whoever else raises them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from tests.world.clock import NOON_US
from tests.world.entries import batch, cost, entry, make_org
from tollway.domain.clock import month_start_us, next_month_start_us
from tollway.domain.ids import OrgId
from tollway.domain.org import AlertKind
from tollway.store.alerts import raise_alert, raise_crossed, raised_alerts
from tollway.store.database import Database
from tollway.store.outbox_schema import outbox
from tollway.store.schema import orgs
from tollway.store.usage import fold

START_US = month_start_us(NOON_US)
NEXT_US = next_month_start_us(NOON_US)


@pytest.fixture
def org(database: Database) -> OrgId:
    return database.write_here(make_org)


def limit(database: Database, org: OrgId, soft: int | None, hard: int | None) -> None:
    values = {"spending_limit_soft_nano": soft, "spending_limit_hard_nano": hard}
    database.write_here(lambda db: db.execute(update(orgs).where(orgs.c.id == org).values(values)))


def spend(database: Database, org: OrgId, nano: int, at_us: int = NOON_US, first: int = 0) -> None:
    """Rows of such a cost; without limits, since a fold raises alerts itself."""
    limit(database, org, None, None)
    row = entry(org_id=org, ended_us=at_us, cost=cost(nano // 2, nano - nano // 2))
    database.write_here(lambda db: fold(db, batch([(first, row)]), at_us))


def crossed(database: Database, *touched: tuple[OrgId, int], now_us: int = NOON_US) -> None:
    database.write_here(lambda db: raise_crossed(db, touched, now_us))


def letters(database: Database) -> list[tuple[str, str, dict[str, Any]]]:
    def read(db: Connection) -> list[tuple[str, str, dict[str, Any]]]:
        rows = db.execute(select(outbox).order_by(outbox.c.org_id, outbox.c.kind, outbox.c.id))
        return [(row.org_id, row.kind, row.content) for row in rows]

    return database.write_here(read)


def alerts(database: Database, org: OrgId, start_us: int = START_US) -> dict[AlertKind, int]:
    return database.write_here(lambda db: raised_alerts(db, org, start_us))


def test_a_limit_is_crossed_when_it_is_reached_and_not_a_nano_dollar_before(
    database: Database, org: OrgId
) -> None:
    spend(database, org, 999)
    limit(database, org, 1_000, 2_000)
    crossed(database, (org, START_US))
    assert (alerts(database, org), letters(database)) == ({}, [])

    spend(database, org, 1, first=1)
    limit(database, org, 1_000, 2_000)
    crossed(database, (org, START_US), now_us=NOON_US + 5)
    assert alerts(database, org) == {AlertKind.SOFT_LIMIT: NOON_US + 5}
    content = {
        "limit": "0.000001",
        "spent": "0.000001",
        "cycle_start": "2026-03-01T00:00:00.000000Z",
        "cycle_end": "2026-04-01T00:00:00.000000Z",
    }
    assert letters(database) == [(org, "alert.soft_limit", content)]

    spend(database, org, 1_500, first=2)
    limit(database, org, 1_000, 2_000)
    crossed(database, (org, START_US), now_us=NOON_US + 9)
    assert alerts(database, org) == {AlertKind.SOFT_LIMIT: NOON_US + 5, AlertKind.HARD_LIMIT: NOON_US + 9}
    hard = content | {"limit": "0.000002", "spent": "0.0000025"}
    assert letters(database) == [(org, "alert.hard_limit", hard), (org, "alert.soft_limit", content)]


def test_one_cycle_has_one_alert_of_a_kind_and_the_next_one_its_own(database: Database, org: OrgId) -> None:
    for at_us, start_us, first in ((NOON_US, START_US, 0), (NEXT_US, NEXT_US, 1)):
        spend(database, org, 50, at_us, first)
        limit(database, org, 10, None)
        for _ in range(3):
            crossed(database, (org, start_us), now_us=at_us)
    assert [kind for _, kind, _ in letters(database)] == ["alert.soft_limit"] * 2
    assert alerts(database, org) == {AlertKind.SOFT_LIMIT: NOON_US}
    assert alerts(database, org, NEXT_US) == {AlertKind.SOFT_LIMIT: NEXT_US}


@pytest.mark.parametrize("none", [None, 0])
def test_where_no_limit_is_set_nothing_is_crossed(database: Database, org: OrgId, none: int | None) -> None:
    spend(database, org, 10**15)
    limit(database, org, none, none)
    crossed(database, (org, START_US))
    assert letters(database) == []


def test_only_what_was_touched_is_looked_at_and_each_organisation_by_its_own_limit(
    database: Database, org: OrgId
) -> None:
    others = [database.write_here(partial(make_org, name=name)) for name in ("beta", "gamma")]
    everyone = [org, *others]
    rows = [(at, entry(org_id=each, cost=cost(5, 5))) for at, each in enumerate(everyone)]
    database.write_here(lambda db: fold(db, batch(rows), NOON_US))
    for each, soft in zip(everyone, [10, 10, 1_000], strict=True):
        limit(database, each, soft, None)
    crossed(database)
    crossed(database, (org, START_US), (others[1], START_US), (OrgId("gone"), START_US))
    assert [found for found, _, _ in letters(database)] == [org]
    crossed(database, *((each, START_US) for each in everyone))
    assert {found for found, _, _ in letters(database)} == {org, others[0]}


def test_an_alert_that_is_undone_with_its_transaction_can_be_raised_again(
    database: Database, org: OrgId
) -> None:
    spend(database, org, 1)
    limit(database, org, 1, None)

    def fail(db: Connection) -> None:
        raise_crossed(db, [(org, START_US)], NOON_US)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.write_here(fail)
    assert (alerts(database, org), letters(database)) == ({}, [])
    crossed(database, (org, START_US))
    assert len(letters(database)) == 1


def test_of_many_who_raise_an_alert_at_once_one_is_the_first(database: Database, org: OrgId) -> None:
    def work(db: Connection) -> bool:
        return raise_alert(
            db,
            org,
            cycle_start_us=START_US,
            kind=AlertKind.PAYMENT_FAILED,
            content={"invoice": "in_1"},
            now_us=NOON_US,
        )

    with ThreadPoolExecutor(6) as threads:
        firsts = list(threads.map(lambda _: database.write_here(work), range(12)))
    assert sorted(firsts) == [False] * 11 + [True]
    assert letters(database) == [(org, "alert.payment_failed", {"invoice": "in_1"})]


def test_a_fold_raises_what_its_rows_cross(database: Database, org: OrgId) -> None:
    limit(database, org, 10, 20)
    rows = [(at, entry(org_id=org, cost=cost(5, 5))) for at in range(3)]
    database.write_here(lambda db: fold(db, batch(rows[:1]), NOON_US))
    assert list(alerts(database, org)) == [AlertKind.SOFT_LIMIT]
    database.write_here(lambda db: fold(db, batch(rows[1:]), NOON_US))
    assert [(kind, told["spent"]) for _, kind, told in letters(database)] == [
        ("alert.hard_limit", "0.00000003"),
        ("alert.soft_limit", "0.00000001"),
    ]
