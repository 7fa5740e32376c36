"""What the tests of the fold do and count: batches in, rows and totals out, and sums by plain addition."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select, text

from tests.world.clock import NOON_US
from tests.world.entries import JOURNAL, ORG, batch
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import JournalId, OrgId
from tollway.domain.ledger import Batch, Entry, Record
from tollway.domain.series import WITHOUT_ROWS, Metric
from tollway.domain.usage import COMPLETION_TOKENS, PROMPT_TOKENS
from tollway.store.database import Database
from tollway.store.journals import states_of
from tollway.store.schema import cycle_totals, ledger, org_totals, series_totals
from tollway.store.usage import StoredEntry, fold, read_entries

OTHER_JOURNAL = JournalId("journal-2")
OTHER_ORG = OrgId("org-2")


def numbered(all_entries: Iterable[Entry], first: int = 0) -> list[Record]:
    return list(enumerate(all_entries, first))


def moved(database: Database, wanted: Batch) -> int:
    """Fold a batch in a transaction of its own."""
    return database.write_here(lambda db: fold(db, wanted, NOON_US))


def folded(database: Database, records: Sequence[Record], journal: JournalId = JOURNAL) -> int:
    """Fold these; returns the offset that the journal is folded to."""
    return moved(database, batch(records, journal))


def position(database: Database, journal: JournalId = JOURNAL) -> int:
    return database.write_here(lambda db: states_of(db, [journal]))[journal].folded_to


def stored(database: Database, org: OrgId = ORG) -> list[StoredEntry]:
    return database.write_here(lambda db: read_entries(db, org, limit=10_000))


def sizes(database: Database) -> list[int]:
    """How many rows the tables have that a fold writes."""
    tables = (ledger, org_totals, cycle_totals, series_totals)
    return database.write_here(
        lambda db: [db.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]
    )


def month(us: int) -> str:
    return f"{datetime.fromtimestamp(us // US_PER_S, UTC):%Y-%m}"


def sums_of_rows(rows: Sequence[Entry]) -> Counter[Any]:
    """What every total should be, by plain addition."""
    explained = {row.key for row in rows if row.outcome != "unsettled"}
    sums: Counter[Any] = Counter()
    for row in rows:
        benchmark = row.benchmark or row.cost
        at = month(row.ended_us)
        is_request = row.final and row.kind == "usage"
        lasted = is_request and row.outcome != "unsettled"
        sums[at, "num_requests"] += is_request
        for unit, count in row.units.items():
            sums[at, "prompt_tokens"] += count * (unit in PROMPT_TOKENS)
            sums[at, "completion_tokens"] += count * (unit in COMPLETION_TOKENS)
            sums["tokens"] += count * (unit in PROMPT_TOKENS | COMPLETION_TOKENS)
        sums[at, "cost_prompt_nano"] += row.cost.prompt
        sums[at, "cost_completion_nano"] += row.cost.completion
        sums[at, "savings_prompt_nano"] += benchmark.prompt - row.cost.prompt
        sums[at, "savings_completion_nano"] += benchmark.completion - row.cost.completion
        if row.key not in explained:
            assert row.held is not None
            sums[at, "num_unsettled"] += 1
            sums[at, "held_nano"] += row.held
        sums["requests"] += is_request
        sums["duration_bucket"] += lasted
        sums["duration_sum"] += max(0, row.ended_us - row.started_us) * lasted
        streamed = lasted and row.first_token_us is not None
        sums["ttft_bucket"] += streamed
        sums["ttft_sum"] += max(0, row.first_token_us or 0) * streamed
        sums["cost"] += sum(row.cost.by_unit.values())
        sums["benchmark_cost"] += sum(benchmark.by_unit.values())
    return without_zeros(sums)


def without_zeros(sums: Counter[Any]) -> Counter[Any]:
    return Counter({name: value for name, value in sums.items() if value})


def totals(database: Database, org: OrgId = ORG) -> Counter[Any]:
    """Every total of rows that is stored, in the same form."""

    def work(db: Connection) -> Counter[Any]:
        sums: Counter[Any] = Counter()
        for row in db.execute(select(cycle_totals).where(cycle_totals.c.org_id == org)).mappings():
            for name in cycle_totals.c.keys()[2:]:
                sums[month(row["cycle_start_us"]), name] += row[name]
        for row in db.execute(select(series_totals).where(series_totals.c.org_id == org)).mappings():
            if row["metric"] not in WITHOUT_ROWS:
                sums[row["metric"]] += row["value"]
        return sums

    return without_zeros(database.write_here(work))


def series_of(database: Database, org: OrgId = ORG) -> Mapping[tuple[Any, ...], int]:
    """The organisation's series, by all that names one."""
    query = select(series_totals).where(series_totals.c.org_id == org)
    rows = database.write_here(lambda db: db.execute(query).all())
    return {tuple(row)[1:-1]: row.value for row in rows}


def requests_of(database: Database, org: OrgId = ORG) -> dict[str, int]:
    """The organisation's requests by status, as its metrics say."""
    found = series_of(database, org).items()
    return {series[-1]: value for series, value in found if series[-2] == Metric.REQUESTS}


def refused_of(database: Database, org: OrgId = ORG) -> dict[tuple[str, str], int]:
    """The organisation's refused calls by app and code; they have no model and no vendor."""
    found = series_of(database, org).items()
    return {
        (app, code): value
        for (app, model, provider, metric, code), value in found
        if metric == Metric.REFUSED and (model, provider) == ("", "")
    }


def check(database: Database, org: OrgId = ORG) -> list[Entry]:
    """Numbers without gaps, and totals that are the sums of rows; returns the rows."""
    rows = stored(database, org)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert totals(database, org) == sums_of_rows([row.entry for row in rows])
    return [row.entry for row in rows]


def behind(
    database: Database,
    first: Callable[[Connection], object],
    second: Callable[[], int],
    meanwhile: Callable[[], None] = lambda: None,
) -> int:
    """What `second` returns if it has to wait until a transaction that did `first` ends; PostgreSQL."""
    is_waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with ThreadPoolExecutor(1) as thread:

        def hold(db: Connection) -> Future[int]:
            first(db)
            waiting = thread.submit(second)
            while not database.write_here(lambda other: other.execute(is_waiting).scalar_one()):
                assert not waiting.done(), waiting.result()
            meanwhile()
            return waiting

        return database.write_here(hold).result()
