"""Leases of processes that are gone: what comes back, and what stays away."""

from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from sqlalchemy import Connection, Table, func, select

from tests.store.lent import HERE, THERE, Tenant, ask, make_tenant
from tests.world.clock import NOON_US
from tests.world.entries import entry, lost
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import AppId, JournalId, KeyId
from tollway.domain.ledger import Entry
from tollway.domain.limit import MINUTE_US, Kind, Leased, Level, Pot
from tollway.store.database import Database
from tollway.store.journals import close_journal, forfeit_journal, register_journal
from tollway.store.leases import forget_minutes, return_leases
from tollway.store.schema import exchanges, leases

S = US_PER_S


@pytest.fixture
def acme(database: Database) -> Tenant:
    """1,000 nano-dollars, 200 requests and 1,000 tokens, shared by two processes."""
    made = make_tenant(database)
    made.limit(spending_limit_hard_nano=1_000, tokens_per_minute=1_000)
    for journal in (HERE, THERE):
        database.write_here(partial(register_journal, journal=journal, place="", now_us=NOON_US))
    return made


def close(db: Connection, journal: JournalId, now_us: int) -> None:
    close_journal(db, journal, now_us)


def forfeit(db: Connection, journal: JournalId, now_us: int) -> None:
    assert forfeit_journal(db, journal, now_us)


End = Callable[[Connection, JournalId, int], None]
each_end = pytest.mark.parametrize("end", [close, forfeit, return_leases])


def gone(acme: Tenant, end: End = close, journal: JournalId = HERE, now_us: int = NOON_US) -> None:
    acme.database.write_here(lambda db: end(db, journal, now_us))


def rows(acme: Tenant, table: Table) -> int:
    query = select(func.count()).select_from(table)
    return acme.database.write_here(lambda db: db.execute(query).scalar_one())


def call(acme: Tenant, started_us: int, ended_us: int, **changes: object) -> Entry:
    """31 tokens."""
    made = entry(org_id=acme.org, app_id=acme.app, key_id=acme.key, started_us=started_us, ended_us=ended_us)
    return msgspec.structs.replace(made, **changes)


@each_end
def test_what_a_process_had_comes_back_when_it_is_gone(acme: Tenant, end: End) -> None:
    spend = acme.pot(Kind.SPEND)
    acme.ask(spend, 600)
    acme.ask(spend, 400, THERE)
    gone(acme, end)
    assert acme.lent() == {}
    assert acme.lent(THERE) == {(acme.org, Kind.SPEND, 0): 400}
    assert acme.ask(spend, 600, THERE).size == 600


@each_end
def test_what_its_rows_cost_stays_spent(acme: Tenant, end: End) -> None:
    spend = acme.pot(Kind.SPEND)
    acme.ask(spend, 600)
    ended = call(acme, NOON_US, NOON_US, leased=Leased.ORG_SPEND)
    acme.limit(spending_limit_hard_nano=42_400 + 600)
    acme.fold(ended)
    gone(acme, end)
    assert acme.ask(spend, 601, THERE).left == 600


def test_a_call_that_died_with_it_holds_its_worst_case(acme: Tenant) -> None:
    spend = acme.pot(Kind.SPEND)
    acme.ask(spend, 600)
    died = msgspec.structs.replace(lost(call(acme, NOON_US, NOON_US), held=250), leased=int(Leased.ORG_SPEND))
    acme.fold(died)
    assert acme.lent() == {(acme.org, Kind.SPEND, 0): 350}
    gone(acme)
    assert acme.ask(spend, 751, THERE).left == 750


def test_a_debt_of_the_dead_goes_with_them(acme: Tenant) -> None:
    acme.limit(spending_limit_hard_nano=50_000)
    acme.ask(acme.pot(Kind.SPEND), 100)
    acme.fold(call(acme, NOON_US, NOON_US, leased=Leased.ORG_SPEND))
    assert acme.lent()[acme.org, Kind.SPEND, 0] < 0
    gone(acme)
    assert acme.lent() == {}
    assert acme.ask(acme.pot(Kind.SPEND), 50_000, THERE).left == 50_000 - 42_400


def test_its_answers_are_forgotten(acme: Tenant) -> None:
    acme.ask(acme.pot(Kind.SPEND), 1)
    acme.ask(acme.pot(Kind.SPEND), 1, THERE)
    assert rows(acme, exchanges) == 2
    gone(acme)
    assert rows(acme, exchanges) == 1


def test_a_journal_that_this_database_lacks_some_of_returns_nothing(acme: Tenant) -> None:
    acme.ask(acme.pot(Kind.SPEND), 600)
    acme.database.write_here(lambda db: close_journal(db, HERE, NOON_US, folded_to=1))
    assert acme.lent() == {(acme.org, Kind.SPEND, 0): 600}


@pytest.mark.parametrize("end", [close, forfeit])
def test_who_is_taken_for_dead_is_lent_nothing_any_more(acme: Tenant, end: End) -> None:
    order = acme.order(ask(acme.pot(Kind.SPEND), 600))
    acme.told(order)
    gone(acme, end)
    for late in (order, acme.order(ask(acme.pot(Kind.SPEND), 1))):
        with pytest.raises(StoreUnavailable, match="closed"):
            acme.told(late)
    assert acme.lent() == {}


def test_a_journal_is_forfeited_once(acme: Tenant) -> None:
    gone(acme, forfeit)
    assert not acme.database.write_here(lambda db: forfeit_journal(db, HERE, NOON_US))


class TestMinutes:
    """Of a clock minute that is not over, what calls may have used stays away."""

    def lend(self, acme: Tenant, kind: Kind, level: Level = Level.ORG, amount: int = 100) -> Pot:
        pot = acme.pot(kind, level)
        acme.ask(pot, amount, minute_us=NOON_US)
        return pot

    @pytest.mark.parametrize(
        ("started_us", "ended_us", "is_counted"),
        [
            (NOON_US, NOON_US + 1, True),
            (NOON_US + MINUTE_US - 1, NOON_US + MINUTE_US - 1, True),
            (NOON_US - 5 * S, NOON_US, True),  # reserved after it was received, perhaps
            (NOON_US - 5 * S, NOON_US - 1, False),
            (NOON_US + MINUTE_US, NOON_US + MINUTE_US + 1, False),
        ],
    )
    @pytest.mark.parametrize(("kind", "used"), [(Kind.REQUESTS, 1), (Kind.TOKENS, 31)])
    def test_those_that_ran_in_it_count(
        self, acme: Tenant, started_us: int, ended_us: int, is_counted: bool, kind: Kind, used: int
    ) -> None:
        self.lend(acme, kind)
        acme.fold(call(acme, started_us, ended_us))
        gone(acme, now_us=NOON_US + 30 * S)
        left = {(acme.org, kind, NOON_US): used} if is_counted else {}
        assert acme.lent() == left

    def test_never_more_than_was_lent(self, acme: Tenant) -> None:
        self.lend(acme, Kind.REQUESTS, amount=2)
        acme.fold(*(call(acme, NOON_US, NOON_US + 1) for _ in range(5)))
        gone(acme)
        assert acme.lent() == {(acme.org, Kind.REQUESTS, NOON_US): 2}

    def test_what_was_held_for_a_call_that_died_counts(self, acme: Tenant) -> None:
        self.lend(acme, Kind.TOKENS)
        died = msgspec.structs.replace(lost(call(acme, NOON_US, NOON_US + 1)), held_tokens=70)
        acme.fold(died)
        gone(acme)
        assert acme.lent() == {(acme.org, Kind.TOKENS, NOON_US): 70}

    def test_a_late_end_is_no_second_call(self, acme: Tenant) -> None:
        self.lend(acme, Kind.REQUESTS)
        ended = call(acme, NOON_US, NOON_US + 1)
        acme.fold(lost(ended))
        acme.fold(ended, first=1)
        gone(acme)
        assert acme.lent() == {(acme.org, Kind.REQUESTS, NOON_US): 1}

    def test_calls_of_other_processes_do_not_count(self, acme: Tenant) -> None:
        self.lend(acme, Kind.REQUESTS)
        acme.fold(call(acme, NOON_US, NOON_US + 1), journal=THERE)
        gone(acme)
        assert acme.lent() == {}

    @pytest.mark.parametrize("level", [Level.APP, Level.KEY])
    def test_an_app_and_a_key_used_what_their_own_calls_did(self, acme: Tenant, level: Level) -> None:
        acme.limit_app(rate_limit=200)
        acme.limit_key(rate_limit=200)
        pot = self.lend(acme, Kind.REQUESTS, level)
        self.lend(acme, Kind.REQUESTS)
        others = call(acme, NOON_US, NOON_US, app_id=AppId("another"), key_id=KeyId("another"))
        acme.fold(call(acme, NOON_US, NOON_US), others, call(acme, NOON_US, NOON_US))
        gone(acme)
        assert acme.lent() == {(pot.id, pot.kind, NOON_US): 2, (acme.org, pot.kind, NOON_US): 3}

    def test_calls_of_other_organisations_do_not_count(self, acme: Tenant) -> None:
        other = make_tenant(acme.database, "other")
        self.lend(acme, Kind.REQUESTS)
        acme.fold(call(other, NOON_US, NOON_US), call(other, NOON_US, NOON_US))
        gone(acme)
        assert acme.lent() == {}

    def test_of_a_minute_that_is_over_nothing_stays(self, acme: Tenant) -> None:
        self.lend(acme, Kind.REQUESTS)
        acme.fold(call(acme, NOON_US, NOON_US + 1))
        gone(acme, now_us=NOON_US + MINUTE_US)
        assert rows(acme, leases) == 0

    def test_what_comes_back_is_lent_to_others(self, acme: Tenant) -> None:
        pot = self.lend(acme, Kind.REQUESTS, amount=200)
        acme.fold(*(call(acme, NOON_US, NOON_US + 1) for _ in range(3)))
        assert acme.ask(pot, 1, THERE, minute_us=NOON_US).size == 0
        gone(acme)
        assert acme.ask(pot, 198, THERE, minute_us=NOON_US).left == 197
        assert acme.ask(pot, 197, THERE, minute_us=NOON_US).size == 197


def test_minutes_that_are_over_are_forgotten_and_nothing_else_is(acme: Tenant) -> None:
    asks = [ask(acme.pot(Kind.REQUESTS), 1, minute_us=NOON_US + at * MINUTE_US) for at in range(3)]
    acme.told(acme.order(*asks, ask(acme.pot(Kind.SPEND), 5)))
    acme.database.write_here(lambda db: forget_minutes(db, NOON_US + 2 * MINUTE_US))
    assert set(acme.lent()) == {
        (acme.org, Kind.SPEND, 0),
        (acme.org, Kind.REQUESTS, NOON_US + MINUTE_US),
        (acme.org, Kind.REQUESTS, NOON_US + 2 * MINUTE_US),
    }
