"""The search for logs: what an index leads to, how far one search goes, and where the next goes on."""

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.folds import folded, numbered
from tests.world.clock import NOON_US
from tests.world.entries import ORG, entry
from tollway.domain.body import BodyPiece, Part
from tollway.domain.ids import AppId, OrgId, RequestId
from tollway.domain.ledger import Entry
from tollway.domain.log import Place, Search
from tollway.store.bodies import keep_bodies
from tollway.store.database import Database
from tollway.store.facets import facets_of
from tollway.store.logs import BOUNDS, Bounds, Found, find

EVER = Search(from_us=0, to_us=NOON_US + 10**12)
APPS = [AppId("app-1"), AppId("app-2"), AppId("app-3")]
_JOURNALS = count()


def found(database: Database, search: Search, org: OrgId = ORG, **part: object) -> Found:
    part = {"limit": 100, "shown_since": dict.fromkeys(APPS, 0), **part}
    return database.write_here(lambda db: find(db, org, search, **part))  # type: ignore[arg-type]  # as given


def ids(found: Found) -> list[RequestId]:
    return [one.request_id for one in found.requests]


def all_of(
    database: Database, search: Search, size: int, org: OrgId = ORG, bounds: Bounds = BOUNDS
) -> list[RequestId]:
    """What one gets who follows the places to the end."""
    seen: list[RequestId] = []
    after: Place | None = None
    while True:
        page = found(database, search, org, after=after, limit=size, bounds=bounds)
        seen += ids(page)
        after = page.next
        if after is None:
            return seen


calls = st.builds(
    entry,
    app_id=st.sampled_from(APPS),
    labels=st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2),
    end_user=st.sampled_from([None, "ann", "bob"]),
    is_private=st.sampled_from([False, False, False, True]),
    ended_us=st.integers(NOON_US, NOON_US + 5),
)
searches = st.builds(
    Search,
    from_us=st.integers(NOON_US - 1, NOON_US + 3),
    to_us=st.integers(NOON_US + 3, NOON_US + 7),
    app_ids=st.none() | st.lists(st.sampled_from(APPS), unique=True, min_size=1, max_size=3).map(tuple),
    facets=st.lists(
        st.sampled_from([("label:a", "x"), ("label:a", "y"), ("label:b", "x"), ("user", "ann")]),
        unique=True,
        max_size=2,
    ).map(tuple),
    newest_first=st.booleans(),
)


@given(st.lists(calls, min_size=1, max_size=12), searches, st.integers(1, 4))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_search_finds_what_a_look_at_every_row_finds(
    database: Database, made: list[Entry], search: Search, size: int
) -> None:
    org = OrgId(f"org-{next(_JOURNALS)}")
    rows = [replaced(one, org) for one in made]
    folded(database, numbered(rows), journal=org)  # type: ignore[arg-type]  # any text names a journal
    wanted = [
        (row.ended_us, seq, row.request_id)
        for seq, row in enumerate(rows, 1)
        if search.from_us <= row.ended_us < search.to_us
        and (search.app_ids is None or row.app_id in search.app_ids)
        and set(search.facets) <= set(facets_of(row))
        and not row.is_private
    ]
    expected = [request for _, _, request in sorted(wanted, reverse=search.newest_first)]
    assert all_of(database, search, size, org) == expected
    assert ids(found(database, search, org, skip=size, limit=size)) == expected[size : 2 * size]


def replaced(one: Entry, org: OrgId) -> Entry:
    labels, end_user = ({}, None) if one.is_private else (one.labels, one.end_user)
    return entry(
        org_id=org,
        app_id=one.app_id,
        labels=labels,
        end_user=end_user,
        is_private=one.is_private,
        ended_us=one.ended_us,
    )


def test_one_search_looks_at_so_many_rows_and_says_where_it_stopped(database: Database) -> None:
    said = [{"a": "x", "b": "y"}, *({"ab"[at % 2]: "xy"[at % 2]} for at in range(60))]
    rows = [entry(labels=labels, ended_us=NOON_US + at) for at, labels in enumerate(said)]
    folded(database, numbered(rows))
    rare = replace(EVER, facets=(("label:a", "x"), ("label:b", "y")))
    few = Bounds(rows=6)
    page = found(database, rare, limit=3, bounds=few)
    assert ids(page) == []
    assert page.next is not None
    assert all_of(database, rare, 3, bounds=few) == [rows[0].request_id]


@pytest.mark.parametrize("each", [3, 600])
def test_the_rarest_label_leads(database: Database, each: int) -> None:
    said = [{"a": "x"} | ({"b": "y"} if at % each == 2 else {}) for at in range(700)]
    rows = [entry(labels=labels, ended_us=NOON_US + at) for at, labels in enumerate(said)]
    folded(database, numbered(rows))
    wanted = [rows[at].request_id for at in range(700) if at % each == 2]
    for newest_first in (True, False):
        both = replace(EVER, facets=(("label:a", "x"), ("label:b", "y")), newest_first=newest_first)
        few = Bounds(rows=len(wanted) + 1)  # by the other label they would not all be found
        page = found(database, both, limit=len(wanted), bounds=few)
        assert ids(page) == (wanted[::-1] if newest_first else wanted)


def test_text_is_read_in_so_many_bodies_at_most(database: Database) -> None:
    few = Bounds(bodies=16)
    rows = [entry(ended_us=NOON_US + at) for at in range(100)]
    folded(database, numbered(rows))
    kept = [
        BodyPiece(
            org_id=ORG,
            request_id=row.request_id,
            part=Part.REQUEST,
            at=0,
            data=b"needle" if at == 7 else b"hay",
            written_us=NOON_US,
        )
        for at, row in enumerate(rows)
        if at % 2
    ]
    database.write_here(lambda db: keep_bodies(db, kept))
    needle = replace(EVER, text="needle")
    page = found(database, needle, limit=10, bounds=few)
    assert (ids(page), page.next is not None) == ([], True)
    wanted = [rows[7].request_id]
    assert all_of(database, needle, 10, bounds=few) == wanted
    assert all_of(database, needle, 1, bounds=few) == wanted
    assert ids(found(database, needle, shown_since={})) == []
