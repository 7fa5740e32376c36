"""Nano-dollars: read, written, rounded and divided, always exactly."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tollway.domain.money import NANO_PER_USD, half_even, parse_usd, split, usd

numerators = st.lists(st.integers(0, 10**30), max_size=12)
denominators = st.integers(1, 10**15)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (42_400, "0.0000424"),
        (100_000_000, "0.1"),
        (2_500_000_000, "2.5"),
        (-2_500_000_000, "-2.5"),
        (NANO_PER_USD, "1"),
        (10 * NANO_PER_USD, "10"),
        (10**24 + 1, "1000000000000000.000000001"),
    ],
)
def test_money_is_written_as_a_decimal_without_an_exponent_or_trailing_zeros(nano: int, text: str) -> None:
    assert usd(nano) == text


@given(st.integers(-(10**40), 10**40))
@settings(deadline=None)
def test_any_amount_that_is_written_is_read_back(nano: int) -> None:
    assert parse_usd(usd(nano)) == nano


@given(st.integers())
@settings(deadline=None)
def test_any_amount_is_written_as_the_number_that_it_is(nano: int) -> None:
    text = usd(nano)
    assert Fraction(text) == Fraction(nano, NANO_PER_USD)
    assert set(text) <= set("-0123456789.")
    assert len(text.partition(".")[2]) <= 9


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**12), max_value=10**12))
@settings(deadline=None)
def test_nine_decimals_are_read_exactly(dollars: Decimal) -> None:
    assert Fraction(parse_usd(str(dollars)), NANO_PER_USD) == Fraction(dollars)


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("2.50", 2_500_000_000),
        ("0", 0),
        ("-0", 0),
        ("+1", NANO_PER_USD),
        (".5", 500_000_000),
        ("1e-9", 1),
        ("1.5E3", 1_500 * NANO_PER_USD),
        ("1.000000000000000000000000000000", NANO_PER_USD),
        ("1234567890123456789012.123456789", 1_234_567_890_123_456_789_012_123_456_789),
    ],
)
def test_dollars_are_read_from_decimal_text(text: str, nano: int) -> None:
    assert parse_usd(text) == nano


@pytest.mark.parametrize("text", ["", "x", "1,5", "$1", "1.2.3", "0x10", "nan", "sNaN", "inf", "-Infinity"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a decimal number of dollars"):
        parse_usd(text)


@pytest.mark.parametrize(
    "text",
    [
        "0.0000000001",
        "2.5000000001",
        "1.0000000000000000000000000001",
        "1e-10",
        "1e-999999999",
        "1e999999999",
        "1e100",
        "-1e100",
        "9" * 100,
        "0." + "0" * 100 + "1",
    ],
)
def test_what_is_too_fine_or_too_long_is_refused_rather_than_rounded(text: str) -> None:
    with pytest.raises(ValueError, match="more than nine decimals"):
        parse_usd(text)


@given(st.integers(-(10**30), 10**30), denominators)
@example(1, 2)
@example(3, 2)
@example(-1, 2)
@example(-3, 2)
@settings(deadline=None)
def test_rounding_is_half_even_as_decimal_does_it(numerator: int, denominator: int) -> None:
    doubled = Fraction(2 * numerator, denominator)
    with localcontext(prec=120):
        # Half of a whole number is exact in decimals; any other tie cannot be.
        decimal = (
            Decimal(doubled.numerator) / 2
            if doubled.denominator == 1
            else Decimal(numerator) / Decimal(denominator)
        )
        expected = int(decimal.quantize(Decimal(1), ROUND_HALF_EVEN))
    assert half_even(numerator, denominator) == expected


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**9))
@settings(deadline=None)
def test_ties_go_to_the_even_neighbour(whole: int, half: int) -> None:
    rounded = half_even((2 * whole + 1) * half, 2 * half)
    assert rounded % 2 == 0
    assert rounded in (whole, whole + 1)


@given(numerators, denominators)
@settings(deadline=None, max_examples=200)
def test_parts_sum_to_the_total_that_was_rounded_once(numerators: list[int], denominator: int) -> None:
    assert sum(split(numerators, denominator)) == half_even(sum(numerators), denominator)


@given(numerators, denominators)
@settings(deadline=None, max_examples=200)
def test_each_part_is_less_than_one_away_from_exact(numerators: list[int], denominator: int) -> None:
    parts = split(numerators, denominator)
    assert len(parts) == len(numerators)
    for part, numerator in zip(parts, numerators, strict=True):
        assert abs(part - Fraction(numerator, denominator)) < 1
        assert part >= 0


@given(numerators, denominators)
@settings(deadline=None)
def test_a_larger_remainder_is_never_passed_over_for_a_smaller(
    numerators: list[int], denominator: int
) -> None:
    parts = split(numerators, denominator)
    rounded_up = [n % denominator for n, p in zip(numerators, parts, strict=True) if p > n // denominator]
    left = [n % denominator for n, p in zip(numerators, parts, strict=True) if p == n // denominator]
    assert not rounded_up or not left or min(rounded_up) >= max(left)


@given(st.integers(1, 10), st.integers(0, 10**6), denominators)
@settings(deadline=None)
def test_of_equal_remainders_the_earlier_comes_first(count: int, numerator: int, denominator: int) -> None:
    parts = split([numerator] * count, denominator)
    assert parts == sorted(parts, reverse=True)


@given(st.data(), st.lists(st.integers(0, 999), max_size=8, unique=True))
@settings(deadline=None)
def test_parts_with_different_remainders_do_not_depend_on_their_order(
    data: st.DataObject, numerators: list[int]
) -> None:
    shuffled = data.draw(st.permutations(numerators))
    before = dict(zip(numerators, split(numerators, 1_000), strict=True))
    after = dict(zip(shuffled, split(shuffled, 1_000), strict=True))
    assert before == after


def test_nothing_is_split_into_nothing() -> None:
    assert split([], 7) == []
    assert split([0, 0], 7) == [0, 0]


def test_three_thirds_of_a_nano_make_one() -> None:
    assert split([1, 1, 1], 3) == [1, 0, 0]
    assert split([1, 1, 3], 5) == [0, 0, 1]


@pytest.mark.parametrize("text", ["1_000", " 1", "1 ", "0x1", "", ".", "1e", "--1", "1\n"])
def test_what_decimal_would_take_or_guess_is_not_money(text: str) -> None:
    with pytest.raises(ValueError, match="is not a decimal number of dollars"):
        parse_usd(text)
