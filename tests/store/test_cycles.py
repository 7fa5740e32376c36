"""Which cycle a row is counted in, as it is stored: never two at once, and what is stored stays."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, insert, select

from tests.domain.test_cycle import SUBSCRIBED, at, cycle, moments, stored_cycles
from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL, ORG, batch, entry
from tollway.domain.cycle import Cycle, cycle_among
from tollway.domain.ids import JournalId, OrgId, new_id
from tollway.store.cycles import CountingCycles, current_cycle
from tollway.store.cycles import stored_cycles as read_cycles
from tollway.store.database import Database
from tollway.store.schema import cycle_totals, cycles
from tollway.store.usage import fold

MARCH, APRIL = cycle("2026-03-01", "2026-04-01"), cycle("2026-04-01", "2026-05-01")
QUICKLY = hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def store(db: Connection, org: OrgId, wanted: list[Cycle]) -> None:
    for one in wanted:
        db.execute(insert(cycles).values(org_id=org, start_us=one.start_us, end_us=one.end_us))


def started(database: Database, now_us: int, org: OrgId = ORG) -> int:
    return database.write_here(lambda db: CountingCycles(db).start_us(org, now_us))


def current(database: Database, now_us: int, org: OrgId = ORG) -> Cycle:
    return database.write_here(lambda db: current_cycle(db, org, now_us))


def stored(database: Database, org: OrgId = ORG) -> list[Cycle]:
    return database.write_here(lambda db: read_cycles(db, org))


def test_the_first_row_of_a_month_stores_it(database: Database) -> None:
    for now_us, known in [(NOON_US, [MARCH]), (MARCH.end_us - 1, [MARCH]), (MARCH.end_us, [MARCH, APRIL])]:
        assert started(database, now_us) == known[-1].start_us
        assert stored(database) == known


def test_asking_for_the_current_cycle_stores_nothing(database: Database) -> None:
    database.write_here(lambda db: store(db, ORG, SUBSCRIBED))
    for now_us in (NOON_US, SUBSCRIBED[0].start_us, SUBSCRIBED[1].end_us):
        assert current(database, now_us) == cycle_among(SUBSCRIBED, now_us)
    assert stored(database) == SUBSCRIBED


def test_cycles_of_another_organisation_are_nothing_to_it(database: Database) -> None:
    other = OrgId("org-2")
    database.write_here(lambda db: store(db, other, SUBSCRIBED))
    assert current(database, SUBSCRIBED[0].start_us) == MARCH
    assert started(database, SUBSCRIBED[0].start_us) == MARCH.start_us
    assert stored(database) == [MARCH]
    assert stored(database, other) == SUBSCRIBED


@QUICKLY
@given(already=stored_cycles, wanted=st.lists(moments, max_size=8))
def test_whatever_is_stored_each_moment_is_counted_in_the_one_cycle_that_holds_it(
    database: Database, already: list[Cycle], wanted: list[int]
) -> None:
    org = OrgId(new_id(NOON_US))  # examples share a database

    def work(db: Connection) -> list[int]:
        store(db, org, already)
        shown = [current_cycle(db, org, now_us) for now_us in wanted]
        started = [CountingCycles(db).start_us(org, now_us) for now_us in wanted]
        assert shown == [current_cycle(db, org, now_us) for now_us in wanted]
        assert started == [one.start_us for one in shown]
        return started

    started = database.write_here(work)
    known = stored(database, org)
    assert {one.start_us for one in known} == {*started, *(one.start_us for one in already)}
    made = [one for one in known if one not in already]
    for one, following in pairwise(known):
        if one in made:
            assert one.end_us <= following.start_us
    assert started == [cycle_among(known, now_us).start_us for now_us in wanted]


def test_rows_are_counted_on_their_side_of_a_subscriptions_start(database: Database) -> None:
    database.write_here(lambda db: store(db, ORG, SUBSCRIBED))
    ends = [at("2026-03-14T23:59:59.999999"), at("2026-03-15"), at("2026-04-14"), at("2026-05-15")]
    rows = [entry(started_us=end - 1, ended_us=end) for end in ends]
    database.write_here(lambda db: fold(db, batch(list(enumerate(rows))), NOON_US))
    counted = database.write_here(
        lambda db: db.execute(select(cycle_totals.c.cycle_start_us, cycle_totals.c.num_requests)).all()
    )
    assert sorted(map(tuple, counted)) == [
        (at("2026-03-01"), 1),
        (at("2026-03-15"), 2),
        (at("2026-05-15"), 1),
    ]


@ON_POSTGRESQL
def test_processes_that_fold_the_first_rows_of_a_month_store_it_once(database_url: str) -> None:
    processes = [Database(database_url) for _ in range(4)]

    def folded(process: Database) -> None:
        journal = JournalId(new_id(NOON_US))
        for offset, end in enumerate([NOON_US, MARCH.end_us] * 2):
            moved = partial(fold, batch=batch([(offset, entry(ended_us=end))], journal), now_us=NOON_US)
            process.write_here(moved)

    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(folded, processes))
        assert stored(processes[0]) == [MARCH, APRIL]
        counted = select(func.sum(cycle_totals.c.num_requests))
        assert processes[0].write_here(lambda db: db.execute(counted).scalar_one()) == 16
    finally:
        for process in processes:
            process.close()
