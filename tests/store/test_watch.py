"""What a transaction changed, whoever wrote its statements."""

import pytest
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from tests.world.clock import NOON_US
from tests.world.entries import make_app, make_org
from tollway.store.database import Database
from tollway.store.integrations import Integration, put_integration
from tollway.store.schema import apps, members, orgs, users
from tollway.store.sign_in_schema import user_tokens
from tollway.store.watch import watching


def receiver(user: str) -> Integration:
    return Integration(
        kind="prom", user=user, endpoint="https://p.example.com", token_sealed=user, token_masked="••••"
    )


def test_a_row_that_is_replaced_is_seen_before_and_after(database: Database) -> None:
    org = database.write_here(make_org)

    def put(db: Connection) -> None:
        put_integration(db, org, receiver("one"), NOON_US)
        with watching(db) as watch:
            put_integration(db, org, receiver("two"), NOON_US + 1)
        (change,) = watch.changes()
        key = {"org_id": org, "kind": "prom"}
        assert change.shown(change.before) == {**key, "user": "one", "token_sealed": "••••"}
        assert change.shown(change.after) == {**key, "user": "two", "token_sealed": "••••"}
        assert (change.org, change.target) == (org, "prom")

    database.write_here(put)


def test_many_rows_at_once_are_each_seen(database: Database) -> None:
    org = database.write_here(make_org)
    ids = database.write_here(lambda db: [make_app(db, org, slug) for slug in ("one", "two")])

    def change(db: Connection) -> None:
        with watching(db) as watch:
            db.execute(update(apps).where(apps.c.org_id == org).values(rate_limit=3))
            db.execute(update(apps).where(apps.c.id == ids[0]).values(rate_limit=4))
            db.execute(delete(apps).where(apps.c.id == ids[1]))
        first, second = watch.changes()
        assert (first.shown(first.before), first.shown(first.after)) == (
            {"id": ids[0], "rate_limit": None},
            {"id": ids[0], "rate_limit": 4},
        )
        assert second.before is not None
        assert (second.before["slug"], second.after) == ("two", None)

    database.write_here(change)


def test_rows_inserted_together_are_each_seen(database: Database) -> None:
    org = database.write_here(make_org)
    rows = [{"id": name, "email": f"{name}@example.com", "name": name, "added_us": 1} for name in "ab"]

    def add(db: Connection) -> None:
        with watching(db) as watch:
            db.execute(insert(users), rows)
            for row in rows:
                values = {"org_id": org, "user_id": row["id"], "permissions": "", "added_us": 1}
                db.execute(insert(members), values)
        assert [change.target for change in watch.changes()] == ["a", "b", "a", "b"]
        assert [change.org for change in watch.changes()] == [None, None, org, org]

    database.write_here(add)


def test_a_statement_that_fails_is_no_change(database: Database) -> None:
    org = database.write_here(make_org)
    taken = {"id": "another", "email": "acme@example.com", "name": "", "added_us": 1}

    def add(db: Connection) -> None:
        with watching(db) as watch:
            with pytest.raises(IntegrityError), db.begin_nested():
                db.execute(insert(users).values(taken))
            assert watch.changes() == []
            db.execute(update(orgs).where(orgs.c.id == org).values(address_city="Ghent"))
        (change,) = watch.changes()
        assert change.shown(change.after) == {"id": org, "address_city": "Ghent"}
        db.execute(update(orgs).where(orgs.c.id == org).values(address_city="Bruges"))
        assert len(watch.changes()) == 1

    database.write_here(add)


def test_that_a_token_was_used_is_no_change(database: Database) -> None:
    database.write_here(make_org)

    def use(db: Connection) -> None:
        token = db.execute(select(user_tokens.c.id)).scalar_one()
        with watching(db) as watch:
            db.execute(update(user_tokens).values(last_used_us=1))
            db.execute(update(user_tokens).where(user_tokens.c.id == "none").values(name="none"))
        assert watch.changes() == []
        with watching(db) as watch:
            db.execute(update(user_tokens).values(last_used_us=2, name="mine"))
        (change,) = watch.changes()
        assert (change.target, change.user is not None) == (token, True)

    database.write_here(use)
