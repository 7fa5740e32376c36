"""Several processes at once on one PostgreSQL: together they are never lent more than there is."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from sqlalchemy import Connection, func, select

from tests.store.folds import behind
from tests.store.lent import HERE, THERE, Tenant, ask, make_tenant
from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL, batch, cost, entry
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Entry
from tollway.domain.limit import Kind, Leased, Pot
from tollway.store.database import Database
from tollway.store.journals import close_journal, register_journal
from tollway.store.leases import exchange
from tollway.store.schema import cycle_totals, leases
from tollway.store.usage import fold

pytestmark = ON_POSTGRESQL

PROCESSES = [JournalId(f"journal-{number}") for number in range(6)]
LIMIT = 5_003


@pytest.fixture
def acme(database: Database) -> Tenant:
    made = make_tenant(database)
    made.limit(rate_limit=300, spending_limit_hard_nano=LIMIT)
    return made


def row(acme: Tenant, nano: int) -> Entry:
    return entry(
        org_id=acme.org,
        app_id=acme.app,
        key_id=acme.key,
        cost=cost(nano, 0),
        leased=int(Leased.ORG_SPEND),
    )


def spent(acme: Tenant) -> int:
    query = select(func.coalesce(func.sum(cycle_totals.c.cost_prompt_nano), 0))
    return int(acme.database.write_here(lambda db: db.execute(query).scalar_one()))


def of_one(acme: Tenant, number: int) -> Tenant:
    """The same organisation, for orders of one thread."""
    return Tenant(acme.database, acme.org, acme.app, acme.key, number=number * 1_000_000)


def test_those_who_borrow_at_once_are_lent_the_whole_limit_and_no_more(acme: Tenant) -> None:
    pot = acme.pot(Kind.REQUESTS)

    def borrow(number: int) -> int:
        mine, random, granted = of_one(acme, number), Random(number), 0  # noqa: S311 - not a secret
        while True:
            got = mine.ask(pot, 1, PROCESSES[number], ahead=random.randrange(40), minute_us=NOON_US)
            granted += got.granted
            if not got.size:
                return granted

    with ThreadPoolExecutor(len(PROCESSES)) as threads:
        assert sum(threads.map(borrow, range(len(PROCESSES)))) == 300


def test_those_who_borrow_spend_and_return_at_once_spend_the_limit_but_for_less_than_a_call(
    acme: Tenant,
) -> None:
    pot = acme.pot(Kind.SPEND)

    def work(number: int) -> None:
        mine, random = of_one(acme, number), Random(number)  # noqa: S311 - not a secret
        journal, in_hand, offset, refused = PROCESSES[number], 0, 0, 0
        while refused < 3:
            got = mine.ask(pot, 100, journal, in_hand=in_hand, ahead=200)
            in_hand += got.granted
            if got.size:
                nano = random.randrange(1, got.size + 1)
                mine.fold(row(mine, nano), journal=journal, first=offset)
                in_hand, offset, refused = in_hand - nano, offset + 1, 0
            else:
                mine.give_back(pot, in_hand, journal)
                in_hand, refused = 0, refused + 1
        mine.give_back(pot, in_hand, journal)

    with ThreadPoolExecutor(len(PROCESSES)) as threads:
        list(threads.map(work, range(len(PROCESSES))))
    lent = select(func.coalesce(func.sum(leases.c.lent), 0))
    assert acme.database.write_here(lambda db: db.execute(lent).scalar_one()) == 0
    # Some was given back only after others were refused.
    for at in range(LIMIT):
        if not acme.ask(pot, 100, JournalId("last")).size:
            break
        acme.fold(row(acme, 100), journal=JournalId("last"), first=at)
    assert LIMIT - 100 < spent(acme) <= LIMIT


def test_an_order_waits_for_a_fold_and_sees_what_it_spent(acme: Tenant) -> None:
    spend = acme.pot(Kind.SPEND)
    made = batch([(0, row(acme, 4_000))], HERE)
    order = acme.order(ask(spend, 2_000), journal=THERE)
    left = behind(
        acme.database,
        lambda db: fold(db, made, NOON_US),
        lambda: acme.told(order).terms[0].left,
    )
    assert left == 1_003


def test_a_fold_waits_for_an_order(acme: Tenant) -> None:
    spend = acme.pot(Kind.SPEND)
    order = acme.order(ask(spend, 5_000))

    def folded() -> int:
        acme.fold(row(acme, 4_000))
        return acme.lent()[acme.org, Kind.SPEND, 0]

    left = behind(acme.database, lambda db: exchange(db, acme.org, order, {}, NOON_US), folded)
    assert left == 1_000


def test_an_order_waits_for_another_process_s(acme: Tenant) -> None:
    spend = acme.pot(Kind.SPEND)
    theirs, ours = acme.order(ask(spend, 5_000), journal=THERE), acme.order(ask(spend, 5_000))
    size = behind(
        acme.database,
        lambda db: exchange(db, acme.org, theirs, {}, NOON_US),
        lambda: acme.told(ours).terms[0].size,
    )
    assert size == 0


def test_an_order_that_is_said_again_while_it_is_carried_out_is_carried_out_once(acme: Tenant) -> None:
    spend: Pot = acme.pot(Kind.SPEND)
    order = acme.order(ask(spend, 1_000))
    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(lambda _: acme.told(order), range(6)))
    assert told == [told[0]] * 6
    assert acme.lent() == {(acme.org, Kind.SPEND, 0): 1_000}


def test_organisations_do_not_wait_for_each_other(acme: Tenant) -> None:
    other = make_tenant(acme.database, "other")
    order, others = acme.order(ask(acme.pot(Kind.SPEND), 10)), other.order(ask(other.pot(Kind.SPEND), 10))

    def meanwhile(db: Connection) -> int:
        exchange(db, acme.org, order, {}, NOON_US)
        return other.told(others).terms[0].size

    assert acme.database.write_here(meanwhile) == 10


def test_what_the_dead_had_is_lent_to_others_once(acme: Tenant) -> None:
    spend = acme.pot(Kind.SPEND)
    acme.database.write_here(lambda db: register_journal(db, HERE, "", NOON_US))
    acme.ask(spend, 5_000)

    def close(_: object) -> int:
        acme.database.write_here(lambda db: close_journal(db, HERE, NOON_US))
        return 0

    def borrow(number: int) -> int:
        mine, granted = of_one(acme, number + 1), 0
        for _ in range(10):
            granted += mine.ask(spend, 500, PROCESSES[number + 2], in_hand=0).granted
        return granted

    with ThreadPoolExecutor(6) as threads:
        closing = [threads.submit(close, None) for _ in range(2)]
        borrowed = sum(threads.map(borrow, range(4)))
        assert [each.result() for each in closing] == [0, 0]
    assert borrowed <= LIMIT
    assert acme.ask(spend, LIMIT + 1, PROCESSES[0]).left == LIMIT - borrowed
