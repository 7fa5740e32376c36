"""The fold: every entry once, every total the sum of its rows, whatever is repeated or broken."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select, text

from tests.world.clock import NOON_US
from tests.world.entries import JOURNAL, ON_POSTGRESQL, ORG, cost, entries, entry
from tollway.domain.clock import month_start_us, next_month_start_us
from tollway.domain.errors import StoreRefused
from tollway.domain.ids import JournalId, OrgId, RequestId, new_id
from tollway.domain.ledger import Entry, EntryKind, Outcome, Record
from tollway.domain.price import Cost
from tollway.domain.series import Metric
from tollway.domain.usage import Unit
from tollway.store.database import Database
from tollway.store.schema import cycle_totals, journals, ledger, org_totals, series_totals
from tollway.store.usage import StoredEntry, fold, read_entries, register_journal

OTHER_JOURNAL = JournalId("journal-2")
OTHER_ORG = OrgId("org-2")
QUICKLY = hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def folded(database: Database, records: Sequence[Record], journal: JournalId = JOURNAL) -> int:
    def work(db: Connection) -> int:
        register_journal(db, journal, NOON_US)
        return fold(db, journal, records, NOON_US)

    return database.write_here(work)


def stored(database: Database, org: OrgId = ORG) -> list[StoredEntry]:
    return database.write_here(lambda db: read_entries(db, org, limit=10_000))


def numbered(all_entries: Iterable[Entry], first: int = 0) -> list[Record]:
    return list(enumerate(all_entries, first))


def month(us: int) -> str:
    return f"{datetime.fromtimestamp(us // 1_000_000, UTC):%Y-%m}"


def sums_of_rows(rows: Iterable[Entry]) -> Counter[Any]:
    """What every total should be, by plain addition."""
    sums: Counter[Any] = Counter()
    for row in rows:
        benchmark = row.benchmark or row.cost
        at = month(row.ended_us)
        sums[at, "num_requests"] += row.final and row.kind == "usage"
        for unit, count in row.units.items():
            if unit in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio"):
                sums[at, "prompt_tokens"] += count
                sums["tokens"] += count
            if unit in ("output", "reasoning", "output_audio"):
                sums[at, "completion_tokens"] += count
                sums["tokens"] += count
        sums[at, "cost_prompt_nano"] += row.cost.prompt
        sums[at, "cost_completion_nano"] += row.cost.completion
        sums[at, "savings_prompt_nano"] += benchmark.prompt - row.cost.prompt
        sums[at, "savings_completion_nano"] += benchmark.completion - row.cost.completion
        sums["requests"] += row.final
        sums["duration_bucket"] += row.final
        sums["duration_sum"] += max(0, row.ended_us - row.started_us) * row.final
        sums["cost"] += sum(row.cost.by_unit.values())
        sums["benchmark_cost"] += sum(benchmark.by_unit.values())
    return sums


def totals(db: Connection, org: OrgId) -> Counter[Any]:
    """Every total that is stored, in the same form."""
    sums: Counter[Any] = Counter()
    for row in db.execute(select(cycle_totals).where(cycle_totals.c.org_id == org)).mappings():
        for name in cycle_totals.c.keys()[2:]:
            sums[month(row["cycle_start_us"]), name] += row[name]
    for row in db.execute(select(series_totals).where(series_totals.c.org_id == org)).mappings():
        sums[row["metric"]] += row["value"]
    return sums


def check(database: Database, org: OrgId) -> list[Entry]:
    """Numbers without gaps, and totals that are the sums of rows; returns the rows."""
    rows = stored(database, org)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    with_zeros_gone = +sums_of_rows(row.entry for row in rows), -sums_of_rows(row.entry for row in rows)
    found = database.write_here(lambda db: totals(db, org))
    assert (+found, -found) == with_zeros_gone
    return [row.entry for row in rows]


def sizes(database: Database) -> list[int]:
    tables = (ledger, org_totals, cycle_totals, series_totals)
    return database.write_here(
        lambda db: [db.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]
    )


@QUICKLY
@given(written=entries)
def test_a_row_read_back_is_the_entry_that_was_written(database: Database, written: Entry) -> None:
    # Examples share a database, and one may be tried again.
    written = msgspec.structs.replace(written, request_id=new_id(NOON_US), org_id=new_id(NOON_US))
    assert folded(database, [(0, written)], JournalId(new_id(NOON_US))) == 1
    (row,) = stored(database, written.org_id)
    assert (row.seq, row.entry) == (1, written)
    check(database, written.org_id)


def test_text_of_any_script_and_with_control_characters_comes_back(database: Database) -> None:
    odd = "Grüße, 東京 🚏 '\";--\\ \x01\x1f\x7f\u2028\ufeff\U0010ffff"
    written = entry(error_code=odd, model=odd, end_user=odd, labels={odd: odd})
    folded(database, [(0, written)])
    assert check(database, ORG) == [written]


def test_a_batch_that_is_repeated_after_a_lost_answer_is_stored_once(database: Database) -> None:
    records = numbered(entry() for _ in range(3))
    assert folded(database, records) == 3
    assert folded(database, records) == 0
    assert check(database, ORG) == [each for _, each in records]


def test_of_overlapping_batches_each_entry_is_stored_once(database: Database) -> None:
    records = numbered(entry() for _ in range(6))
    assert folded(database, records[:4]) == 4
    assert folded(database, records[2:]) == 2
    assert folded(database, records[:1]) == 0
    assert check(database, ORG) == [each for _, each in records]


def test_an_empty_batch_is_nothing(database: Database) -> None:
    assert folded(database, []) == 0
    assert sizes(database) == [0, 0, 0, 0]


def test_an_entry_that_a_second_journal_holds_too_is_stored_once(database: Database) -> None:
    both, own = entry(), entry()
    assert folded(database, [(0, both)]) == 1
    assert folded(database, [(0, both), (1, own)], OTHER_JOURNAL) == 1
    assert check(database, ORG) == [both, own]


def test_an_entry_that_is_in_one_batch_twice_is_stored_once(database: Database) -> None:
    twice = entry()
    assert folded(database, [(0, twice), (1, twice)]) == 1
    assert check(database, ORG) == [twice]


def test_attempts_and_kinds_of_one_request_are_rows_of_their_own(database: Database) -> None:
    request = RequestId(new_id(NOON_US))
    first = entry(request_id=request, attempt=1, final=False, outcome=Outcome.FAILED, status=503)
    second = entry(request_id=request, attempt=2)
    correction = entry(
        request_id=request,
        attempt=2,
        final=False,
        kind=EntryKind.CORRECTION,
        outcome=Outcome.CORRECTION,
        cost=cost(-100, 0),
    )
    assert folded(database, numbered([first, second, correction])) == 3
    assert check(database, ORG) == [first, second, correction]
    assert database.write_here(lambda db: totals(db, ORG))["2026-03", "num_requests"] == 1


def test_the_same_offset_of_two_journals_are_two_entries(database: Database) -> None:
    assert folded(database, [(0, entry())]) == 1
    assert folded(database, [(0, entry())], OTHER_JOURNAL) == 1
    assert len(check(database, ORG)) == 2


def test_organisations_are_numbered_and_totalled_apart(database: Database) -> None:
    folded(database, numbered([entry(), entry(org_id=OTHER_ORG), entry()]))
    assert len(check(database, ORG)) == 2
    assert len(check(database, OTHER_ORG)) == 1
    assert database.write_here(lambda db: read_entries(db, OrgId("org-3"), limit=9)) == []


def test_rows_are_read_in_order_after_a_cursor_and_up_to_a_limit(database: Database) -> None:
    folded(database, numbered(entry() for _ in range(5)))
    rows = database.write_here(lambda db: read_entries(db, ORG, after_seq=1, limit=3))
    assert [row.seq for row in rows] == [2, 3, 4]


def test_registering_a_journal_again_does_not_move_it(database: Database) -> None:
    folded(database, numbered([entry(), entry()]))
    database.write_here(lambda db: register_journal(db, JOURNAL, NOON_US + 1))
    row = database.write_here(lambda db: db.execute(select(journals)).one())
    assert (row.id, row.folded_to, row.added_us) == (JOURNAL, 2, NOON_US)


def test_a_journal_that_a_restored_database_does_not_know_is_folded_all_the_same(database: Database) -> None:
    records = [(7, entry()), (8, entry())]
    assert database.write_here(lambda db: fold(db, JOURNAL, records, NOON_US)) == 2
    assert folded(database, records) == 0
    assert len(check(database, ORG)) == 2


def test_the_month_changes_between_two_microseconds(database: Database) -> None:
    edge = next_month_start_us(NOON_US)
    assert month(edge) == "2026-04"
    assert month(edge - 1) == "2026-03"
    last, first = entry(ended_us=edge - 1), entry(ended_us=edge, cost=cost(1, 2))
    folded(database, numbered([last, first]))
    check(database, ORG)
    cycles = database.write_here(
        lambda db: db.execute(select(cycle_totals).order_by(cycle_totals.c.cycle_start_us)).all()
    )
    assert [(row.cycle_start_us, row.num_requests, row.cost_prompt_nano) for row in cycles] == [
        (month_start_us(NOON_US), 1, 2_400),
        (edge, 1, 1),
    ]


def test_a_call_that_ends_before_it_starts_lasts_no_time(database: Database) -> None:
    folded(database, [(0, entry(started_us=NOON_US + 5, ended_us=NOON_US))])
    check(database, ORG)
    found = database.write_here(lambda db: totals(db, ORG))
    assert (found[Metric.DURATION_BUCKET.value], found[Metric.DURATION_SUM.value]) == (1, 0)


BROKEN = {
    "an integer that no column can hold": {"units": {Unit.INPUT: 2**63}},
    "a cost that no column can hold": {"cost": cost(2**63, 0)},
    "half of a character": {"model": "\ud800"},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
def test_a_fold_that_fails_in_the_middle_leaves_nothing(database: Database, changes: dict[str, Any]) -> None:
    folded(database, [(0, entry())])
    before = sizes(database)
    batch = numbered([entry(), entry(org_id=OTHER_ORG), entry(**changes), entry()], first=1)
    with pytest.raises(StoreRefused):
        folded(database, batch)
    assert sizes(database) == before
    assert len(check(database, ORG)) == 1
    whole = [record for record in batch if record != batch[2]]
    assert folded(database, whole) == 3
    assert len(check(database, ORG)) == 3


@ON_POSTGRESQL
def test_a_zero_byte_is_refused_by_postgresql_and_nothing_is_left(database: Database) -> None:
    with pytest.raises(StoreRefused, match="NUL"):
        folded(database, numbered([entry(), entry(model="a\0b")]))
    assert sizes(database) == [0, 0, 0, 0]


small_cost = st.builds(cost, st.integers(0, 10**6), st.integers(0, 10**6))
small_entries = st.builds(
    entry,
    request_id=st.sampled_from([f"request-{number}" for number in range(6)]),
    attempt=st.integers(1, 2),
    final=st.booleans(),
    kind=st.sampled_from(EntryKind),
    org_id=st.sampled_from(["a", "b", "c"]),
    app=st.sampled_from(["one", "two"]),
    units=st.dictionaries(st.sampled_from(Unit), st.integers(0, 1000), max_size=3),
    cost=small_cost,
    benchmark=st.none() | small_cost,
)
batches = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 12), st.lists(small_entries, max_size=5)), max_size=6
)


@QUICKLY
@given(batches=batches)
def test_totals_equal_the_sums_of_rows_after_any_batches(
    database: Database, batches: list[tuple[int, int, list[Entry]]]
) -> None:
    example = new_id(NOON_US)  # examples share a database, and must not meet in it

    def own(each: Entry) -> Entry:
        # The organisation is part of the request: one request id is never two organisations'.
        request = f"{each.request_id} of {each.org_id} in {example}"
        return msgspec.structs.replace(each, org_id=f"{each.org_id} {example}", request_id=request)

    new = 0
    for journal, first, batch in batches:
        records = numbered(map(own, batch), first)
        new += folded(database, records, JournalId(f"{journal} {example}"))
    rows = [row for org in "abc" for row in check(database, OrgId(f"{org} {example}"))]
    assert len(rows) == new
    assert len({(row.request_id, row.attempt, row.kind) for row in rows}) == new


@ON_POSTGRESQL
def test_two_journals_folded_at_once_make_no_deadlock_no_gap_and_no_double(database: Database) -> None:
    orgs = [OrgId(f"org-{number}") for number in range(4)]
    shared = [entry(org_id=org) for org in orgs for _ in range(3)]

    def fold_journal(number: int) -> int:
        order = random.Random(number)  # noqa: S311 - not a secret
        own = [entry(org_id=org) for org in orgs for _ in range(15)]
        mixed = order.sample([*own, *shared], len(own) + len(shared))
        journal = JournalId(f"journal {number}")
        records = numbered(mixed)
        return sum(folded(database, records[at : at + 4], journal) for at in range(0, len(records), 4))

    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(fold_journal, range(3))) == 3 * 60 + 12
    for org in orgs:
        rows = check(database, org)
        assert len(rows) == 48
        assert len({row.request_id for row in rows}) == 48


@ON_POSTGRESQL
def test_a_fold_locks_organisations_in_one_order_so_that_none_waits_for_another_in_a_ring(
    database: Database,
) -> None:
    orgs = [OrgId(f"org-{number}") for number in range(9)]
    records = numbered(entry(org_id=org) for org in reversed(orgs))
    folded(database, records)
    is_waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    others = select(org_totals).where(org_totals.c.org_id != orgs[0]).with_for_update(nowait=True)

    with ThreadPoolExecutor(1) as thread:

        def hold_the_first(db: Connection) -> Future[int]:
            db.execute(select(org_totals).where(org_totals.c.org_id == orgs[0]).with_for_update())
            folding = thread.submit(folded, database, records, OTHER_JOURNAL)
            while not database.write_here(lambda other: other.execute(is_waiting).scalar_one()):
                assert not folding.done()
            assert len(database.write_here(lambda other: other.execute(others).all())) == 8
            return folding

        assert database.write_here(hold_the_first).result() == 0


def test_an_entry_without_a_benchmark_saves_nothing_and_costs_may_be_nothing(database: Database) -> None:
    free = Cost(version="", by_unit={}, prompt=cost(0, 0).prompt, completion=cost(0, 0).completion)
    written = [entry(cost=free, vendor_cost=free), entry(benchmark=free), entry(benchmark=cost(5, 6))]
    folded(database, numbered(written))
    assert check(database, ORG) == written
    found = database.write_here(lambda db: totals(db, ORG))
    assert found["2026-03", "savings_prompt_nano"] == -2_400 + (5 - 2_400)
    assert found["2026-03", "savings_completion_nano"] == -40_000 + (6 - 40_000)
