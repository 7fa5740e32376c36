"""The ledger's months on PostgreSQL: made ahead, made once, and never a reason to refuse a row."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection, text

from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL, ON_SQLITE, ORG, batch, entry
from tollway.domain.clock import month_start_us, next_month_start_us
from tollway.store.database import Database
from tollway.store.partitions import ensure_partitions
from tollway.store.usage import fold, read_entries

YEAR_US = 366 * 86_400 * 1_000_000
EDGE_US = next_month_start_us(NOON_US)


def partitions(db: Connection) -> dict[str, int]:
    """Each row's ledger partition, counted."""
    rows = db.execute(text("SELECT tableoid::regclass::text AS name, count(*) FROM ledger GROUP BY 1"))
    return {row[0]: row[1] for row in rows}


def fold_ended(database: Database, *ended_us: int) -> None:
    records = [(number, entry(started_us=at, ended_us=at)) for number, at in enumerate(ended_us)]
    assert database.write_here(lambda db: fold(db, batch(records), NOON_US)) == len(ended_us)


@ON_POSTGRESQL
def test_a_row_lands_in_the_partition_of_its_month(database: Database) -> None:
    fold_ended(database, month_start_us(NOON_US), NOON_US, EDGE_US - 1, EDGE_US)
    assert database.write_here(partitions) == {"ledger_2026_03": 3, "ledger_2026_04": 1}


@ON_POSTGRESQL
def test_a_row_of_a_month_without_a_partition_is_stored_and_found(database: Database) -> None:
    fold_ended(database, NOON_US, NOON_US + YEAR_US, NOON_US - YEAR_US)
    assert database.write_here(partitions) == {"ledger_2026_03": 1, "ledger_default": 2}
    rows = database.write_here(lambda db: read_entries(db, ORG, limit=9))
    assert [row.entry.ended_us - NOON_US for row in rows] == [0, YEAR_US, -YEAR_US]


@ON_POSTGRESQL
def test_the_months_ahead_are_made_once(database: Database) -> None:
    def ensure(now_us: int) -> list[str]:
        return database.write_here(lambda db: ensure_partitions(db, now_us))

    assert ensure(NOON_US) == []  # the migration's run made them
    assert ensure(EDGE_US - 1) == []
    assert ensure(EDGE_US) == ["ledger_2026_06"]
    assert ensure(EDGE_US) == []
    assert ensure(NOON_US + YEAR_US) == ["ledger_2027_03", "ledger_2027_04", "ledger_2027_05"]


@ON_POSTGRESQL
def test_a_month_whose_rows_came_before_its_partition_stays_in_the_default_one(database: Database) -> None:
    later = NOON_US + YEAR_US
    fold_ended(database, later)
    made = database.write_here(lambda db: ensure_partitions(db, later))
    assert made == ["ledger_2027_04", "ledger_2027_05"]
    assert database.write_here(partitions) == {"ledger_default": 1}


@ON_POSTGRESQL
def test_several_may_make_partitions_at_once_while_rows_come_in(database: Database) -> None:
    def ensure(months: int) -> list[str]:
        at = NOON_US + YEAR_US + months * 31 * 86_400 * 1_000_000
        return database.write_here(lambda db: ensure_partitions(db, at))

    with ThreadPoolExecutor(4) as threads:
        rows = threads.submit(fold_ended, database, *range(NOON_US, NOON_US + 20))
        made = [name for names in threads.map(ensure, [0, 0, 1, 1, 2, 2]) for name in names]
        rows.result()
    assert sorted(made) == [f"ledger_2027_0{month}" for month in range(3, 8)]
    assert database.write_here(partitions) == {"ledger_2026_03": 20}


@ON_SQLITE
def test_sqlite_has_no_partitions(database: Database) -> None:
    assert database.write_here(lambda db: ensure_partitions(db, NOON_US + YEAR_US)) == []
