"""The ledger's partitions on PostgreSQL: one for each month, made before it begins.

Owns their names and bounds; does not own the rows. On SQLite there are none.
"""

from sqlalchemy import Connection, inspect, text

from tollway.domain.clock import moment, month_start_us, next_month_start_us
from tollway.store.database import all_orgs

MONTHS_AHEAD = 2

_LOCK = 7_305_438_192  # any number that is ours alone among a database's advisory locks


@all_orgs
def lock_schema(db: Connection) -> None:
    """Wait until no other transaction changes the schema, and keep others out until this one ends."""
    if db.dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


@all_orgs
def ensure_partitions(db: Connection, now_us: int) -> list[str]:
    """Make the partitions of this month and the next two; returns the names of new ones."""
    if db.dialect.name != "postgresql":
        return []
    lock_schema(db)
    made = []
    existing = set(inspect(db).get_table_names())
    start = month_start_us(now_us)
    for _ in range(1 + MONTHS_AHEAD):
        end = next_month_start_us(start)
        name = f"ledger_{moment(start):%Y_%m}"
        if name not in existing and not _is_in_default(db, start, end):
            bounds = f"FROM ({start}) TO ({end})"
            db.execute(text(f"CREATE TABLE {name} PARTITION OF ledger FOR VALUES {bounds}"))
            made.append(name)
        start = end
    return made


def _is_in_default(db: Connection, start: int, end: int) -> bool:
    """Rows already in the default partition keep their month there: they cannot be moved past us."""
    rows = text("SELECT 1 FROM ledger_default WHERE ended_us >= :start AND ended_us < :end LIMIT 1")
    return db.execute(rows, {"start": start, "end": end}).first() is not None
