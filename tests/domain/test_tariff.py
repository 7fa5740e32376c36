"""Prices as people write them: every name, exact amounts, and all that is refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.money import NANO_PER_USD
from tollway.domain.price import cost_of
from tollway.domain.tariff import NAMES, WIDER, compile_tariff, dollars_of, effective_us, faults, per
from tollway.domain.usage import COMPLETION_TOKENS, PROMPT_TOKENS, Unit

MARCH_US = 1_772_323_200_000_000
PLAIN = {"input": "3.00", "output": "12"}

amounts = st.decimals(0, 100_000, places=9).map(str)


def cost(dollars: dict[str, str], unit: Unit, count: int = 1_000_000) -> int:
    return cost_of({unit: count}, compile_tariff("test", dollars)).total


def test_every_unit_has_a_name_and_no_other_name_is_a_unit() -> None:
    assert set(NAMES.values()) == set(Unit)
    assert len(NAMES) == len(Unit)
    assert NAMES["cached_input"] is Unit.CACHE_READ
    assert NAMES["web_search"] is Unit.WEB_SEARCH


def test_tokens_are_priced_per_million_calls_per_thousand_and_audio_by_the_hour() -> None:
    assert {per(unit) for unit in PROMPT_TOKENS | COMPLETION_TOKENS} == {1_000_000}
    assert per(Unit.REQUEST) == per(Unit.WEB_SEARCH) == 1_000
    assert per(Unit.INPUT_AUDIO_SECONDS) == 3_600
    dollars = {**PLAIN, "request": "5", "input_audio_hours": "0.36"}
    assert cost(dollars, Unit.INPUT) == 3 * NANO_PER_USD
    assert cost(dollars, Unit.REQUEST, 1) == 5_000_000
    assert cost(dollars, Unit.INPUT_AUDIO_SECONDS, 10) == 1_000_000


def test_a_unit_without_a_price_costs_what_the_wider_one_does() -> None:
    for unit in PROMPT_TOKENS:
        assert cost(PLAIN, unit) == 3 * NANO_PER_USD, unit
    for unit in COMPLETION_TOKENS - {Unit.CITATION}:
        assert cost(PLAIN, unit) == 12 * NANO_PER_USD, unit
    assert cost({**PLAIN, "cached_input": "1"}, Unit.CACHE_READ_AUDIO) == NANO_PER_USD
    assert [cost(PLAIN, unit) for unit in (Unit.REQUEST, Unit.WEB_SEARCH, Unit.CITATION)] == [0, 0, 0]
    assert set(WIDER) | {Unit.INPUT, Unit.OUTPUT, Unit.CITATION} == PROMPT_TOKENS | COMPLETION_TOKENS


def test_a_price_of_its_own_wins() -> None:
    for name, unit in NAMES.items():
        assert cost({**PLAIN, name: "7"}, unit, per(unit)) == 7 * NANO_PER_USD


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), amounts), amounts, amounts)
@settings(deadline=None, max_examples=100)
def test_what_is_written_is_read_back_exactly(dollars: dict[str, str], asked: str, answered: str) -> None:
    written = {**dollars, "input": asked, "output": answered}
    assert list(faults(written)) == []
    read = dollars_of(compile_tariff("test", written))
    assert {name: read[NAMES[name]] for name in written} == {
        name: [(-1, Fraction(Decimal(text)))] for name, text in written.items()
    }


def test_the_same_prices_written_otherwise_have_the_same_version() -> None:
    one, other = compile_tariff("a", PLAIN), compile_tariff("a", {"output": "12.0", "input": "3"})
    assert one == other
    assert compile_tariff("b", PLAIN).version != one.version


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (3.0, "as text"),
        (3, "as text"),
        (None, "as text"),
        (True, "as text"),
        (["3"], "as text"),
        ("", "decimal number"),
        ("three", "decimal number"),
        ("NaN", "decimal number"),
        ("Infinity", "decimal number"),
        ("1_000", "decimal number"),
        ("٣", "decimal number"),
        ("3.0000000001", "nine decimals"),
        ("-0.01", "between $0 and $100,000"),
        ("100000.01", "between $0 and $100,000"),
        ("1e999999999", "digits"),
        ("1" * 41, "at most 40 characters"),
    ],
)
def test_what_is_no_amount_is_named(value: object, what: str) -> None:
    ((name, told),) = faults({**PLAIN, "reasoning": value})
    assert name == "reasoning"
    assert what in told


def test_missing_and_unknown_units_are_all_named() -> None:
    assert [name for name, _ in faults({})] == ["input", "output"]
    assert [name for name, _ in faults({"inptu": "1", "cache_read": "1"})] == [
        "input",
        "output",
        "inptu",
        "cache_read",
    ]
    assert list(faults({"input": "0", "output": "100000"})) == []


@pytest.mark.parametrize(
    "when",
    [
        "2026-03-01",
        "2026-03-01T00:00:00",
        "2026-03-01T00:00:00Z",
        "2026-03-01T02:00:00+02:00",
        date(2026, 3, 1),
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 2, 28, 19, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_a_date_is_a_moment_utc_where_nothing_else_is_said(when: object) -> None:
    assert effective_us(when) == MARCH_US


@pytest.mark.parametrize(
    "when",
    [
        *("", "soon", "2026-02-30", "1969-12-31T23:59:59Z", "2100-01-01", "0001-01-01T00:00:00+14:00"),
        *(None, 5, 1.5, True, [], datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
    ],
)
def test_what_is_no_moment_is_refused(when: object) -> None:
    with pytest.raises(ValueError, match=r"2026-|1970"):
        effective_us(when)
