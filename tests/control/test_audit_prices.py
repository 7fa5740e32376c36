"""The audit of prices: a version that is not there, or says something else, is named at each of its rows."""

import pytest
from sqlalchemy import delete, update

from tests.control.audited import CHEAP, DEAR, UNITS, ledgers_of_two, named, row_is, tamper
from tollway.domain.ids import OrgId
from tollway.domain.price import cost_of
from tollway.store.database import Database
from tollway.store.schema import price_versions


@pytest.fixture
def org(database: Database) -> OrgId:
    return ledgers_of_two(database)


async def test_a_price_version_that_is_not_stored_is_named_at_every_row_that_was_priced_at_it(
    database: Database, org: OrgId
) -> None:
    tamper(database, delete(price_versions).where(price_versions.c.version == DEAR.version))
    expected = ("a price version that is stored", DEAR.version)
    assert await named(database, org) == {
        ("row 1", "benchmark_price_version"): expected,
        ("row 9", "benchmark_price_version"): expected,
    }


async def test_a_row_that_names_no_price_is_named_and_its_parts_must_still_sum(
    database: Database, org: OrgId
) -> None:
    tamper(database, row_is(org, 2, vendor_price_version=None, vendor_cost_prompt_nano=0))
    right = cost_of(UNITS, CHEAP)
    assert await named(database, org) == {
        ("row 2", "vendor_price_version"): ("a price version that is stored", None),
        ("row 2", "vendor_cost_by_unit"): (right.completion, right.total),
    }


@pytest.mark.parametrize(
    "rates",
    [
        {},
        {"denominator": "0", "rates": {}},
        {"denominator": "x", "rates": {}},
        {"denominator": "1", "rates": {"no unit": []}},
        {"denominator": "1", "rates": []},
    ],
)
async def test_a_stored_price_that_cannot_be_read_is_as_good_as_none(
    database: Database, org: OrgId, rates: object
) -> None:
    price = price_versions.c.version == DEAR.version
    tamper(database, update(price_versions).where(price).values(rates=rates))
    assert set(await named(database, org)) == {(f"row {seq}", "benchmark_price_version") for seq in (1, 9)}


async def test_a_stored_price_that_was_changed_is_named_at_the_rows_that_were_priced_at_it(
    database: Database, org: OrgId
) -> None:
    price = price_versions.c.version == DEAR.version
    tamper(database, update(price_versions).where(price).values(rates={"denominator": "1", "rates": {}}))
    assert set(await named(database, org)) == {
        ("row 1", "benchmark_prompt_nano"),
        ("row 1", "benchmark_completion_nano"),
        ("row 1", "benchmark_by_unit"),
        ("row 9", "benchmark_prompt_nano"),
        ("row 9", "benchmark_by_unit"),
    }
