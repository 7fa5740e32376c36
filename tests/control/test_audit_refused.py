"""The audit and refused calls, which no row explains: they are left out, and nothing else is."""

import pytest
from sqlalchemy import delete, insert, update

from tests.control.audited import audited, every_sort, folded, named, tamper
from tests.store.folds import refused_of
from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.ids import JournalId, OrgId
from tollway.domain.ledger import Batch
from tollway.domain.refusal import Refused
from tollway.domain.series import Metric
from tollway.store.database import Database
from tollway.store.schema import series_totals
from tollway.store.usage import fold

ONLY_REFUSED = OrgId("org-3")


@pytest.fixture
def org(database: Database) -> OrgId:
    """An organisation with a ledger of every sort of row, and with refused calls; another has only those."""
    made = database.write_here(make_org)
    folded(database, every_sort(made))
    counts = [
        Refused(org_id=of, app="acme-app", code="plan_exhausted", count=3, at_us=NOON_US)
        for of in (made, ONLY_REFUSED)
    ]
    batch = Batch(journal=JournalId("journal-3"), first=0, upto=2, refusals=list(enumerate(counts)))
    database.write_here(lambda db: fold(db, batch, NOON_US))
    return made


async def test_they_are_no_difference(database: Database, org: OrgId) -> None:
    assert refused_of(database, org) == {("acme-app", "plan_exhausted"): 3}
    checks = await audited(database)
    assert {check.org: (check.rows, check.num_differences) for check in checks.values()} == {
        org: (9, 0),
        ONLY_REFUSED: (0, 0),
    }


async def test_beside_them_every_other_total_is_still_compared(database: Database, org: OrgId) -> None:
    for metric in set(Metric) - {Metric.REFUSED}:
        where = (series_totals.c.org_id == org, series_totals.c.metric == metric.value)
        tamper(database, update(series_totals).where(*where).values(value=series_totals.c.value + 1))
        found = {what.partition(" ")[0] for _, what in await named(database, org)}
        assert metric.value in found
    forged = {"app": "acme-app", "model": "", "provider": "", "metric": "refused too", "label": "x"}
    tamper(database, insert(series_totals).values(org_id=ONLY_REFUSED, value=1, **forged))
    assert list(await named(database, ONLY_REFUSED)) == [("series acme-app, , ", "refused too x")]


async def test_a_total_of_rows_that_is_gone_is_still_named(database: Database, org: OrgId) -> None:
    tamper(database, delete(series_totals))
    whats = {what.partition(" ")[0] for _, what in await named(database, org)}
    assert {"requests", "tokens"} <= whats
    assert "refused" not in whats
