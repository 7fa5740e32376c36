"""Prices made from prices: scaled by a markup, and the most that some tokens can cost at one."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.test_price import flat, prices
from tollway.domain.money import NANO_PER_USD, half_even
from tollway.domain.price import (
    Price,
    Steps,
    WorstCase,
    compile_price,
    cost_of,
    dearest,
    price_from,
    rates_of,
    scaled,
    unpriced,
    worst_case,
)
from tollway.domain.usage import COMPLETION_TOKENS, PROMPT_TOKENS, Unit, completion_tokens, prompt_tokens

BOUNDED = sorted(PROMPT_TOKENS | COMPLETION_TOKENS)

factors = st.decimals(0, 100, places=9)
usages = st.dictionaries(st.sampled_from(Unit), st.integers(0, 200_000), max_size=len(Unit))
token_usages = st.dictionaries(st.sampled_from(BOUNDED), st.integers(0, 400_000), max_size=len(BOUNDED))


@given(usages, prices, factors)
@settings(deadline=None, max_examples=200)
def test_a_scaled_price_costs_the_exact_multiple_rounded_once(
    usage: dict[Unit, int], dollars: dict[Unit, Steps], factor: Decimal
) -> None:
    price = compile_price("list", dollars)
    size = prompt_tokens(usage)
    exact = Fraction(0)
    for unit, count in usage.items():
        reached = [rate for over, rate in dollars.get(unit, ()) if size > over]
        exact += count * (reached[-1] if reached else 0) * NANO_PER_USD
    exact *= Fraction(factor)
    cost = cost_of(usage, scaled(price, factor))
    assert cost.total == half_even(exact.numerator, exact.denominator)
    assert sum(cost.by_unit.values()) == cost.total == cost.prompt + cost.completion


@given(prices, factors)
@settings(deadline=None, max_examples=100)
def test_a_scaled_price_is_stored_and_read_back_exactly(dollars: dict[Unit, Steps], factor: Decimal) -> None:
    price = scaled(compile_price("list", dollars), factor)
    assert price_from(price.version, rates_of(price)) == price


def test_the_version_of_a_scaled_price_names_the_factor_and_the_price() -> None:
    price = compile_price("list/1", {Unit.INPUT: flat("1")})
    assert scaled(price, Decimal("1.250")).version == f"markup/1.25*{price.version}"
    assert scaled(price, Decimal("1.25")) == scaled(price, Decimal("1.250"))
    assert scaled(price, Decimal(100)).version == f"markup/100*{price.version}"
    assert scaled(price, Decimal("0.000000001")).version == f"markup/0.000000001*{price.version}"
    again = compile_price("list/1", {Unit.INPUT: flat("1")})
    assert scaled(price, Decimal("1.000")) is price
    assert scaled(again, Decimal(1)) is again


def test_two_prices_of_one_version_are_not_taken_for_each_other() -> None:
    cheap = Price(version="same", denominator=1, rates={Unit.INPUT: ((-1, 1),)})
    dear = Price(version="same", denominator=1, rates={Unit.INPUT: ((-1, 9),)})
    assert cost_of({Unit.INPUT: 1}, scaled(cheap, Decimal(2))).total == 2
    assert cost_of({Unit.INPUT: 1}, scaled(dear, Decimal(2))).total == 18
    assert (worst_case(cheap, 1).of(0), worst_case(dear, 1).of(0)) == (1, 9)


def test_what_has_no_price_costs_nothing_and_says_why() -> None:
    none = unpriced("openai/gpt-99")
    cost = cost_of({Unit.INPUT: 10, Unit.OUTPUT: 10}, none)
    assert (cost.total, cost.version, none.is_unpriced) == (0, "unpriced/openai/gpt-99", True)
    assert scaled(none, Decimal(2)) is none
    assert worst_case(none, 1_000, searches=9, audio_seconds=9).of(1_000) == 0
    assert not compile_price("list", {Unit.INPUT: flat("0")}).is_unpriced


@given(token_usages, st.booleans(), prices, factors, st.integers(0, 3), st.integers(0, 3))
@settings(deadline=None, max_examples=200)
def test_no_split_of_so_many_tokens_costs_more_than_the_worst_case(
    usage: dict[Unit, int],
    is_call: bool,
    dollars: dict[Unit, Steps],
    factor: Decimal,
    more_prompt: int,
    more_completion: int,
) -> None:
    price = scaled(compile_price("list", dollars), factor)
    counted = {**usage, Unit.REQUEST: int(is_call)}
    most = worst_case(price, prompt_tokens(usage) + more_prompt)
    assert cost_of(counted, price).total <= most.of(completion_tokens(usage) + more_completion)


def test_the_worst_case_is_the_dearest_unit_at_its_dearest_step_and_the_fee() -> None:
    dollars: dict[Unit, Steps] = {
        Unit.INPUT: flat("1"),
        Unit.CACHE_WRITE_1H: flat("2"),
        Unit.OUTPUT: ((-1, Fraction(4, 10**6)), (1_000, Fraction(6, 10**6))),
        Unit.REASONING: flat("5"),
        Unit.REQUEST: ((-1, Fraction(5, 10**3)),),
        Unit.WEB_SEARCH: ((-1, Fraction(10, 10**3)),),
    }
    price = compile_price("list", dollars)
    assert worst_case(price, 10).of(100) == 10 * 2_000 + 100 * 6_000 + 5_000_000
    assert worst_case(price, 0).of(0) == 5_000_000
    assert worst_case(price, 0, searches=3).of(0) == 5_000_000 + 3 * 10_000_000
    assert worst_case(price, 10, other_tokens=7).of(0) == 5_000_000 + 10 * 2_000 + 7 * 6_000


@given(usages, st.lists(prices, min_size=1, max_size=3))
@settings(deadline=None, max_examples=100)
def test_nothing_costs_less_at_the_dearest_of_some_prices(
    usage: dict[Unit, int], listed: list[dict[Unit, Steps]]
) -> None:
    compiled = [compile_price("list", dollars) for dollars in listed]
    most = dearest(compiled)
    assert max(cost_of(usage, price).total for price in compiled) <= cost_of(usage, most).total
    assert dearest([most]).rates == most.rates


def test_the_worst_case_is_rounded_up() -> None:
    price = compile_price("list", {Unit.INPUT: ((-1, Fraction(1, 3 * NANO_PER_USD)),)})
    assert [worst_case(price, count).of(0) for count in (0, 1, 3, 4)] == [0, 1, 1, 2]


@given(usages, prices, st.integers(0, 100), st.integers(0, 100))
@settings(deadline=None, max_examples=100)
def test_no_usage_costs_more_than_the_worst_case_of_its_counts(
    usage: dict[Unit, int], dollars: dict[Unit, Steps], other_prompt: int, other_completion: int
) -> None:
    price = compile_price("list", dollars)
    counted = {**usage, Unit.REQUEST: 1}
    most = worst_case(
        price,
        max(prompt_tokens(usage) - other_prompt, 0),
        other_tokens=other_prompt + other_completion,
        searches=usage.get(Unit.WEB_SEARCH, 0),
        audio_seconds=usage.get(Unit.INPUT_AUDIO_SECONDS, 0),
    )
    assert cost_of(counted, price).total <= most.of(max(completion_tokens(usage) - other_completion, 0))


worst_cases = st.builds(
    WorstCase,
    base=st.integers(0, 2**70),
    per_token=st.one_of(st.integers(1, 1_000), st.integers(1, 2**70)),
    denominator=st.one_of(st.just(1), st.integers(1, 2**70)),
)


@given(worst_cases, st.one_of(st.integers(-5, 1_000), st.integers(-(2**70), 2**70)))
@settings(deadline=None, max_examples=200)
def test_the_tokens_within_an_amount_are_the_most_that_cost_no_more(most: WorstCase, nano: int) -> None:
    tokens = most.tokens_within(nano)
    assert most.of(tokens + 1) > nano
    if tokens == -1:
        assert most.of(0) > nano
    else:
        assert most.of(tokens) <= nano


@given(worst_cases, st.integers(0, 2**40))
@settings(deadline=None, max_examples=100)
def test_what_some_tokens_cost_is_enough_for_them(most: WorstCase, tokens: int) -> None:
    assert most.tokens_within(most.of(tokens)) >= tokens


def test_of_tokens_that_cost_nothing_any_number_fits_if_the_call_itself_does() -> None:
    free = WorstCase(base=5, per_token=0, denominator=2)
    assert [free.tokens_within(nano) for nano in (-1, 2, 3)] == [-1, -1, 2**62]
    nothing = worst_case(unpriced("openai/gpt-99"), 10**9)
    assert [nothing.tokens_within(nano) for nano in (-1, 0)] == [-1, 2**62]


def test_an_amount_is_used_up_to_the_last_nano_dollar_and_never_beyond() -> None:
    third = WorstCase(base=1, per_token=1, denominator=3)
    assert [third.of(tokens) for tokens in range(6)] == [1, 1, 1, 2, 2, 2]
    assert [third.tokens_within(nano) for nano in range(3)] == [-1, 2, 5]
