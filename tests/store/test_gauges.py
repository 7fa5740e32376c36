"""The installation at a glance: receivers by state, and journals that are open."""

import pytest
from sqlalchemy import Connection, event, insert, update

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.destination import DestinationKind
from tollway.domain.ids import JournalId, OrgId
from tollway.store.database import Database
from tollway.store.gauges import MAX_SHOWN, Installation, Pushed, read_installation
from tollway.store.integrations import Integration, put_integration
from tollway.store.journals import close_journal, forfeit_journal, register_journal
from tollway.store.schema import integrations, org_totals


def put(db: Connection, org: OrgId, kind: DestinationKind, **values: object) -> None:
    """A receiver, with these columns."""
    made = Integration(
        kind=kind, user="1", endpoint="https://x.example.com", token_sealed="sealed", token_masked="***"
    )
    put_integration(db, org, made, NOON_US)
    if values:
        where = (integrations.c.org_id == org, integrations.c.kind == kind)
        db.execute(update(integrations).where(*where).values(**values))


def look(database: Database, *, by_org: bool = False) -> Installation:
    return database.write_here(lambda db: read_installation(db, by_org=by_org))


def key(pushed: Pushed) -> tuple[str, str]:
    return pushed.kind, pushed.state


def test_an_empty_installation_has_nothing_to_tell(database: Database) -> None:
    assert look(database, by_org=True) == Installation(open_journals=0, pushed=[], pushed_by_org=[])


@pytest.fixture
def three(database: Database) -> Database:
    """Three organisations: one is served, one's receivers fail, one is new."""

    def make(db: Connection) -> None:
        acme, other, new = (make_org(db, name) for name in ("acme", "other", "new"))
        put(db, acme, "prom", state="ok", last_success_us=NOON_US + 9)
        put(db, acme, "loki", state="ok", last_success_us=NOON_US + 7, cursor_seq=4, too_old=3)
        put(db, other, "prom", state="refused", last_error="401 no", dropped=1)
        put(db, other, "loki", state="ok", last_success_us=NOON_US + 5, cursor_seq=10, dropped=2, too_old=4)
        put(db, new, "loki")
        db.execute(insert(org_totals).values([{"org_id": acme, "seq": 6}, {"org_id": other, "seq": 20}]))

    database.write_here(make)
    return database


def test_receivers_are_counted_by_kind_and_state_with_the_one_that_lags_most(three: Database) -> None:
    found = look(three)
    assert sorted(found.pushed, key=key) == [
        Pushed(kind="loki", state="new", count=1, since_us=None, behind_rows=0, refused=0, too_old=0),
        Pushed(kind="loki", state="ok", count=2, since_us=NOON_US + 5, behind_rows=12, refused=2, too_old=7),
        Pushed(kind="prom", state="ok", since_us=NOON_US + 9, behind_rows=0, refused=0, too_old=0),
        Pushed(kind="prom", state="refused", since_us=NOON_US, behind_rows=0, refused=1, too_old=0),
    ]
    assert found.pushed_by_org == ()


def test_names_are_read_only_if_they_are_asked_for_those_that_lag_most_first(three: Database) -> None:
    told = [(each.org, each.kind, each.behind_rows) for each in look(three, by_org=True).pushed_by_org]
    assert told[0] == ("other", "prom", 0)
    assert told[-1] == ("new", "loki", 0)
    assert told[1:-1] == [("other", "loki", 10), ("acme", "loki", 2), ("acme", "prom", 0)]


def test_so_many_receivers_are_told_apart_and_no_more(database: Database) -> None:
    def make(db: Connection) -> None:
        org = make_org(db)
        put(db, org, "loki", last_success_us=NOON_US)
        row = {"user": "1", "token_sealed": "s", "token_masked": "m", "endpoint": "e", "modified_us": NOON_US}
        rows = [
            {"org_id": str(make_org(db, f"org-{n}")), "kind": "prom", "cursor_seq": 0, **row}
            for n in range(3)
        ]
        db.execute(insert(integrations), rows)

    database.write_here(make)
    statements = []

    def seen(*call: object) -> None:
        statements.append((str(call[2]), call[3]))

    event.listen(database._engine, "before_cursor_execute", seen)  # noqa: SLF001 - the driver's end
    assert len(look(database, by_org=True).pushed_by_org) == 4
    (bounded,) = [values for text, values in statements if "LIMIT" in text]
    assert str(MAX_SHOWN) in str(bounded)


def test_a_scrape_reads_no_table_that_grows_with_the_ledger(three: Database) -> None:
    statements: list[str] = []
    event.listen(
        three._engine,  # noqa: SLF001 - the driver's end
        "before_cursor_execute",
        lambda *call: statements.append(str(call[2])),
    )
    look(three, by_org=True)
    assert len([text for text in statements if "SELECT" in text.upper()]) == 4
    assert not any(
        table in text for text in statements for table in ("ledger", "series_totals", "cycle_totals")
    )


def test_journals_are_open_until_they_are_closed_or_given_up(database: Database) -> None:
    ids = [JournalId(f"journal-{n}") for n in range(4)]
    for id_ in ids:
        database.write_here(lambda db, id_=id_: register_journal(db, id_, "", NOON_US))  # type: ignore[misc]  # a bound name
    database.write_here(lambda db: close_journal(db, ids[0], NOON_US))
    database.write_here(lambda db: forfeit_journal(db, ids[1], NOON_US))
    assert look(database).open_journals == 2
