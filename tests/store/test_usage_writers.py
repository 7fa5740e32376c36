"""Several that fold at once: no deadlock, no gap, no double; on PostgreSQL, where they can."""

import random
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from tests.store.folds import OTHER_JOURNAL, behind, check, folded, moved, numbered, totals
from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL, batch, entry, lost
from tollway.domain.ids import JournalId, OrgId
from tollway.domain.price import compile_price
from tollway.store.database import Database
from tollway.store.prices import keep_prices, read_prices
from tollway.store.schema import org_totals
from tollway.store.usage import fold


@ON_POSTGRESQL
def test_journals_folded_at_once_make_no_deadlock_no_gap_and_no_double(database: Database) -> None:
    orgs = [OrgId(f"org-{number}") for number in range(4)]
    shared = [entry(org_id=org) for org in orgs for _ in range(3)]
    prices = [compile_price(f"list/{number}", {}) for number in range(5)]

    def fold_journal(number: int) -> int:
        order = random.Random(number)  # noqa: S311 - not a secret
        own = [entry(org_id=org) for org in orgs for _ in range(15)]
        records = numbered(order.sample([*own, *shared], len(own) + len(shared)))
        journal = JournalId(f"journal {number}")
        order.shuffle(prices)
        parts = [records[at : at + 4] for at in range(0, len(records), 4)]
        return [moved(database, batch(part, journal, prices)) for part in parts][-1]

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(fold_journal, range(3))) == [72] * 3
    for org in orgs:
        rows = check(database, org)
        assert len(rows) == 48
        assert len({row.request_id for row in rows}) == 48


@ON_POSTGRESQL
def test_one_journal_that_two_fold_at_once_is_folded_once(database: Database) -> None:
    records = numbered(entry() for _ in range(12))
    parts = [records[at : at + 3] for at in range(0, 12, 3)]

    def fold_all(_: int) -> int:
        return [folded(database, part) for part in parts][-1]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(fold_all, range(4))) == [12] * 4
    assert check(database) == [each for _, each in records]


@ON_POSTGRESQL
def test_a_late_end_that_several_journals_hold_is_one_correction_when_all_are_folded_at_once(
    database: Database,
) -> None:
    ends = [entry() for _ in range(6)]
    folded(database, numbered(lost(end) for end in ends))

    def fold_journal(number: int) -> int:
        order = random.Random(number)  # noqa: S311 - not a secret
        records = numbered(order.sample(ends, len(ends)))
        return [folded(database, [record], JournalId(f"journal {number}")) for record in records][-1]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(fold_journal, range(4))) == [6] * 4
    assert len(check(database)) == 12
    assert totals(database)["2026-03", "held_nano"] == 0


@ON_POSTGRESQL
def test_a_fold_locks_organisations_in_one_order_so_that_none_waits_for_another_in_a_ring(
    database: Database,
) -> None:
    orgs = [OrgId(f"org-{number}") for number in range(9)]
    records = numbered(entry(org_id=org) for org in reversed(orgs))
    folded(database, records)
    first = select(org_totals).where(org_totals.c.org_id == orgs[0]).with_for_update()
    others = select(org_totals).where(org_totals.c.org_id != orgs[0]).with_for_update(nowait=True)

    def all_others_are_free() -> None:
        assert len(database.write_here(lambda db: db.execute(others).all())) == 8

    assert behind(
        database,
        lambda db: db.execute(first).one(),
        lambda: folded(database, records, OTHER_JOURNAL),
        all_others_are_free,
    ) == len(records)


@ON_POSTGRESQL
def test_a_journal_that_two_find_missing_at_once_is_folded_by_both_and_once(database: Database) -> None:
    records = numbered(entry() for _ in range(5))
    end = behind(
        database,
        lambda db: fold(db, batch(records[:3]), NOON_US),
        lambda: folded(database, records),
    )
    assert end == 5
    assert check(database) == [each for _, each in records]
    # One that comes late does not set it back.
    records += numbered((entry() for _ in range(2)), first=5)
    assert (
        behind(database, lambda db: fold(db, batch(records), NOON_US), lambda: folded(database, records[:6]))
        == 7
    )


@ON_POSTGRESQL
def test_a_price_that_two_store_at_once_is_stored_once(database: Database) -> None:
    price = compile_price("list/1", {})
    wanted = batch([(0, entry())], prices=[price])
    behind(database, lambda db: keep_prices(db, [price], NOON_US), lambda: moved(database, wanted))
    assert database.write_here(lambda db: read_prices(db, [price.version])) == {price.version: price}
    assert len(check(database)) == 1
