"""Orders for leases: what is lent of a limit, to whom, and what rows take from it."""

from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from tests.store.lent import HERE, THERE, Tenant, ask, make_tenant
from tests.world.clock import NOON_US
from tests.world.entries import cost, entry, lost
from tollway.domain.clock import US_PER_S, month_start_us, next_month_start_us
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Entry
from tollway.domain.limit import MINUTE_US, Kind, Leased, Level, Pot
from tollway.domain.money import Nano
from tollway.domain.org import AlertKind
from tollway.domain.plan import Plan
from tollway.domain.usage import Unit
from tollway.store.alerts import raised_alerts
from tollway.store.database import Database
from tollway.store.grants import add_grant
from tollway.store.journals import close_journal, forfeit_journal, register_journal
from tollway.store.outbox_schema import outbox

EVERY = Leased.ORG_SPEND | Leased.APP_SPEND | Leased.KEY_SPEND | Leased.PLAN | Leased.TRIAL
APRIL_US = next_month_start_us(NOON_US)


@pytest.fixture
def acme(database: Database) -> Tenant:
    return make_tenant(database)


@pytest.fixture
def spend(acme: Tenant) -> Pot:
    """A hard limit of 1,000 nano-dollars."""
    acme.limit(spending_limit_hard_nano=1_000)
    return acme.pot(Kind.SPEND)


def row(acme: Tenant, nano: int, tokens: int = 0, **changes: Any) -> Entry:  # noqa: ANN401 - any of its fields
    """A call that cost this much; taken from every lease, unless it says otherwise."""
    plain = entry(
        org_id=acme.org,
        app_id=acme.app,
        key_id=acme.key,
        cost=cost(nano // 2, nano - nano // 2),
        units={Unit.INPUT: tokens // 2, Unit.OUTPUT: tokens - tokens // 2},
        leased=EVERY,
        funding="trial",
    )
    return msgspec.structs.replace(plain, **changes)


def limit_all(acme: Tenant, most: int) -> None:
    """A plan of so many tokens, a trial of so many nano-dollars, and as many to spend at each level."""
    acme.plans = {"_TRIAL_": Plan(max_tokens=most)}
    acme.limit(subscription_tier="_TRIAL_", spending_limit_hard_nano=most)
    acme.limit_app(spending_limit_nano=most)
    acme.limit_key(spending_limit_nano=most)
    acme.database.write_here(lambda db: add_grant(db, acme.org, Nano(most), "test", NOON_US))


def alerts(acme: Tenant) -> dict[AlertKind, int]:
    return acme.database.write_here(lambda db: raised_alerts(db, acme.org, month_start_us(NOON_US)))


class TestLending:
    def test_what_one_process_has_is_not_lent_to_another(self, acme: Tenant, spend: Pot) -> None:
        first = acme.ask(spend, 100, ahead=700)
        assert (first.granted, first.size, first.limit, first.elsewhere) == (212, 100, 1_000, 0)
        assert first.left == 788
        second = acme.ask(spend, 788, THERE)
        assert (second.granted, second.left, second.elsewhere) == (788, 0, 212)
        assert acme.ask(spend, 1, JournalId("journal-3")).size == 0
        assert acme.lent() == {(acme.org, Kind.SPEND, 0): 212}
        assert acme.lent(THERE) == {(acme.org, Kind.SPEND, 0): 788}

    def test_what_is_in_hand_counts_for_the_process_that_has_it(self, acme: Tenant, spend: Pot) -> None:
        assert acme.ask(spend, 600).granted == 600
        again = acme.ask(spend, 900, in_hand=600)
        assert (again.size, again.granted, again.left) == (900, 300, 100)

    def test_what_is_given_back_is_lent_again(self, acme: Tenant, spend: Pot) -> None:
        acme.ask(spend, 1_000)
        acme.give_back(spend, 400)
        assert acme.lent() == {(acme.org, Kind.SPEND, 0): 600}
        assert acme.ask(spend, 400, THERE).size == 400

    def test_without_a_limit_what_is_asked_for_is_lent_and_known(self, acme: Tenant) -> None:
        pot = acme.pot(Kind.SPEND)
        got = acme.ask(pot, 100, ahead=20)
        assert (got.granted, got.size, got.limit, got.resets_us) == (120, 100, None, None)
        acme.limit(spending_limit_hard_nano=150)
        assert acme.ask(pot, 100, THERE, least=1).size == 3  # an eighth of the 30 that are left

    def test_a_limit_that_was_lowered_lends_nothing(self, acme: Tenant, spend: Pot) -> None:
        acme.ask(spend, 500)
        acme.limit(spending_limit_hard_nano=100)
        refused = acme.ask(spend, 1, THERE)
        assert (refused.size, refused.left) == (0, -400)
        assert acme.ask(spend, 501, in_hand=500).granted == 0

    @pytest.mark.parametrize("level", Level)
    @pytest.mark.parametrize("kind", [Kind.REQUESTS, Kind.TOKENS, Kind.SPEND])
    def test_every_level_has_pots_of_its_own(self, acme: Tenant, level: Level, kind: Kind) -> None:
        names = {
            Kind.REQUESTS: "rate_limit",
            Kind.TOKENS: "tokens_per_minute",
            Kind.SPEND: "spending_limit_hard_nano" if level is Level.ORG else "spending_limit_nano",
        }
        limit = {Level.ORG: acme.limit, Level.APP: acme.limit_app, Level.KEY: acme.limit_key}[level]
        limit(**{names[kind]: 7})
        for each in Level:
            minute_us = NOON_US if kind.is_of_a_minute else 0
            got = acme.ask(acme.pot(kind, each), 8, minute_us=minute_us)
            default = 200 if (each, kind) == (Level.ORG, Kind.REQUESTS) else None
            assert got.limit == (7 if each is level else default)
            assert got.size == (0 if each is level else 8)

    def test_a_minute_has_a_pot_of_its_own(self, acme: Tenant) -> None:
        pot, next_us = acme.pot(Kind.REQUESTS), NOON_US + MINUTE_US
        for minute_us in (NOON_US, next_us):
            got = acme.ask(pot, 200, minute_us=minute_us)
            assert (got.size, got.left, got.resets_us) == (200, 0, minute_us + MINUTE_US)
            assert acme.ask(pot, 1, minute_us=minute_us).size == 0
        assert set(acme.lent()) == {(acme.org, Kind.REQUESTS, at) for at in (NOON_US, next_us)}

    def test_one_order_asks_for_several_pots_and_is_answered_in_its_order(self, acme: Tenant) -> None:
        acme.limit(spending_limit_hard_nano=50)
        acme.limit_key(spending_limit_nano=30)
        pots = [acme.pot(Kind.SPEND, Level.KEY), acme.pot(Kind.REQUESTS), acme.pot(Kind.SPEND)]
        asks = [ask(pot, 40, minute_us=NOON_US * pot.kind.is_of_a_minute) for pot in pots]
        terms = acme.told(acme.order(*asks)).terms
        assert [(term.limit, term.size) for term in terms] == [(30, 0), (200, 40), (50, 40)]

    def test_another_organisation_s_leases_are_its_own(self, acme: Tenant, spend: Pot) -> None:
        other = make_tenant(acme.database, "other")
        other.limit(spending_limit_hard_nano=1_000)
        assert other.ask(other.pot(Kind.SPEND), 1_000).size == 1_000
        assert acme.ask(spend, 1_000).size == 1_000

    def test_processes_that_live_are_counted_and_numbered(self, acme: Tenant, spend: Pot) -> None:
        def told(journal: JournalId) -> tuple[int, int]:
            terms = acme.told(acme.order(ask(spend, 1), journal=journal))
            return terms.processes, terms.rank

        journals = [JournalId(f"journal-{number}") for number in range(4)]
        assert told(journals[0]) == (1, 0)  # not even itself
        for journal in journals:
            acme.database.write_here(partial(register_journal, journal=journal, place="", now_us=NOON_US))
        assert [told(journal) for journal in journals] == [(4, 0), (4, 1), (4, 2), (4, 3)]
        acme.database.write_here(lambda db: close_journal(db, journals[0], NOON_US))
        acme.database.write_here(lambda db: forfeit_journal(db, journals[2], NOON_US))
        assert [told(journal) for journal in (journals[1], journals[3])] == [(2, 0), (2, 1)]


class TestSaidAgain:
    def test_an_order_that_is_said_again_is_answered_again_and_not_carried_out(
        self, acme: Tenant, spend: Pot
    ) -> None:
        order = acme.order(ask(spend, 100))
        first = acme.told(order)
        acme.ask(spend, 300, THERE)
        assert [acme.told(order) for _ in range(3)] == [first] * 3
        assert acme.lent() == {(acme.org, Kind.SPEND, 0): 100}

    def test_one_that_comes_after_a_later_one_is_not_carried_out(self, acme: Tenant, spend: Pot) -> None:
        late, later = acme.order(ask(spend, 100)), acme.order(ask(spend, 10))
        acme.told(late)
        acme.told(later)
        acme.told(late)
        assert acme.lent() == {(acme.org, Kind.SPEND, 0): 110}
        assert acme.told(later).terms[0].granted == 10

    def test_numbers_are_of_one_process(self, acme: Tenant, spend: Pot) -> None:
        order = acme.order(ask(spend, 100))
        acme.told(order)
        acme.told(msgspec.structs.replace(order, journal=THERE))
        assert acme.lent(THERE) == {(acme.org, Kind.SPEND, 0): 100}


class TestSpending:
    def test_a_row_is_spent_and_so_not_lent_any_more(self, acme: Tenant, spend: Pot) -> None:
        acme.ask(spend, 600)
        acme.fold(row(acme, 250))
        assert acme.lent() == {(acme.org, Kind.SPEND, 0): 350}
        assert acme.ask(spend, 400, THERE).size == 400
        assert acme.ask(spend, 1, THERE).size == 0

    def test_it_is_taken_from_the_lease_of_the_process_that_made_it(self, acme: Tenant, spend: Pot) -> None:
        acme.ask(spend, 300)
        acme.ask(spend, 300, THERE)
        acme.fold(row(acme, 100), row(acme, 50), journal=THERE)
        assert acme.lent() == {(acme.org, Kind.SPEND, 0): 300}
        assert acme.lent(THERE) == {(acme.org, Kind.SPEND, 0): 150}

    def test_it_is_taken_from_those_leases_only_that_its_call_took_from(self, acme: Tenant) -> None:
        limit_all(acme, 1_000)
        pots = {
            Leased.ORG_SPEND: acme.pot(Kind.SPEND),
            Leased.APP_SPEND: acme.pot(Kind.SPEND, Level.APP),
            Leased.KEY_SPEND: acme.pot(Kind.SPEND, Level.KEY),
            Leased.PLAN: acme.pot(Kind.PLAN),
            Leased.TRIAL: acme.pot(Kind.TRIAL),
        }
        left = {}
        for pot in pots.values():
            left[pot.id, pot.kind, 0] = acme.ask(pot, 500).granted
        for at, (flag, pot) in enumerate(pots.items()):
            acme.fold(row(acme, 30, tokens=7, leased=flag), first=at)
            left[pot.id, pot.kind, 0] -= 7 if flag is Leased.PLAN else 30
            assert acme.lent() == left
        acme.fold(row(acme, 30, tokens=7, leased=Leased.NOTHING), first=9)
        assert acme.lent() == left

    def test_what_was_spent_before_there_was_a_limit_counts(self, acme: Tenant) -> None:
        limit_all(acme, 100)
        acme.fold(row(acme, 60, tokens=80, leased=Leased.NOTHING))
        for kind, level, left in [
            (Kind.SPEND, Level.ORG, 40),
            (Kind.SPEND, Level.APP, 40),
            (Kind.SPEND, Level.KEY, 40),
            (Kind.TRIAL, Level.ORG, 40),
            (Kind.PLAN, Level.ORG, 20),
        ]:
            assert acme.ask(acme.pot(kind, level), left + 1).size == 0
            assert acme.ask(acme.pot(kind, level), left).size == left

    def test_a_call_whose_end_is_not_known_holds_its_worst_case_until_it_is(self, acme: Tenant) -> None:
        acme.plans = {"_TRIAL_": Plan(max_tokens=1_000)}
        acme.limit(subscription_tier="_TRIAL_", spending_limit_hard_nano=1_000)
        acme.limit_app(spending_limit_nano=1_000)
        acme.database.write_here(lambda db: add_grant(db, acme.org, Nano(1_000), "test", NOON_US))
        ended = row(acme, 30, tokens=7, leased=Leased.NOTHING)
        missing = msgspec.structs.replace(lost(ended, held=400), held_tokens=300, funding="trial")
        acme.fold(missing)
        pots = [acme.pot(Kind.SPEND), acme.pot(Kind.SPEND, Level.APP), acme.pot(Kind.TRIAL)]
        assert [acme.ask(pot, 601).left for pot in pots] == [600] * 3
        assert acme.ask(acme.pot(Kind.PLAN), 701).left == 700
        acme.fold(ended, journal=THERE)
        assert [acme.ask(pot, 971).left for pot in pots] == [970] * 3
        assert acme.ask(acme.pot(Kind.PLAN), 994).left == 993

    def test_a_call_that_cost_more_than_was_lent_is_made_good_by_its_process_first(
        self, acme: Tenant, spend: Pot
    ) -> None:
        acme.ask(spend, 100)
        acme.fold(row(acme, 400))
        assert acme.lent() == {(acme.org, Kind.SPEND, 0): -300}
        assert acme.ask(spend, 601, THERE).left == 600
        back = acme.ask(spend, 600, in_hand=-300)
        assert (back.size, back.granted, back.left) == (600, 900, 0)
        assert acme.lent() == {(acme.org, Kind.SPEND, 0): 600}
        assert acme.ask(spend, 1, THERE).size == 0

    def test_the_next_cycle_begins_anew_and_leases_go_on(self, acme: Tenant, spend: Pot) -> None:
        acme.fold(row(acme, 900))
        got = acme.ask(spend, 100)
        assert (got.size, got.resets_us) == (100, APRIL_US)
        next_ = acme.ask(spend, 900, THERE, now_us=APRIL_US)
        assert (next_.size, next_.elsewhere) == (900, 100)
        assert acme.ask(spend, 1, THERE, now_us=APRIL_US).size == 0

    @pytest.mark.parametrize("level", Level)
    def test_an_order_that_was_sent_in_a_cycle_and_comes_in_the_next_sees_what_that_one_has_used(
        self, acme: Tenant, level: Level
    ) -> None:
        acme.limit(spending_limit_hard_nano=1_000)
        acme.limit_app(spending_limit_nano=1_000)
        acme.limit_key(spending_limit_nano=1_000)
        acme.fold(row(acme, 900, ended_us=APRIL_US), now_us=APRIL_US)
        pot = acme.pot(Kind.SPEND, level)
        assert acme.ask(pot, 101, now_us=APRIL_US - 1).size == 0
        assert acme.ask(pot, 100, now_us=APRIL_US - 1).size == 100

    def test_a_trial_does_not_begin_anew(self, acme: Tenant) -> None:
        acme.limit(subscription_tier="_TRIAL_")
        acme.database.write_here(lambda db: add_grant(db, acme.org, Nano(100), "test", NOON_US))
        acme.fold(row(acme, 60))
        refused = acme.ask(acme.pot(Kind.TRIAL), 41, now_us=APRIL_US)
        assert (refused.size, refused.left, refused.resets_us) == (0, 40, None)


class TestRefusing:
    def test_the_first_refusal_of_the_hard_limit_raises_its_alert_once(
        self, acme: Tenant, spend: Pot
    ) -> None:
        acme.fold(row(acme, 250))
        assert alerts(acme) == {}
        for at in range(3):
            assert acme.ask(spend, 751, now_us=NOON_US + at).size == 0
        assert alerts(acme) == {AlertKind.HARD_LIMIT: NOON_US}
        (letter,) = acme.database.write_here(lambda db: db.execute(select(outbox)).all())
        assert (letter.org_id, letter.kind) == (acme.org, "alert.hard_limit")
        assert (letter.content["limit"], letter.content["spent"]) == ("0.000001", "0.00000025")

    def test_other_refusals_raise_none(self, acme: Tenant) -> None:
        acme.limit_app(spending_limit_nano=10)
        acme.limit(subscription_tier="_TRIAL_")
        assert acme.ask(acme.pot(Kind.SPEND, Level.APP), 11).size == 0
        assert acme.ask(acme.pot(Kind.TRIAL), 1).size == 0
        assert acme.ask(acme.pot(Kind.REQUESTS), 201, minute_us=NOON_US).size == 0
        assert alerts(acme) == {}

    def test_nor_does_a_call_that_is_shortened_or_gives_back(self, acme: Tenant, spend: Pot) -> None:
        assert acme.ask(spend, 5_000, least=10).size == 125
        acme.give_back(spend, 125)
        assert alerts(acme) == {}

    def test_others_who_have_some_of_it_are_asked_for_it(self, acme: Tenant, spend: Pot) -> None:
        acme.ask(spend, 990, THERE)
        before = acme.announced()
        assert acme.ask(spend, 10).size == 10
        assert acme.announced() == before
        assert acme.ask(spend, 10).size == 0
        assert acme.announced() == before + 1

    def test_where_nobody_has_any_nobody_is_asked(self, acme: Tenant, spend: Pot) -> None:
        acme.ask(spend, 990)
        before = acme.announced()
        assert acme.ask(spend, 1_001, in_hand=990).size == 0
        assert acme.announced() == before


def test_leases_take_no_part_in_the_numbers_of_rows(acme: Tenant, spend: Pot) -> None:
    acme.ask(spend, 10)
    acme.fold(row(acme, 1), row(acme, 1))
    acme.ask(spend, 10)
    acme.fold(row(acme, 1), first=2)
    assert acme.lent(HERE) == {(acme.org, Kind.SPEND, 0): 17}
    assert NOON_US % (60 * US_PER_S) == 0
