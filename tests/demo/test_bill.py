"""The vendor's bill: its arithmetic by hand, its file whole whatever happens."""

import re
import resource
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.demo.bill import Bill, Line, asked_price

TOKENS = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("small", 87 * 400 + 1_023 * 100 + 33 * 1_600),
        ("large", 87 * 2_000 + 1_023 * 500 + 33 * 8_000),
    ],
)
def test_a_cost_by_hand(model: str, cost: int) -> None:
    asked = asked_price(model, prompt_tokens=1_110, cached_tokens=1_023, completion_tokens=33)
    assert asked == cost


@settings(deadline=None, max_examples=100)
@given(TOKENS, TOKENS, TOKENS)
def test_a_cost_is_exact(uncached: int, cached: int, completed: int) -> None:
    asked = asked_price(
        "small", prompt_tokens=uncached + cached, cached_tokens=cached, completion_tokens=completed
    )
    dollars = (uncached * Decimal("0.40") + cached * Decimal("0.10") + completed * Decimal("1.60")) / 10**6
    assert asked == dollars * 10**9


def test_lines_are_in_the_file_once_written(tmp_path: Path) -> None:
    path = tmp_path / "bill.jsonl"
    with Bill(path) as bill:
        for number in (2, 1):
            bill.write(Line(number=number, user="ada@example.com"))
            assert path.read_bytes().count(b"\n") == len(bill.lines())
        shown = path.read_text("utf-8").splitlines()
    assert [msgspec.json.decode(line)["number"] for line in shown] == [2, 1]
    assert list(msgspec.json.decode(shown[0])) == list(Line.__struct_fields__)


def test_a_bill_of_many_pieces_is_read_back_whole_while_it_grows() -> None:
    with Bill() as bill:
        for number in range(2_500):
            bill.write(Line(number=number, user="u" * 200))
        size = bill.size_bytes
        parts = bill.parts()
        bill.write(Line(number=-1))
        pieces = list(parts)
        assert len(pieces) > 1
        assert sum(map(len, pieces)) == size
        assert [line.number for line in bill.lines()] == [*range(2_500), -1]


def test_the_page_about_it_names_each_column() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "demo-vendor.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.+?) \|", page.partition("## The bill")[2].partition("## ")[0], re.MULTILINE)
    told = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert told == list(Line.__struct_fields__)


def test_what_a_bill_adds_up_to() -> None:
    with Bill() as bill:
        assert bill.summary()["cost_usd"] == "0"
        bill.write(Line(number=1, fault="rate_limited", status=429))
        for number in (2, 3):
            bill.write(
                Line(
                    number=number,
                    fault="usage_missing" if number == 3 else None,
                    status=200,
                    prompt_tokens=10,
                    cached_tokens=4,
                    completion_tokens=7,
                    reasoning_tokens=2,
                    reported=number == 2,
                    billed=True,
                    cost_usd="0.000000001",
                )
            )
        assert bill.summary() == {
            "requests": 3,
            "billed": 2,
            "reported": 1,
            "prompt_tokens": 20,
            "cached_tokens": 8,
            "completion_tokens": 14,
            "reasoning_tokens": 4,
            "cost_usd": "0.000000002",
            "faults": {"rate_limited": 1, "usage_missing": 1},
        }


def test_a_bill_of_another_run_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "bill.jsonl"
    Bill(path).close()
    with Bill(path) as bill:  # empty is fine
        bill.write(Line(number=1))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="lines of another run"):
        Bill(path)
    assert path.read_bytes() == before


def test_a_bill_that_cannot_be_a_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Bill(tmp_path)


def test_a_line_that_the_disk_takes_half_of_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "bill.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Bill(path) as bill:
        bill.write(Line(number=1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (bill.size_bytes + 10, before[1]))
        try:
            with pytest.raises(OSError, match="No space left"):
                bill.write(Line(number=2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        bill.write(Line(number=3))
        assert [line.number for line in bill.lines()] == [1, 3]
        assert bill.summary()["requests"] == 2
    assert path.read_bytes().count(b"\n") == 2
