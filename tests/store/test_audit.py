"""What an audit reads: organisations by id or name, every one that anything is stored of."""

from functools import partial

from sqlalchemy import insert, update

from tests.control.audited import every_sort, folded, tamper
from tests.world.entries import make_org
from tollway.domain.ids import OrgId
from tollway.store.audit import find_org, next_org, num_rows, read_page, read_totals
from tollway.store.database import Database
from tollway.store.schema import cycle_totals, orgs, series_totals


def found(database: Database, named: str) -> OrgId | None:
    return database.write_here(lambda db: find_org(db, named))


def test_an_organisation_is_found_by_its_id_or_its_name(database: Database) -> None:
    org = database.write_here(make_org)
    assert found(database, org) == found(database, "acme") == org
    assert found(database, "nobody") is None
    assert found(database, "") is None
    assert found(database, "acme%") is None


def test_a_name_that_is_anothers_id_does_not_stand_in_for_it(database: Database) -> None:
    one, other = database.write_here(make_org), database.write_here(lambda db: make_org(db, "other"))
    for thief, owner in ((one, other), (other, one)):
        tamper(database, update(orgs).where(orgs.c.id == thief).values(org_name=owner))
    assert found(database, one) == one
    assert found(database, other) == other


def test_every_organisation_that_anything_is_stored_of_comes_once_in_order(database: Database) -> None:
    org = database.write_here(make_org)
    folded(database, every_sort(OrgId("org-2")))
    counted = dict.fromkeys((column.name for column in cycle_totals.c), 0)
    series = {"app": "", "model": "", "provider": "", "metric": "", "label": "", "value": 1}
    database.write_here(lambda db: db.execute(insert(cycle_totals).values({**counted, "org_id": "org-1"})))
    database.write_here(lambda db: db.execute(insert(series_totals).values({**series, "org_id": "org-3"})))
    seen = [""]
    while (following := database.write_here(lambda db: next_org(db, seen[-1]))) is not None:
        seen.append(following)
    assert sorted(seen[1:]) == sorted([org, "org-1", "org-2", "org-3"])
    assert database.write_here(num_rows) == 9


def test_nothing_is_stored_of_nobody(database: Database) -> None:
    totals = database.write_here(lambda db: read_totals(db, OrgId("nobody")))
    assert (totals.org_name, totals.seq, totals.last_seq, totals.by_cycle) == (None, 0, 0, {})
    page = database.write_here(lambda db: read_page(db, OrgId("nobody"), after=None, upto=9, limit=9))
    assert (page.rows, page.prices) == ([], {})
    assert database.write_here(num_rows) == 0
    assert database.write_here(lambda db: next_org(db, "")) is None


def test_pages_hold_each_row_once_and_none_of_another_organisation(database: Database) -> None:
    one, other = OrgId("org-1"), OrgId("org-2")
    folded(database, every_sort(one), "journal-1")
    folded(database, every_sort(other), "journal-2")
    seqs: list[int] = []
    after = None
    while True:
        page = database.write_here(partial(read_page, org=one, after=after, upto=8, limit=3))
        if not page.rows:
            break
        seqs += [row.seq for row in page.rows]
        assert all(row.entry is not None and row.entry.org_id == one for row in page.rows)
        after = page.rows[-1].seq, page.rows[-1].ended_us
    assert seqs == list(range(1, 9))
