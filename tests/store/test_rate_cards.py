"""Rate cards: one for each moment, those in force never changed, read with all that are to come."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Connection

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.errors import Conflict
from tollway.domain.ids import OrgId
from tollway.domain.rate_card import RateCard, rated
from tollway.domain.tariff import compile_tariff
from tollway.store.changes import since
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.rate_cards import (
    MAX_LISTED,
    MAX_TO_COME,
    StoredCard,
    cards_from,
    has_org,
    list_cards,
    put_card,
)

MODEL = "openai/gpt-4o"
PRICES = {MODEL: {"input": "3.00", "output": "12"}}


@pytest.fixture
def org(database: Database) -> OrgId:
    database.write_here(lambda db: identify(db, NOON_US))
    return database.write_here(make_org)


def put(
    db: Connection,
    org: OrgId,
    at_us: int = NOON_US,
    markup: str | None = "2",
    prices: dict[str, dict[str, str]] | None = None,
    now_us: int = NOON_US,
) -> StoredCard:
    return put_card(db, org, effective_us=at_us, markup=markup, prices=prices, now_us=now_us)


def cards(database: Database, org: OrgId, since_us: int = NOON_US) -> tuple[RateCard, ...]:
    return database.write_here(lambda db: cards_from(db, org, since_us))


def test_a_card_is_read_as_it_was_put_and_announced(database: Database, org: OrgId) -> None:
    made = database.write_here(partial(put, org=org, prices=PRICES))
    assert database.write_here(lambda db: list_cards(db, org)) == [made]
    (card,) = cards(database, org)
    assert (card.id, card.effective_us, str(card.markup)) == (made.id, NOON_US, "2.000000000")
    assert card.prices == {MODEL: compile_tariff("rate-card", PRICES[MODEL])}
    assert database.write_here(lambda db: since(db, 0)).org_ids == {org}


def test_a_card_without_a_markup_or_without_prices_has_none(database: Database, org: OrgId) -> None:
    made = database.write_here(partial(put, org=org, markup=None))
    assert (made.markup, made.prices) == (None, None)
    (card,) = cards(database, org)
    assert card.markup == 1
    assert card.prices == {}


def test_the_card_in_force_and_all_later_ones_are_read(database: Database, org: OrgId) -> None:
    other = database.write_here(lambda db: make_org(db, "other"))
    times = [NOON_US - 30, NOON_US - 20, NOON_US - 10, NOON_US + 10, NOON_US + 20]
    for at_us in times:
        database.write_here(partial(put, org=org, at_us=at_us, now_us=at_us))
    database.write_here(partial(put, org=other, at_us=NOON_US + 1))
    for since_us, expected in (
        (NOON_US, times[2:]),
        (times[1], times[1:]),
        (0, times),
        (times[-1] + 1, [-1]),
    ):
        read = [card.effective_us for card in cards(database, org, since_us)]
        assert read == ([times[-1]] if expected == [-1] else expected)
    assert len(cards(database, other)) == 1
    listed = database.write_here(lambda db: list_cards(db, org))
    assert [card.effective_us for card in listed] == times[::-1]


def test_a_compiled_card_is_shared(database: Database, org: OrgId) -> None:
    database.write_here(partial(put, org=org, prices=PRICES))
    (one,), (other,) = cards(database, org), cards(database, org)
    assert one is other
    price, _ = rated(compile_tariff("x", PRICES[MODEL]), MODEL, (one,), NOON_US)
    assert price is one.prices[MODEL]


def test_a_card_that_is_in_force_is_not_replaced_and_one_to_come_is(database: Database, org: OrgId) -> None:
    database.write_here(partial(put, org=org))
    with pytest.raises(Conflict) as refused:
        database.write_here(partial(put, org=org, markup="3"))
    assert refused.value.code == "rate_card_in_force"
    database.write_here(partial(put, org=org, at_us=NOON_US + 1))
    last = database.write_here(partial(put, org=org, at_us=NOON_US + 1, markup="3"))
    listed = database.write_here(lambda db: list_cards(db, org))
    assert [(card.effective_us, card.markup) for card in listed] == [(NOON_US + 1, "3"), (NOON_US, "2")]
    assert listed[0] == last


def test_the_number_of_cards_to_come_is_bounded_also_for_those_put_at_once(
    database: Database, org: OrgId
) -> None:
    for number in range(MAX_TO_COME - 1):
        database.write_here(partial(put, org=org, at_us=NOON_US + 1 + number))

    def one_more(number: int) -> str:
        try:
            database.write_here(partial(put, org=org, at_us=NOON_US + 1_000 + number))
        except Conflict as error:
            return error.code
        return "put"

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(one_more, range(4))) == ["put", *["too_many_rate_cards"] * 3]
    database.write_here(partial(put, org=org, at_us=NOON_US + 1, markup="3"))
    database.write_here(partial(put, org=org))
    assert len(cards(database, org)) == MAX_TO_COME + 1


def test_the_newest_cards_are_listed(database: Database, org: OrgId) -> None:
    for number in range(MAX_LISTED + 5):
        database.write_here(partial(put, org=org, at_us=NOON_US + number, now_us=NOON_US + number))
    listed = database.write_here(lambda db: list_cards(db, org))
    assert len(listed) == MAX_LISTED
    assert listed[0].effective_us == NOON_US + MAX_LISTED + 4
    assert len(cards(database, org, NOON_US + MAX_LISTED)) == 5


def test_an_organisation_is_there_or_not(database: Database, org: OrgId) -> None:
    assert database.write_here(lambda db: has_org(db, org))
    assert not database.write_here(lambda db: has_org(db, OrgId("nobody")))
