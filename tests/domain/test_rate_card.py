"""Which price an organisation pays: the card in force, its list before its markup, else the vendor's."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.price import cost_of, scaled, unpriced
from tollway.domain.rate_card import MAX_MARKUP, RateCard, parse_markup, price_faults, rate_card, rated
from tollway.domain.tariff import compile_tariff
from tollway.domain.usage import Unit

MODEL = "openai/gpt-4o"
ASKED = compile_tariff("list", {"input": "2", "output": "8"})


def card(at_us: int, markup: str | None = None, **prices: str) -> RateCard:
    """A card named after its moment, with a price for the one model if it has any."""
    return rate_card(f"card-{at_us}", at_us, markup, {MODEL: prices} if prices else None)


def test_without_a_card_in_force_the_vendor_s_price_is_paid() -> None:
    assert rated(ASKED, MODEL, (), 5) == (ASKED, None)
    assert rated(ASKED, MODEL, (card(6, "2"),), 5) == (ASKED, None)


def test_a_card_holds_from_its_moment_until_the_next_one_s() -> None:
    cards = (card(10, "2"), card(20, "3"), card(30, "1"))
    held = [rated(ASKED, MODEL, cards, at_us) for at_us in (9, 10, 19, 20, 29, 30, 99)]
    assert [name for _, name in held] == [None, "card-10", "card-10", "card-20", "card-20", None, None]
    costs = [cost_of({Unit.INPUT: 1}, price).total for price, _ in held]
    assert costs == [2_000, 4_000, 4_000, 6_000, 6_000, 2_000, 2_000]


def test_the_price_list_of_a_card_wins_over_its_markup_and_says_nothing_of_other_models() -> None:
    cards = (card(0, "1.5", input="5", output="6"),)
    price, name = rated(ASKED, MODEL, cards, 1)
    assert (cost_of({Unit.INPUT: 1, Unit.OUTPUT: 1}, price).total, name) == (11_000, "card-0")
    assert price.version.startswith("rate-card@")
    other, name = rated(ASKED, "openai/gpt-4o-mini", cards, 1)
    assert (other, name) == (scaled(ASKED, Decimal("1.5")), "card-0")


def test_a_price_list_alone_leaves_other_models_as_they_are() -> None:
    assert rated(ASKED, "other", (card(0, input="5", output="6"),), 1) == (ASKED, None)


def test_the_same_price_is_scaled_once() -> None:
    cards = (card(0, "1.25"),)
    assert rated(ASKED, MODEL, cards, 1)[0] is rated(ASKED, MODEL, cards, 2)[0]


def test_a_markup_of_an_unknown_price_is_unknown() -> None:
    none = unpriced(MODEL)
    assert rated(none, MODEL, (card(0, "2"),), 1) == (none, None)
    price, name = rated(none, MODEL, (card(0, "2", input="1", output="1"),), 1)
    assert (price.is_unpriced, name) == (False, "card-0")


def test_a_markup_of_nothing_is_free_and_not_unpriced() -> None:
    price, name = rated(ASKED, MODEL, (card(0, "0"),), 1)
    assert (cost_of({Unit.INPUT: 10**6}, price).total, price.is_unpriced, name) == (0, False, "card-0")


def test_fees_are_marked_up_too() -> None:
    fee = compile_tariff("list", {"input": "0", "output": "0", "request": "5"})
    assert cost_of({Unit.REQUEST: 1}, rated(fee, MODEL, (card(0, "1.1"),), 1)[0]).total == 5_500_000


@given(st.decimals(0, MAX_MARKUP, places=9))
@settings(deadline=None, max_examples=100)
def test_a_markup_is_exact(markup: Decimal) -> None:
    assert parse_markup(str(markup)) == markup


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "100.000000001", "1.0000000001", "NaN", "inf", "1" * 41, "25%", "0x2", "1,25"]
)
def test_what_is_no_factor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"markup|decimal"):
        parse_markup(text)


def test_what_is_wrong_with_a_price_list_is_named_by_model_and_unit() -> None:
    prices: dict[str, dict[str, object]] = {
        "a": {"input": "1", "output": 2},
        "b": {"input": "1", "output": "2", "x": "3"},
        "c": {},
    }
    assert [(model, unit) for model, unit, _ in price_faults(prices)] == [
        ("a", "output"),
        ("b", "x"),
        ("c", "input"),
        ("c", "output"),
    ]
