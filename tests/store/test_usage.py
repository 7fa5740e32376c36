"""The fold: every entry once, every total the sum of its rows, whatever is repeated or broken."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from sqlalchemy import insert, select

from tests.store.folds import (
    OTHER_JOURNAL,
    OTHER_ORG,
    check,
    folded,
    month,
    numbered,
    sizes,
    stored,
    totals,
)
from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL, ORG, cost, entries, entry
from tollway.domain.clock import US_PER_S, month_start_us, next_month_start_us
from tollway.domain.errors import StoreRefused
from tollway.domain.ids import JournalId, OrgId, RequestId, new_id
from tollway.domain.ledger import NOTHING, Entry, EntryKind, Outcome
from tollway.domain.series import Metric
from tollway.domain.usage import Unit
from tollway.store.database import Database
from tollway.store.schema import cycle_totals, cycles, ledger
from tollway.store.usage import read_entries

NEXT_MONTH_US = next_month_start_us(NOON_US)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
    assert check(database) == [written]


def test_a_cost_of_nothing_is_stored_as_known_and_not_as_null(database: Database) -> None:
    written = [
        entry(cost=NOTHING, vendor_cost=NOTHING),
        entry(benchmark=NOTHING),
        entry(benchmark=cost(5, 6)),
    ]
    folded(database, numbered(written))
    assert check(database) == written
    assert totals(database)["2026-03", "savings_prompt_nano"] == -2_400 + (5 - 2_400)
    assert totals(database)["2026-03", "savings_completion_nano"] == -40_000 + (6 - 40_000)
    assert totals(database)["2026-03", "num_unsettled"] == 0
    versions = select(ledger.c.price_version, ledger.c.cost_prompt_nano, ledger.c.benchmark_prompt_nano)
    assert database.write_here(lambda db: [tuple(row) for row in db.execute(versions)]) == [
        (None, 0, None),
        ("list@1", 2_400, 0),
        ("list@1", 2_400, 5),
    ]


def test_attempts_of_one_request_are_rows_of_their_own(database: Database) -> None:
    request = RequestId(new_id(NOON_US))
    first = entry(request_id=request, attempt=1, final=False, outcome=Outcome.FAILED, status=503)
    second = entry(request_id=request, attempt=2)
    folded(database, numbered([first, second]))
    assert check(database) == [first, second]
    assert totals(database)["2026-03", "num_requests"] == 1


def test_a_correction_adds_to_the_cost_and_is_no_request(database: Database) -> None:
    amended = entry(kind=EntryKind.CORRECTION, outcome=Outcome.CORRECTION, cost=cost(-100, 0))
    folded(database, numbered([entry(), amended]))
    assert len(check(database)) == 2
    assert totals(database)["2026-03", "num_requests"] == 1
    assert totals(database)["2026-03", "cost_prompt_nano"] == 2_300


def test_organisations_are_numbered_and_totalled_apart(database: Database) -> None:
    folded(database, numbered([entry(), entry(org_id=OTHER_ORG), entry()]))
    assert len(check(database, ORG)) == 2
    assert len(check(database, OTHER_ORG)) == 1
    assert database.write_here(lambda db: read_entries(db, OrgId("org-3"), limit=9)) == []


def test_a_request_id_that_another_organisation_has_too_hides_no_row(database: Database) -> None:
    own = entry()
    other = entry(request_id=own.request_id, org_id=OTHER_ORG, ended_us=NOON_US + 1)
    folded(database, [(0, own)])
    folded(database, [(0, other)], OTHER_JOURNAL)
    assert check(database, ORG) == [own]
    assert check(database, OTHER_ORG) == [other]


def test_rows_are_read_in_order_after_a_cursor_and_up_to_a_limit(database: Database) -> None:
    folded(database, numbered(entry() for _ in range(5)))
    rows = database.write_here(lambda db: read_entries(db, ORG, after_seq=1, limit=3))
    assert [row.seq for row in rows] == [2, 3, 4]


def test_the_month_changes_between_two_microseconds(database: Database) -> None:
    assert (month(NEXT_MONTH_US - 1), month(NEXT_MONTH_US)) == ("2026-03", "2026-04")
    last, first = entry(ended_us=NEXT_MONTH_US - 1), entry(ended_us=NEXT_MONTH_US, cost=cost(1, 2))
    folded(database, numbered([last, first]))
    check(database)
    found = database.write_here(
        lambda db: db.execute(select(cycle_totals).order_by(cycle_totals.c.cycle_start_us)).all()
    )
    assert [(row.cycle_start_us, row.num_requests, row.cost_prompt_nano) for row in found] == [
        (month_start_us(NOON_US), 1, 2_400),
        (NEXT_MONTH_US, 1, 1),
    ]


def test_rows_are_counted_in_the_cycle_that_their_organisation_has(database: Database) -> None:
    begun, over = NOON_US - US_PER_S, NOON_US + US_PER_S
    own = {"org_id": ORG, "start_us": begun, "end_us": over}
    database.write_here(lambda db: db.execute(insert(cycles).values(own)))
    ends = [begun, over - 1]
    folded(database, numbered(entry(org_id=org, ended_us=at) for org in (ORG, OTHER_ORG) for at in ends))
    found = database.write_here(lambda db: db.execute(select(cycle_totals)).all())
    assert {(row.org_id, row.cycle_start_us, row.num_requests) for row in found} == {
        (ORG, begun, 2),
        (OTHER_ORG, month_start_us(NOON_US), 2),
    }


def test_a_call_that_ends_before_it_starts_lasts_no_time(database: Database) -> None:
    folded(database, [(0, entry(started_us=NOON_US + 5, ended_us=NOON_US))])
    check(database)
    found = totals(database)
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
    records = numbered([entry(), entry(org_id=OTHER_ORG), entry(**changes), entry()], first=1)
    with pytest.raises(StoreRefused):
        folded(database, records)
    assert sizes(database) == before
    assert len(check(database)) == 1
    # What is left without the broken one is taken: its offset passes without a row.
    assert folded(database, [record for record in records if record != records[2]]) == 5
    assert len(check(database)) == 3


@ON_POSTGRESQL
def test_a_zero_byte_is_refused_by_postgresql_and_nothing_is_left(database: Database) -> None:
    with pytest.raises(StoreRefused, match="NUL"):
        folded(database, numbered([entry(), entry(model="a\0b")]))
    assert sizes(database) == [0, 0, 0, 0]
