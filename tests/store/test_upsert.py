"""Inserts that meet a row which is there already, in both dialects."""

from sqlalchemy import Connection, select

from tollway.store.database import Database
from tollway.store.schema import alerts, leases, price_list
from tollway.store.upsert import Upsert, adding, keeping, replacing


def executed(database: Database, upsert: Upsert, *rows: dict[str, object]) -> None:
    database.write_here(lambda db: db.execute(upsert[db.dialect.name], rows))


def lease(lent: int, **other: object) -> dict[str, object]:
    named = {"org_id": "org-1", "spender_id": "app-1", "kind": "spend", "minute_us": 0, "journal_id": "one"}
    return {**named, "lent": lent, **other}


def lent(database: Database) -> list[tuple[str, int]]:
    def work(db: Connection) -> list[tuple[str, int]]:
        query = select(leases.c.journal_id, leases.c.lent).order_by(leases.c.journal_id)
        return [(row.journal_id, row.lent) for row in db.execute(query)]

    return database.write_here(work)


def test_what_is_kept_stays_as_it_was_first(database: Database) -> None:
    executed(database, keeping(leases), lease(5))
    executed(database, keeping(leases), lease(7), lease(8, journal_id="two"))
    assert lent(database) == [("one", 5), ("two", 8)]


def test_what_is_added_to_is_summed_for_each_key_also_within_one_statement(database: Database) -> None:
    executed(database, adding(leases), lease(5), lease(-7), lease(1, journal_id="two"))
    executed(database, adding(leases), lease(2**53), lease(0, journal_id="two"))
    assert lent(database) == [("one", 2**53 - 2), ("two", 1)]


def test_what_is_replaced_gets_every_value_of_the_new_row(database: Database) -> None:
    first = {"model": "small", "effective_us": 1, "dollars": {"input": "1"}, "added_us": 1}
    later = {**first, "effective_us": 2}
    changed = {**first, "dollars": {"output": "2"}, "added_us": 3}
    executed(database, replacing(price_list), first, later)
    executed(database, replacing(price_list), changed)
    rows = database.write_here(
        lambda db: db.execute(select(price_list).order_by(price_list.c.effective_us)).mappings().all()
    )
    assert [dict(row) for row in rows] == [changed, later]


def test_only_a_row_that_was_not_there_is_returned(database: Database) -> None:
    first = {name: insert.returning(alerts.c.kind) for name, insert in keeping(alerts).items()}
    row = {"org_id": "org-1", "cycle_start_us": 0, "kind": "soft", "raised_us": 1}

    def returned(db: Connection) -> list[str]:
        return list(db.execute(first[db.dialect.name], row).scalars())

    assert [database.write_here(returned) for _ in range(3)] == [["soft"], [], []]
