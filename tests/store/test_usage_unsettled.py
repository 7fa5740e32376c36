"""Calls whose end is not known: shown, counted and held; and ends that turn up late: settled, once."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from tests.store.folds import (
    OTHER_JOURNAL,
    OTHER_ORG,
    check,
    folded,
    numbered,
    requests_of,
    series_of,
    stored,
    totals,
)
from tests.world.clock import NOON_US
from tests.world.entries import ORG, cost, entry, lost
from tollway.domain.clock import next_month_start_us
from tollway.domain.errors import StoreRefused
from tollway.domain.ids import JournalId
from tollway.domain.ledger import NOTHING, Entry, EntryKind, Outcome, correction
from tollway.domain.money import Nano
from tollway.domain.series import Metric
from tollway.store.database import Database
from tollway.store.schema import cycle_totals, ledger

MARCH, APRIL = "2026-03", "2026-04"
APRIL_US = next_month_start_us(NOON_US)
COST_COLUMNS = [column for column in ledger.c if "_nano" in column.name or "by_unit" in column.name]


def hold_of(database: Database, month: str = MARCH) -> tuple[int, int]:
    found = totals(database)
    return found[month, "num_unsettled"], found[month, "held_nano"]


def test_an_unsettled_row_says_null_where_nothing_is_known(database: Database) -> None:
    unknown = lost(entry(end_user="user-7", labels={"team": "a"}), held=70)
    folded(database, [(0, unknown)])
    row = database.write_here(lambda db: db.execute(select(ledger)).one())
    known = {column.name: row._mapping[column.name] for column in COST_COLUMNS}  # noqa: SLF001 - SQLAlchemy's documented access by name
    assert known.pop("held_nano") == 70
    assert len(known) == 9
    assert set(known.values()) == {None}
    assert (row.price_version, row.vendor_price_version, row.benchmark_price_version) == (None, None, None)
    assert (row.outcome, row.status, row.error_code) == ("unsettled", 500, "end_unknown")
    assert (row.end_user, row.labels) == ("user-7", {"team": "a"})
    assert [each.entry for each in stored(database)] == [unknown]


def test_nulls_are_sqls_own_and_no_json_word(database: Database) -> None:
    folded(database, numbered([lost(entry()), entry(cost=NOTHING, vendor_cost=NOTHING)]))
    nulls = select(ledger.c.seq).where(
        ledger.c.cost_by_unit.is_(None), ledger.c.vendor_cost_by_unit.is_(None)
    )
    assert database.write_here(lambda db: db.execute(nulls).scalars().all()) == [1]


def test_an_unsettled_call_is_counted_and_held_and_lasts_no_time(database: Database) -> None:
    folded(database, [(0, lost(entry(), held=70))])
    assert totals(database) == {
        (MARCH, "num_requests"): 1,
        (MARCH, "num_unsettled"): 1,
        (MARCH, "held_nano"): 70,
        "requests": 1,
    }
    assert requests_of(database) == {"500": 1}
    check(database)


def test_a_late_end_becomes_one_correction_and_releases_what_was_held(database: Database) -> None:
    end = entry(benchmark=cost(3_000, 50_000))
    unknown = lost(end, held=70)
    folded(database, numbered([unknown, lost(entry(), held=5)]))
    assert folded(database, [(0, end)], OTHER_JOURNAL) == 1
    assert check(database) == [unknown, stored(database)[1].entry, correction(end)]
    found = totals(database)
    assert hold_of(database) == (1, 5)
    assert (found[MARCH, "cost_prompt_nano"], found[MARCH, "cost_completion_nano"]) == (2_400, 40_000)
    assert (found[MARCH, "savings_prompt_nano"], found[MARCH, "savings_completion_nano"]) == (600, 10_000)
    assert (found[MARCH, "prompt_tokens"], found[MARCH, "completion_tokens"]) == (6, 25)
    assert (found["cost"], found["benchmark_cost"], found["tokens"]) == (42_400, 53_000, 31)
    # It was a request when it was lost, and is none again.
    assert found[MARCH, "num_requests"] == 2
    assert requests_of(database) == {"500": 2}
    assert found[Metric.DURATION_BUCKET.value] == 0


def test_a_correction_keeps_what_the_end_said_and_is_marked_as_one(database: Database) -> None:
    end = entry(status=502, error_code="vendor_error", outcome=Outcome.FAILED, service_tier="flex")
    folded(database, numbered([lost(end), end]))
    row = stored(database)[1].entry
    assert (row.kind, row.outcome) == (EntryKind.CORRECTION, Outcome.CORRECTION)
    assert (row.status, row.error_code, row.service_tier) == (502, "vendor_error", "flex")
    assert (row.request_id, row.attempt, row.held) == (end.request_id, end.attempt, None)


@pytest.mark.parametrize(
    ("found_us", "ended_us", "held_in", "costs_in"),
    [(APRIL_US, APRIL_US - 1, APRIL, MARCH), (APRIL_US - 1, APRIL_US, MARCH, APRIL)],
)
def test_a_hold_is_released_in_the_month_that_held_it(
    database: Database, found_us: int, ended_us: int, held_in: str, costs_in: str
) -> None:
    end = entry(started_us=APRIL_US - 9, ended_us=ended_us)
    folded(database, [(0, lost(end, held=70, found_us=found_us))])
    assert hold_of(database, held_in) == (1, 70)
    folded(database, [(1, end)])
    folded(database, [(2, end)])
    assert len(check(database)) == 2
    assert hold_of(database, MARCH) == hold_of(database, APRIL) == (0, 0)
    found = totals(database)
    assert (found[held_in, "num_requests"], found[costs_in, "num_requests"]) == (1, 0)
    assert (found[held_in, "cost_prompt_nano"], found[costs_in, "cost_prompt_nano"]) == (0, 2_400)


def test_a_late_end_that_costs_nothing_releases_what_was_held(database: Database) -> None:
    end = entry(units={}, cost=NOTHING, vendor_cost=NOTHING, outcome=Outcome.FAILED, status=503)
    folded(database, numbered([lost(end), end]))
    assert hold_of(database) == (0, 0)
    assert len(check(database)) == 2


def test_a_call_that_may_cost_nothing_is_unsettled_all_the_same(database: Database) -> None:
    end = entry()
    folded(database, [(0, lost(end, held=0))])
    assert hold_of(database) == (1, 0)
    assert check(database)[0].held == 0
    folded(database, [(1, end)])
    assert hold_of(database) == (0, 0)


END = entry()
LOST = lost(END, held=70)
ONE_CORRECTION = [LOST, correction(END)]
ONE_USAGE = [END]
TIMES: dict[str, tuple[list[Entry], list[Entry]]] = {
    "lost": ([LOST], [LOST]),
    "lost twice": ([LOST, LOST], [LOST]),
    "lost, ended": ([LOST, END], ONE_CORRECTION),
    "lost, ended twice": ([LOST, END, END], ONE_CORRECTION),
    "lost, ended, lost": ([LOST, END, LOST], ONE_CORRECTION),
    "lost, ended, lost, ended": ([LOST, END, LOST, END], ONE_CORRECTION),
    "lost twice, ended": ([LOST, LOST, END], ONE_CORRECTION),
    "lost, corrected, ended": ([LOST, correction(END), END], ONE_CORRECTION),
    "ended, lost": ([END, LOST], ONE_USAGE),
    "ended, lost, ended": ([END, LOST, END], ONE_USAGE),
    "ended, lost later": ([END, lost(END, found_us=APRIL_US)], ONE_USAGE),
}


@pytest.mark.parametrize(("told", "rows"), TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("way", ["in one batch", "in batches", "in journals of their own"])
def test_whatever_is_told_of_a_call_and_however_often_it_is_explained_once(
    database: Database, told: list[Entry], rows: list[Entry], way: str
) -> None:
    records = numbered(told)
    match way:
        case "in one batch":
            folded(database, records)
        case "in batches":
            assert [folded(database, [record]) for record in records] == list(range(1, len(told) + 1))
        case _:
            for at, each in records:
                assert folded(database, [(0, each)], JournalId(f"journal {at}")) == 1
    assert check(database) == rows
    assert hold_of(database) == ((1, 70) if rows == [LOST] else (0, 0))
    assert totals(database)[MARCH, "num_requests"] == totals(database)["requests"] == 1


def test_a_row_that_is_settled_is_not_unsettled_by_a_process_that_found_only_the_start(
    database: Database,
) -> None:
    folded(database, [(0, END)])
    before = totals(database)
    folded(database, [(0, LOST)], OTHER_JOURNAL)
    assert (totals(database), check(database)) == (before, [END])


def test_a_hold_is_not_released_by_another_organisation_with_the_same_request_id(database: Database) -> None:
    theirs = msgspec.structs.replace(END, org_id=OTHER_ORG, ended_us=NOON_US + 1)
    folded(database, [(0, LOST)])
    folded(database, [(0, theirs)], OTHER_JOURNAL)
    assert hold_of(database) == (1, 70)
    assert check(database, ORG) == [LOST]
    assert check(database, OTHER_ORG) == [theirs]
    # Nor is it in one batch, nor is another's end lost because ours is known.
    folded(database, [(1, END), (2, msgspec.structs.replace(theirs, attempt=2))])
    assert check(database, ORG) == ONE_CORRECTION
    assert len(check(database, OTHER_ORG)) == 2


def test_holds_of_two_organisations_with_one_request_id_are_released_apart_in_one_batch(
    database: Database,
) -> None:
    theirs = msgspec.structs.replace(END, org_id=OTHER_ORG, ended_us=NOON_US + 1)
    folded(database, numbered([LOST, lost(theirs, held=9), theirs]))
    assert check(database, ORG) == [LOST]
    assert hold_of(database) == (1, 70)
    assert [row.kind for row in check(database, OTHER_ORG)] == [EntryKind.USAGE, EntryKind.CORRECTION]


def test_a_hold_is_not_released_by_another_attempt(database: Database) -> None:
    second = msgspec.structs.replace(END, attempt=2)
    folded(database, numbered([LOST, second]))
    assert check(database) == [LOST, second]
    assert hold_of(database) == (1, 70)


def test_what_is_released_is_what_was_held_and_not_what_the_call_cost(database: Database) -> None:
    over = entry(cost=cost(10**9, 10**9))
    others = [lost(entry(), held=11), lost(entry(), held=13)]
    folded(database, numbered([lost(over, held=7), *others, over]))
    assert hold_of(database) == (2, 24)
    check(database)


def test_a_hold_of_the_largest_number_that_fits_is_held_and_released(database: Database) -> None:
    end = entry()
    folded(database, [(0, lost(end, held=2**63 - 1))])
    assert hold_of(database) == (1, 2**63 - 1)
    folded(database, [(1, end)])
    assert hold_of(database) == (0, 0)


def test_a_hold_that_no_column_can_hold_is_refused_and_leaves_nothing(database: Database) -> None:
    end = entry()
    with pytest.raises(StoreRefused):
        folded(database, [(0, lost(end, held=2**63))])
    folded(database, [(0, end)])
    assert check(database) == [end]


def test_a_late_end_that_no_database_can_hold_releases_nothing(database: Database) -> None:
    folded(database, [(0, LOST)])
    with pytest.raises(StoreRefused):
        folded(database, [(1, msgspec.structs.replace(END, cost=cost(2**63, 0)))])
    assert hold_of(database) == (1, 70)
    folded(database, [(1, END)])
    assert check(database) == ONE_CORRECTION


def test_a_call_of_which_the_end_lies_far_before_its_discovery_is_settled(database: Database) -> None:
    year_us = 366 * 86_400 * 1_000_000
    unknown = lost(END, held=70, found_us=NOON_US + year_us)
    folded(database, [(0, unknown)])
    folded(database, [(1, END)])
    assert check(database) == [unknown, correction(END)]
    assert hold_of(database, "2027-03") == (0, 0)


@pytest.mark.parametrize("changes", [{}, {"final": False}, {"status": 503, "outcome": Outcome.FAILED}])
def test_no_series_falls_when_a_late_end_comes(database: Database, changes: dict[str, Any]) -> None:
    end = entry(**changes)
    folded(database, numbered([entry(), lost(end)]))
    before = series_of(database)
    folded(database, [(2, end)])
    after = series_of(database)
    assert all(after[series] >= value for series, value in before.items())
    assert {series[-2] for series in after.keys() - before.keys()} <= {Metric.COST, Metric.TOKENS}


def test_a_cycle_row_is_made_by_an_unsettled_call_alone(database: Database) -> None:
    folded(database, [(0, LOST)])
    row = database.write_here(lambda db: db.execute(select(cycle_totals)).one())
    assert (row.num_requests, row.num_unsettled, row.held_nano) == (1, 1, Nano(70))
    assert (row.prompt_tokens, row.cost_prompt_nano, row.savings_prompt_nano) == (0, 0, 0)
