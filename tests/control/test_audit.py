"""The audit: real folds are clean, and whatever else was done to a ledger is found and named."""

import re
from typing import Any

import pytest
from sqlalchemy import (
    Insert,
    delete,
    insert,
    literal_column,
    null,
    select,
    update,
)

from tests.control.audited import (
    APRIL_US,
    CHEAP,
    DEAR,
    OTHER,
    UNITS,
    audited,
    every_sort,
    folded,
    ledgers_of_two,
    named,
    priced,
    row_is,
    tamper,
)
from tests.world.clock import NOON_US
from tests.world.entries import ON_SQLITE, lost, make_org
from tollway.control.audit import ROWS_PER_PAGE, SHOWN_PER_ORG, Unfolded, audit, unfolded_of
from tollway.domain.clock import month_start_us
from tollway.domain.ids import OrgId
from tollway.domain.money import Nano
from tollway.domain.price import cost_of
from tollway.domain.usage import Unit
from tollway.store.database import Database
from tollway.store.schema import (
    cycle_totals,
    cycles,
    ledger,
    org_totals,
    orgs,
    series_totals,
    spender_totals,
)

MARCH, APRIL = "cycle 2026-03-01T00:00:00.000000Z", "cycle 2026-04-01T00:00:00.000000Z"
SERIES = "series acme-app, demo/small, demo"


def copy_of(database: Database, org: OrgId, seq: int, /, **changes: object) -> Insert:
    """A statement that adds the row once more."""
    query = select(ledger).where(ledger.c.org_id == org, ledger.c.seq == seq)
    row = database.write_here(lambda db: db.execute(query).mappings().one())
    return insert(ledger).values({**row, **changes})


@pytest.fixture
def org(database: Database) -> OrgId:
    return ledgers_of_two(database)


async def test_a_ledger_made_by_folds_has_no_difference(database: Database, org: OrgId) -> None:
    checks = await audited(database)
    assert {check.org: (check.org_name, check.rows) for check in checks.values()} == {
        org: ("acme", 9),
        OTHER: (None, 9),
    }
    assert {check.num_differences for check in checks.values()} == {0}


async def test_an_organisation_without_rows_has_none_either(database: Database) -> None:
    made = database.write_here(make_org)
    check = (await audited(database))[made]
    assert (check.rows, check.num_differences, check.is_done) == (0, 0, True)


async def test_only_the_organisation_that_was_asked_for_is_read(database: Database, org: OrgId) -> None:
    tamper(database, row_is(OTHER, 1, cost_prompt_nano=1))
    assert list(await audited(database, org)) == [org]
    assert await named(database, org) == {}
    assert await named(database, OTHER) != {}


@pytest.mark.parametrize("name", ["cost", "vendor_cost", "benchmark"])
@pytest.mark.parametrize("side", ["prompt", "completion"])
async def test_a_rows_cost_that_is_not_its_units_cost_is_named(
    database: Database, org: OrgId, name: str, side: str
) -> None:
    column = f"{name}_{side}_nano"
    tamper(database, row_is(org, 1, **{column: ledger.c[column] + 1}))
    price = DEAR if name == "benchmark" else CHEAP
    right = getattr(cost_of(UNITS, price), side)
    found = await named(database, org)
    assert found.pop(("row 1", column)) == (right, right + 1)
    totals = {"cost": {f"cost_{side}_nano", f"savings_{side}_nano"}, "benchmark": {f"savings_{side}_nano"}}
    spenders = {(f"{MARCH} of app or key {spender}", "cost_nano") for spender in ("app-1", "key-1")}
    assert set(found) == {(MARCH, total) for total in totals.get(name, set())} | (
        spenders if name == "cost" else set()
    )
    assert await named(database, OTHER) == {}


async def test_a_cost_that_was_split_otherwise_is_named_with_its_series(
    database: Database, org: OrgId
) -> None:
    right = cost_of(UNITS, CHEAP).by_unit
    moved = {**right, Unit.INPUT: right[Unit.INPUT] + 1, Unit.OUTPUT: right[Unit.OUTPUT] - 1}
    tamper(database, row_is(org, 2, vendor_cost_by_unit=moved))
    tamper(database, row_is(org, 8, cost_by_unit=moved))
    found = await named(database, org)
    assert set(found) == {
        ("row 2", "vendor_cost_by_unit"),
        ("row 8", "cost_by_unit"),
        *(
            (SERIES, f"{metric} {kind}")
            for metric in ("cost", "benchmark_cost")
            for kind in ("input", "output")
        ),
    }
    assert '"input": 43500' in found["row 8", "cost_by_unit"][0]


async def test_units_that_were_changed_are_named_by_all_that_follows_from_them(
    database: Database, org: OrgId
) -> None:
    tamper(database, row_is(org, 9, units={Unit.INPUT: 1_000}))
    found = await named(database, org)
    assert found["row 9", "prompt_tokens"] == (1_000, 1_001)
    assert found["row 9", "cost_prompt_nano"] == (375_000, 500_500)
    assert found["row 9", "benchmark_prompt_nano"] == (3_000_000, 3_003_000)
    assert found[APRIL, "prompt_tokens"] == (1_110 + 1_110 + 1_000, 1_110 + 1_110 + 1_001)
    assert found[SERIES, "tokens input"][0] + 1 == found[SERIES, "tokens input"][1]


@pytest.mark.parametrize("column", ["prompt_tokens", "completion_tokens"])
async def test_a_count_of_tokens_that_is_not_of_its_units_is_named(
    database: Database, org: OrgId, column: str
) -> None:
    tamper(database, row_is(org, 1, **{column: 7}))
    right = {"prompt_tokens": 1_110, "completion_tokens": 25}[column]
    assert await named(database, org) == {("row 1", column): (right, 7)}


@pytest.mark.parametrize("column", [column.name for column in cycle_totals.c if not column.primary_key])
async def test_a_cycles_total_that_is_not_its_rows_sum_is_named(
    database: Database, org: OrgId, column: str
) -> None:
    changed = update(cycle_totals).where(
        cycle_totals.c.org_id == org, cycle_totals.c.cycle_start_us > NOON_US
    )
    tamper(database, changed.values({column: cycle_totals.c[column] - 1}))
    found = await named(database, org)
    (values,) = found.values()
    assert (list(found), values[0] - values[1]) == ([(APRIL, column)], 1)


@pytest.mark.parametrize("spender", ["app-1", "key-1", "nobody"])
async def test_a_spenders_total_that_is_not_its_rows_sum_is_named(
    database: Database, org: OrgId, spender: str
) -> None:
    key = {"org_id": org, "spender_id": spender, "cycle_start_us": month_start_us(NOON_US)}
    of_spender = [spender_totals.c[name] == value for name, value in key.items()]
    spent = select(spender_totals.c.cost_nano).where(*of_spender)
    right = database.write_here(lambda db: db.execute(spent).scalar())
    if right is None:
        tamper(database, insert(spender_totals).values(cost_nano=1, **key))
    else:
        tamper(database, update(spender_totals).where(*of_spender).values(cost_nano=right + 1))
    found = await named(database, org)
    assert found == {(f"{MARCH} of app or key {spender}", "cost_nano"): (right or 0, (right or 0) + 1)}


async def test_what_the_trial_paid_is_the_sum_of_its_rows_and_corrected_with_them(
    database: Database, org: OrgId
) -> None:
    ended = priced(org, "request-9", funding="trial")
    folded(database, [lost(ended, held=10**9), ended], journal="journal-3")
    folded(database, [lost(priced(org, "request-10", funding="trial"), held=7)], journal="journal-4")
    assert await named(database, org) == {}
    paid = ended.cost.total + 7
    tamper(database, update(org_totals).where(org_totals.c.org_id == org).values(trial_nano=paid - 1))
    assert await named(database, org) == {("org_totals", "trial_nano"): (paid, paid - 1)}


async def test_a_series_that_is_not_its_rows_sum_is_named(database: Database, org: OrgId) -> None:
    of_org = series_totals.c.org_id == org
    requests = (of_org, series_totals.c.metric == "requests", series_totals.c.label == "429")
    lasting = (of_org, series_totals.c.metric == "duration_sum", series_totals.c.model == "new/model")
    forged = insert(series_totals).values(
        org_id=org, app="app", model="m", provider="p", metric="no metric", label="", value=5
    )
    tamper(
        database,
        update(series_totals).where(*requests).values(value=3),
        delete(series_totals).where(*lasting),
        forged,
    )
    assert await named(database, org) == {
        (SERIES, "requests 429"): (1, 3),
        ("series acme-app, new/model, demo", "duration_sum"): (1_000_000, 0),
        ("series app, m, p", "no metric"): (0, 5),
    }


async def test_totals_that_are_gone_or_of_no_cycle_are_named(database: Database, org: OrgId) -> None:
    mine = cycle_totals.c.org_id == org
    tamper(
        database,
        delete(cycle_totals).where(mine, cycle_totals.c.cycle_start_us > NOON_US),
        update(cycle_totals).where(mine).values(cycle_start_us=2**62),
    )
    found = await named(database, org)
    assert found[APRIL, "num_requests"] == (2, 0)
    assert found[MARCH, "num_requests"] == (5, 0)
    assert found[f"cycle {2**62}", "num_requests"] == (0, 5)


async def test_a_missing_row_is_named_wherever_it_was(database: Database, org: OrgId) -> None:
    mine = ledger.c.org_id == org
    tamper(database, delete(ledger).where(mine, ledger.c.seq == 2))
    found = await named(database, org)
    assert found["row 2", "number of rows"] == (1, 0)
    assert found[MARCH, "num_requests"] == (4, 5)
    tamper(database, delete(ledger).where(mine, ledger.c.seq.in_([1, 8, 9])))
    found = await named(database, org)
    assert found["rows 1 to 2", "number of rows"] == (2, 0)
    assert found["rows 8 to 9", "number of rows"] == (2, 0)
    assert ("org_totals", "seq") not in found


async def test_a_row_that_is_there_twice_is_named(database: Database, org: OrgId) -> None:
    tamper(
        database,
        copy_of(database, org, 1, seq=10, ended_us=NOON_US + 1),
        copy_of(database, org, 6, seq=11, ended_us=APRIL_US + 1),
    )
    found = await named(database, org)
    assert found["row 10", "row"] == ("one for each attempt", "the same attempt as row 1")
    assert found["row 11", "row"] == ("one for each attempt", "the same attempt as row 6")
    assert found["org_totals", "seq"] == (11, 9)
    assert found[MARCH, "num_requests"] == (6, 5)
    assert (APRIL, "num_unsettled") not in found


async def test_a_number_that_is_there_twice_is_named(database: Database, org: OrgId) -> None:
    tamper(database, copy_of(database, org, 9, seq=5, ended_us=NOON_US + 1, request_id="request-10"))
    assert (await named(database, org))["row 5", "seq"] == (6, 5)


async def test_a_row_given_to_another_organisation_is_named_at_both(database: Database, org: OrgId) -> None:
    tamper(database, row_is(org, 2, org_id=OTHER, seq=10))
    assert (await named(database, org))["row 2", "number of rows"] == (1, 0)
    found = await named(database, OTHER)
    assert found["org_totals", "seq"] == (10, 9)
    assert found[MARCH, "num_requests"] == (6, 5)


async def test_an_organisation_of_which_there_are_only_rows_is_audited_too(
    database: Database, org: OrgId
) -> None:
    tamper(database, row_is(org, 9, org_id="nobody", seq=1))
    assert list(await audited(database)) == sorted([org, OTHER, "nobody"])
    assert (await named(database, OrgId("nobody")))["org_totals", "seq"] == (1, 0)


async def test_what_is_known_of_an_unsettled_call_or_not_of_a_settled_one_is_named(
    database: Database, org: OrgId
) -> None:
    tamper(database, row_is(org, 7, cost_by_unit={}, cost_prompt_nano=0, cost_completion_nano=0))
    tamper(database, row_is(org, 5, cost_by_unit=null()))
    assert await named(database, org) == {
        ("row 7", "cost"): ("not known", "known"),
        ("row 5", "cost"): ("known", "not known"),
    }


async def test_a_correction_of_nothing_is_named(database: Database, org: OrgId) -> None:
    tamper(database, row_is(org, 4, request_id="another"))
    found = await named(database, org)
    assert found["row 6", "unsettled rows that it corrects"] == (1, 0)
    assert found[MARCH, "num_unsettled"] == (1, 0)
    assert found[MARCH, "held_nano"] == (50_000, 0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"units": {"no unit": 1}}, "no unit"),
        ({"units": {Unit.INPUT: "many"}}, "Expected `int`"),
        ({"units": []}, "Expected `object`"),
        ({"labels": {"a": 1}}, "Expected `str`"),
        ({"cost_prompt_nano": None}, "Expected `int`"),
        ({"outcome": "fine"}, "Invalid enum value 'fine'"),
        ({"kind": "gift"}, "Invalid enum value 'gift'"),
        ({"ended_us": 2**62}, ""),
    ],
)
async def test_a_row_that_says_what_no_row_says_is_named_and_the_rest_audited(
    database: Database, org: OrgId, values: dict[str, Any], told: str
) -> None:
    tamper(database, row_is(org, 1, **values))
    found = await named(database, org)
    assert found["row 1", "row"][0] == "one that can be read"
    assert told in found["row 1", "row"][1]
    assert found[MARCH, "num_requests"] == (4, 5)
    assert not any(where.startswith("row ") for where, _ in found.keys() - {("row 1", "row")})


@ON_SQLITE
@pytest.mark.parametrize("column", ["units", "labels", "cost_by_unit"])
async def test_json_that_is_none_is_named(database: Database, org: OrgId, column: str) -> None:
    tamper(database, row_is(org, 1, **{column: literal_column("'[1'")}))
    assert ("row 1", "row") in await named(database, org)


async def test_cycles_that_overlap_are_named(database: Database, org: OrgId) -> None:
    march = (cycles.c.org_id == org, cycles.c.start_us < NOON_US)
    tamper(database, update(cycles).where(*march).values(end_us=APRIL_US))
    found = await named(database, org)
    assert found.keys() == {(MARCH, "end_us")}
    tamper(database, delete(cycles).where(*march))
    assert await named(database, org) == {}


async def test_of_many_differences_the_first_are_shown_and_all_are_counted(database: Database) -> None:
    org = database.write_here(make_org)
    folded(database, [priced(org, f"call-{number}") for number in range(SHOWN_PER_ORG + 5)])
    tamper(database, update(ledger).values(prompt_tokens=0))
    check = (await audited(database))[org]
    assert check.num_differences == SHOWN_PER_ORG + 5
    assert [int(re.findall(r"row (\d+)", one.where)[0]) for one in check.differences] == list(
        range(1, SHOWN_PER_ORG + 1)
    )


async def test_rows_that_are_folded_while_it_reads_make_no_difference(database: Database) -> None:
    org = database.write_here(make_org)
    entries = [priced(org, f"call-{number}", ended_us=NOON_US + number) for number in range(ROWS_PER_PAGE)]
    folded(database, entries)
    folded(database, every_sort(org), first=ROWS_PER_PAGE)
    seen: list[tuple[int, int, bool]] = []
    async for check in audit(database, org):
        if not seen:
            folded(database, [priced(org, "meanwhile")], first=ROWS_PER_PAGE + 9)
        seen.append((check.rows, check.num_differences, check.is_done))
    assert seen == [(ROWS_PER_PAGE, 0, False), (ROWS_PER_PAGE + 9, 0, True)]
    assert (await audited(database))[org].rows == ROWS_PER_PAGE + 10


async def test_the_last_page_may_be_full_and_a_gap_may_lie_between_pages(database: Database) -> None:
    org = database.write_here(make_org)
    folded(database, [priced(org, f"call-{number}") for number in range(ROWS_PER_PAGE + 1)])
    tamper(database, delete(ledger).where(ledger.c.seq == ROWS_PER_PAGE))
    check = (await audited(database))[org]
    assert check.rows == ROWS_PER_PAGE
    assert check.differences[0].where == f"row {ROWS_PER_PAGE}"


def test_what_is_not_folded_is_counted_by_organisation() -> None:
    total = cost_of(UNITS, CHEAP).total
    waiting = [priced(OTHER, "1"), priced(OrgId("org-1"), "2"), priced(OTHER, "3")]
    assert unfolded_of(iter(waiting)) == {
        "org-1": Unfolded(rows=1, cost=total),
        "org-2": Unfolded(rows=2, cost=Nano(2 * total)),
    }
    assert unfolded_of(()) == {}


async def test_an_organisations_name_is_shown_where_it_has_one(database: Database, org: OrgId) -> None:
    tamper(database, update(orgs).where(orgs.c.id == org).values(org_name="renamed"))
    assert [check.org_name for check in (await audited(database)).values()].count("renamed") == 1
