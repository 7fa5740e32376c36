"""Files of prices: TOML and JSON, and each thing that is wrong named at once."""

from pathlib import Path

import pytest

from tollway.cli.price_file import PriceFileError, read_price_file
from tollway.control.prices import NewPrice

TOML = """
[[prices]]
model = "openai/gpt-99"
effective_from = 2026-04-01T00:00:00Z
input = "3.00"
cached_input = "0.75"
output = "12.00"

[[prices]]
model = "lab/x"
input = "0"
output = "0"
request = "5"
"""
JSON = """
{"prices": [
  {"model": "openai/gpt-99", "effective_from": "2026-04-01", "input": "3.00", "cached_input": "0.75",
   "output": "12.00"},
  {"model": "lab/x", "input": "0", "output": "0", "request": "5"}
]}
"""
APRIL_US = 1_775_001_600_000_000


def read(folder: Path, text: str, name: str = "prices.toml") -> list[NewPrice]:
    path = folder / name
    path.write_text(text, "utf-8")
    return read_price_file(path)


def wrong(folder: Path, text: str, name: str = "prices.toml") -> list[str]:
    with pytest.raises(PriceFileError) as refused:
        read(folder, text, name)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{folder / name}: ") for line in lines)
    return [line.removeprefix(f"{folder / name}: ") for line in lines]


@pytest.mark.parametrize(("text", "name"), [(TOML, "prices.toml"), (JSON, "prices.json"), (TOML, "prices")])
def test_both_formats_say_the_same(tmp_path: Path, text: str, name: str) -> None:
    first, second = read(tmp_path, text, name)
    assert (first.model, first.effective_us) == ("openai/gpt-99", APRIL_US)
    assert first.dollars == {"input": "3.00", "cached_input": "0.75", "output": "12.00"}
    assert (second.effective_us, second.dollars["request"]) == (None, "5")


def test_a_local_time_is_utc(tmp_path: Path) -> None:
    for when in ("2026-04-01", "2026-04-01T00:00:00", '"2026-04-01"', "2026-04-01T02:00:00+02:00"):
        assert read(tmp_path, TOML.replace("2026-04-01T00:00:00Z", when))[0].effective_us == APRIL_US


def test_everything_that_is_wrong_is_named(tmp_path: Path) -> None:
    text = TOML.replace('"3.00"', "3.00").replace("cached_input", "cached").replace('"0"', '"-1"', 1)
    text = text.replace("2026-04-01T00:00:00Z", "12:00:00").replace('"lab/x"', '""')
    assert [line.partition(": ")[0] + ": " + line.split(": ")[1] for line in wrong(tmp_path, text)] == [
        "prices[0]: effective_from",
        "prices[0]: input",
        "prices[0]: cached",
        "prices[1]: model",
        "prices[1]: input",
    ]


@pytest.mark.parametrize(
    "text", ["", "prices = []", "prices = 3", "[prices]", TOML + "[more]\n", "other = 1", "x = ["]
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    assert len(wrong(tmp_path, text)) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"prices": [3]}', '{"prices": [{"model": 3}]}', "{"])
def test_json_of_another_shape_is_refused_too(tmp_path: Path, text: str) -> None:
    assert wrong(tmp_path, text, "prices.json")


def test_a_price_that_is_there_twice_for_one_time_is_refused(tmp_path: Path) -> None:
    assert wrong(tmp_path, TOML + TOML) == [
        "openai/gpt-99 is there twice for the same time",
        "lab/x is there twice for the same time",
    ]
    assert len(read(tmp_path, TOML + TOML.replace("2026-04", "2026-05").replace("lab/x", "lab/y"))) == 4


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(PriceFileError, match=str(path)):
            read_price_file(path)
    (tmp_path / "latin.toml").write_bytes(b'x = "\xff"')
    with pytest.raises(PriceFileError, match="utf-8"):
        read_price_file(tmp_path / "latin.toml")
