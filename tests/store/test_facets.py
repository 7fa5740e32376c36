"""What the fold writes beside rows: by what they are found, and what their hours came to."""

from typing import Any

from sqlalchemy import Connection, select, text

from tests.store.folds import folded, numbered, stored
from tests.world.clock import NOON_US
from tests.world.entries import ORG, cost, entry, lost
from tollway.domain.ids import AppId
from tollway.store.database import Database
from tollway.store.log_schema import log_facets, usage_hours
from tollway.store.migrate import upgrade

HOUR_US = 3_600_000_000


def rows(database: Database, table: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a table
    query = select(table).order_by(*table.primary_key.columns)
    return database.write_here(lambda db: [dict(row) for row in db.execute(query).mappings()])


def facets(database: Database) -> list[tuple[str, str, int]]:
    return [(row["facet"], row["value"], row["seq"]) for row in rows(database, log_facets)]


def hours(database: Database) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    return {tuple(row.values())[1:7]: tuple(row.values())[7:] for row in rows(database, usage_hours)}


def test_a_row_without_labels_has_no_facets_and_one_sum(database: Database) -> None:
    folded(database, numbered([entry(), entry(benchmark=cost(2_400, 50_000))]))
    assert facets(database) == []
    assert hours(database) == {
        ("", NOON_US, "", "app-1", "key-1", "demo/small"): (2, 62, 84_800, 10_000, 2, 2_000_000)
    }


def test_labels_and_end_users_find_their_rows_and_have_sums_of_their_own(database: Database) -> None:
    entries = [
        entry(labels={"team": "a", "stage": "x"}),
        entry(labels={"team": "a"}, end_user="ann", ended_us=NOON_US + HOUR_US),
        entry(labels={"team": "a"}, app_id=AppId("app-2")),
    ]
    folded(database, numbered(entries))
    assert facets(database) == [
        ("label:stage", "x", 1),
        ("label:team", "a", 1),
        ("label:team", "a", 3),
        ("label:team", "a", 2),
        ("user", "ann", 2),
    ]
    found = {key[:4]: value[0] for key, value in hours(database).items() if key[0]}
    assert found == {
        ("label:stage", NOON_US, "x", "app-1"): 1,
        ("label:team", NOON_US, "a", "app-1"): 1,
        ("label:team", NOON_US, "a", "app-2"): 1,
        ("label:team", NOON_US + HOUR_US, "a", "app-1"): 1,
        ("user", NOON_US + HOUR_US, "ann", "app-1"): 1,
    }


def test_a_private_row_is_marked_so_and_counted(database: Database) -> None:
    folded(database, numbered([entry(is_private=True)]))
    assert facets(database) == [("hidden", "", 1)]
    assert [key[0] for key in hours(database)] == [""]


def test_a_late_end_adds_what_it_cost_and_no_request(database: Database) -> None:
    ended = entry(labels={"team": "a"})
    folded(database, numbered([lost(ended), ended]))
    assert facets(database) == [("label:team", "a", 1)]
    assert list(hours(database).values()) == [(1, 31, 42_400, 0, 0, 0)] * 2


def test_what_is_folded_again_is_told_once(database: Database) -> None:
    records = numbered([entry(labels={"team": "a"})])
    folded(database, records)
    before = facets(database), hours(database)
    folded(database, [(1, records[0][1])])
    assert (facets(database), hours(database)) == before


def test_the_migration_tells_of_rows_that_were_there_before(database: Database) -> None:
    ended = entry(labels={"team": "a"}, end_user="ann")
    entries = [
        entry(),
        lost(ended),
        ended,
        entry(benchmark=cost(1, 2), ended_us=NOON_US + HOUR_US, labels={"team": "b"}),
        entry(started_us=NOON_US + 5),
    ]
    folded(database, numbered(entries))
    wanted = facets(database), hours(database)
    assert len(stored(database, ORG)) == 5
    database.write_here(as_before)
    database.write_here(lambda db: upgrade(db, "0007"))
    assert (facets(database), hours(database)) == wanted


def as_before(db: Connection) -> None:
    """The schema without what the migration adds."""
    for name in ("log_facets", "log_ratings", "usage_hours"):
        db.execute(text(f"DROP TABLE {name}"))
    for name in ("ix_ledger_org_id_app_id_ended_us", "ix_bodies_org_id_written_us"):
        db.execute(text(f"DROP INDEX {name}"))
    db.execute(text("ALTER TABLE orgs DROP COLUMN body_days"))
    db.execute(text("UPDATE alembic_version SET version_num = '0006'"))
