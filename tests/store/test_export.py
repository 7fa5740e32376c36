"""Rows for an export: one organisation's, in order of time, those that were there at the start."""

from collections.abc import Sequence
from functools import partial

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.control.audited import folded
from tests.world.clock import NOON_US
from tests.world.entries import entry
from tollway.domain.ids import OrgId, new_id
from tollway.domain.ledger import Entry
from tollway.store.database import Database
from tollway.store.export import Row, Span, count_rows, newest_seq, read_rows

MINE, OTHER = OrgId("org-1"), OrgId("org-2")
QUICKLY = hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
offsets = st.integers(0, 5)


def read(database: Database, org: OrgId, span: Span, limit: int = 3) -> list[Row]:
    """All rows of the span, page by page."""
    rows: list[Row] = []
    while True:
        after = rows[-1] if rows else None
        page = database.write_here(partial(read_rows, org=org, span=span, after=after, limit=limit))
        if not page:
            break
        assert len(page) <= limit
        rows += page
    assert len(rows) == database.write_here(lambda db: count_rows(db, org, span))
    return rows


def calls(org: OrgId, ends: Sequence[int]) -> list[Entry]:
    plain = {"org_id": org, "started_us": NOON_US - 1}
    return [entry(**plain, ended_us=NOON_US + end) for end in ends]


@QUICKLY
@given(st.lists(offsets, max_size=12), st.none() | offsets, st.none() | offsets, st.integers(1, 5))
def test_rows_of_a_span_come_once_each_in_order_of_their_ends(
    database: Database, ends: list[int], begin: int | None, end: int | None, limit: int
) -> None:
    org = OrgId(new_id(NOON_US))  # examples share a database
    if ends:
        folded(database, calls(org, ends), new_id(NOON_US))
    span = Span(
        from_us=None if begin is None else NOON_US + begin,
        to_us=None if end is None else NOON_US + end,
        upto=database.write_here(lambda db: newest_seq(db, org)),
    )
    rows = read(database, org, span, limit)
    wanted = [
        (at, seq)
        for seq, at in enumerate(ends, 1)
        if (begin is None or at >= begin) and (end is None or at < end)
    ]
    assert [(row["ended_us"] - NOON_US, row["seq"]) for row in rows] == sorted(wanted)
    assert {row["org_id"] for row in rows} <= {org}


def test_rows_that_are_folded_meanwhile_are_not_in_it(database: Database) -> None:
    folded(database, calls(MINE, [1, 2, 3]))
    span = Span(upto=database.write_here(lambda db: newest_seq(db, MINE)))
    first = database.write_here(lambda db: read_rows(db, MINE, span, after=None, limit=2))
    folded(database, calls(MINE, [0, 2, 9]), first=3)
    rest = database.write_here(lambda db: read_rows(db, MINE, span, after=first[-1], limit=9))
    assert [row["seq"] for row in [*first, *rest]] == [1, 2, 3]


def test_another_organisations_rows_are_never_in_it(database: Database) -> None:
    folded(database, calls(MINE, [0, 1, 2]), "journal-1")
    folded(database, calls(OTHER, [0, 1, 2, 3]), "journal-2")
    assert [row["org_id"] for row in read(database, MINE, Span(upto=4))] == [MINE] * 3
    assert read(database, OrgId("org"), Span(upto=4)) == []
    assert database.write_here(lambda db: newest_seq(db, OrgId("org"))) == 0
