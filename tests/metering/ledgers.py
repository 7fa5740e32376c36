"""What a journal's tests look at in a ledger, and how they take a ledger's memory away."""

from sqlalchemy import Connection, delete, update

from tests.metering.journals import ids
from tests.store.folds import check
from tests.world.clock import TurningClock
from tollway.domain.ids import JournalId, RequestId
from tollway.domain.ledger import Entry
from tollway.store.database import Database
from tollway.store.journals import JournalState, states_of
from tollway.store.schema import cycle_totals, journals, ledger, org_totals, price_versions, series_totals


def stored(database: Database) -> list[RequestId]:
    """The calls in the ledger, whose totals are the sums of its rows."""
    return ids(check(database))


def forget(database: Database, *, position_too: bool = True) -> None:
    """The database as it was before anything was folded, or before the journals were known."""
    positions = delete(journals) if position_too else update(journals).values(folded_to=0)
    totals = (org_totals, cycle_totals, series_totals)

    def work(db: Connection) -> None:
        for table in (ledger, *totals, price_versions):
            db.execute(delete(table))
        db.execute(positions)

    database.write_here(work)


class Restoring(TurningClock):
    """The database is restored when this is asked the n-th time."""

    def __init__(self, database: Database, restores_at: int) -> None:
        super().__init__()
        self._database = database
        self._left = restores_at

    def now_us(self) -> int:
        self._left -= 1
        if self._left == 0:
            forget(self._database)
        return super().now_us()


def closed(database: Database, journal: JournalId) -> int | None:
    return state(database, journal).closed_us


def state(database: Database, journal: JournalId) -> JournalState:
    return database.write_here(lambda db: states_of(db, [journal]))[journal]


def settled(rows: list[Entry]) -> list[RequestId]:
    return [row.request_id for row in rows if row.is_known]


def open_rows(rows: list[Entry]) -> list[RequestId]:
    return [row.request_id for row in rows if not row.is_known]
