"""What a usage costs: exact, rounded once, and split so that every sum agrees."""

from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.money import NANO_PER_USD, half_even
from tollway.domain.price import Steps, compile_price, cost_of, price_from, rates_of
from tollway.domain.usage import PROMPT_SIDE, Unit, prompt_tokens

MILLION = 1_000_000

rates = st.fractions(min_value=0, max_value=1, max_denominator=10**12)
tiers = st.lists(st.tuples(st.integers(0, 300_000), rates), max_size=3, unique_by=lambda step: step[0])


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    return ((-1, draw(rates)), *sorted(draw(tiers)))


prices = st.dictionaries(st.sampled_from(Unit), steps(), max_size=len(Unit))
usages = st.dictionaries(st.sampled_from(Unit), st.integers(0, 200_000), max_size=len(Unit))


def flat(per_million: str) -> Steps:
    return ((-1, Fraction(per_million) / MILLION),)


@given(usages, prices)
@settings(deadline=None, max_examples=200)
def test_the_total_is_the_exact_cost_rounded_once(usage: dict[Unit, int], dollars: dict[Unit, Steps]) -> None:
    size = prompt_tokens(usage)
    exact = Fraction(0)
    for unit, count in usage.items():
        for over, rate in reversed(dollars.get(unit, ())):
            if size > over:
                exact += count * rate * NANO_PER_USD
                break
    cost = cost_of(usage, compile_price("test", dollars))
    assert cost.total == half_even(exact.numerator, exact.denominator)


@given(usages, prices)
@settings(deadline=None, max_examples=200)
def test_kinds_and_sides_sum_to_the_total(usage: dict[Unit, int], dollars: dict[Unit, Steps]) -> None:
    cost = cost_of(usage, compile_price("test", dollars))
    assert sum(cost.by_unit.values()) == cost.total
    assert cost.prompt + cost.completion == cost.total
    assert cost.prompt == sum(nano for unit, nano in cost.by_unit.items() if unit in PROMPT_SIDE)
    assert min(cost.prompt, cost.completion, *cost.by_unit.values(), 0) == 0


def test_a_request_costs_what_its_tokens_cost() -> None:
    price = compile_price("test", {Unit.INPUT: flat("2.50"), Unit.OUTPUT: flat("10")})
    cost = cost_of({Unit.INPUT: 1_000, Unit.OUTPUT: 100}, price)
    assert (cost.prompt, cost.completion, cost.total) == (2_500_000, 1_000_000, 3_500_000)
    assert cost.by_unit == {Unit.INPUT: 2_500_000, Unit.OUTPUT: 1_000_000}


def test_a_sum_of_small_parts_is_rounded_once_and_not_part_by_part() -> None:
    # Each part is 0.4 nano-dollars: rounded alone, all of them would be nothing.
    price = compile_price("test", dict.fromkeys(Unit, ((-1, Fraction(4, 10 * NANO_PER_USD)),)))
    cost = cost_of(dict.fromkeys(Unit, 1), price)
    assert len(Unit) == 15
    assert cost.total == 6


def test_a_step_applies_only_strictly_above_its_threshold_and_then_to_all_tokens() -> None:
    tiered = {
        Unit.INPUT: ((-1, Fraction(1, MILLION)), (200_000, Fraction(2, MILLION))),
        Unit.OUTPUT: ((-1, Fraction(5, MILLION)), (200_000, Fraction(7, MILLION))),
    }
    price = compile_price("test", tiered)
    at = cost_of({Unit.INPUT: 200_000, Unit.OUTPUT: 10}, price)
    above = cost_of({Unit.INPUT: 200_001, Unit.OUTPUT: 10}, price)
    assert (at.prompt, at.completion) == (200_000 * 1_000, 10 * 5_000)
    assert (above.prompt, above.completion) == (200_001 * 2_000, 10 * 7_000)


def test_a_threshold_counts_the_whole_prompt_with_its_cached_and_audio_tokens() -> None:
    price = compile_price("test", {Unit.INPUT: ((-1, Fraction(1, MILLION)), (1_000, Fraction(2, MILLION)))})
    prompt = {Unit.INPUT: 1, Unit.CACHE_READ: 500, Unit.CACHE_WRITE_1H: 400, Unit.INPUT_AUDIO: 99}
    assert cost_of(prompt, price).total == 1_000
    assert cost_of({**prompt, Unit.INPUT_AUDIO: 100}, price).total == 2_000
    assert cost_of({**prompt, Unit.OUTPUT: 10_000, Unit.REQUEST: 50}, price).total == 1_000


def test_of_several_steps_the_highest_that_is_reached_applies() -> None:
    price = compile_price(
        "test",
        {Unit.INPUT: ((-1, Fraction(1, MILLION)), (10, Fraction(3, MILLION)), (20, Fraction(2, MILLION)))},
    )
    costs = [cost_of({Unit.INPUT: count}, price).total for count in (10, 11, 20, 21)]
    assert costs == [10_000, 33_000, 60_000, 42_000]


def test_the_fee_for_a_request_is_on_the_prompt_s_side_and_a_tool_s_on_the_completion_s() -> None:
    fees = {Unit.REQUEST: ((-1, Fraction(5, 1_000)),), Unit.WEB_SEARCH: ((-1, Fraction(10, 1_000)),)}
    cost = cost_of({Unit.REQUEST: 1, Unit.WEB_SEARCH: 2}, compile_price("test", fees))
    assert (cost.prompt, cost.completion) == (5_000_000, 20_000_000)


def test_units_without_a_price_or_without_a_count_have_no_part() -> None:
    cost = cost_of({Unit.INPUT: 0, Unit.OUTPUT: 3}, compile_price("test", {Unit.INPUT: flat("1")}))
    assert (cost.by_unit, cost.total) == ({}, 0)
    assert cost_of({}, compile_price("test", {})).total == 0


def test_a_price_finer_than_a_nano_dollar_is_exact() -> None:
    price = compile_price("test", {Unit.INPUT: ((-1, Fraction(1, 3 * NANO_PER_USD)),)})
    assert cost_of({Unit.INPUT: 3 * 10**18}, price).total == 10**18
    assert cost_of({Unit.INPUT: 1}, price).total == 0


def test_the_version_tells_the_source_and_changes_with_the_content_only() -> None:
    one = compile_price("list/1", {Unit.INPUT: flat("1"), Unit.OUTPUT: flat("2")})
    turned = compile_price("list/1", {Unit.OUTPUT: flat("2"), Unit.INPUT: flat("1.0")})
    other = compile_price("list/1", {Unit.INPUT: flat("1"), Unit.OUTPUT: flat("2.1")})
    assert one.version == turned.version
    assert one.version.startswith("list/1@")
    assert len({one.version, other.version, compile_price("list/2", {}).version}) == 3
    assert cost_of({Unit.INPUT: 1}, one).version == one.version


@given(prices)
@settings(deadline=None, max_examples=100)
def test_a_price_written_as_json_and_read_is_the_same_price(dollars: dict[Unit, Steps]) -> None:
    price = compile_price("test", dollars)
    written = msgspec.json.decode(msgspec.json.encode(rates_of(price)))
    assert price_from(price.version, written) == price


def test_numbers_of_a_price_are_written_as_text_since_json_s_may_be_rounded_by_who_reads_them() -> None:
    rate = Fraction(2**80 + 1, 3**60)
    price = compile_price("test", {Unit.INPUT: ((-1, rate), (200_000, 2 * rate))})
    written = rates_of(price)
    assert written["denominator"] == str(price.denominator)
    assert price.denominator > 2**64
    first, second = price.rates[Unit.INPUT]
    assert written["rates"] == {"input": [[-1, str(first[1])], [200_000, str(second[1])]]}
