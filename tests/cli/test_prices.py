"""`tollway prices`: what it shows and changes, and that a running server takes an import over."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.cli.processes import run, served
from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tests.world.stage import OPERATOR_TOKEN
from tollway.cli.main import main
from tollway.control.prices import NewPrice, import_prices
from tollway.demo.vendor import DemoVendor
from tollway.domain.moment import iso
from tollway.domain.price import unpriced
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.price_list import list_tariffs
from tollway.store.prices import keep_prices
from tollway.store.schema import orgs

CONFIGURATION = """
[providers.lab]
dialect = "openai"
base_url = "http://127.0.0.1:9"

[providers.openai]
dialect = "openai"
base_url = "https://api.example.com/v1"

[[models]]
name = "fast"
provider = "openai"
upstream = "gpt-4o"

[[models]]
name = "openai/gpt-4.1"
provider = "openai"
upstream = "gpt-4.1"
price = { input = "2.00", output = "8.00" }
"""
FUTURE = "2099-01-01T00:00:00Z"

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def configured(
    database_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of a command that shall find the test's database and configuration."""
    (tmp_path / "tollway.toml").write_text(CONFIGURATION, "utf-8")
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    database.write_here(lambda db: identify(db, NOON_US))


def price(model: str, asked: str = "3", since: str | None = None, **more: str) -> str:
    """One price of a file."""
    dollars = {"input": asked, "output": "12", **more}
    lines = [f'model = "{model}"', *(f'{unit} = "{text}"' for unit, text in dollars.items())]
    return "\n".join(["[[prices]]", *lines, *([f"effective_from = {since}"] if since else []), ""])


def imports(*prices: str, dry_run: bool = False) -> int:
    Path("prices.toml").write_text("\n".join(prices), "utf-8")
    return main(["prices", "import", "prices.toml", *(["--dry-run"] if dry_run else [])])


def table(capsys: Capture, glob: str) -> list[list[str]]:
    assert main(["prices", "list", "--model", glob]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_an_import_is_shown_stored_and_listed(database: Database, capsys: Capture) -> None:
    assert imports(price("lab/x", cached_input="1", request="5")) == 0
    told, count = capsys.readouterr().out.splitlines()
    assert told.startswith("new        lab/x  from 20")
    assert told.endswith("Z: input 3, output 12, cached_input 1, request 5")
    assert count == "imported 1 of 1 prices"
    assert imports(price("lab/x", "4", FUTURE)) == 0
    told, _ = capsys.readouterr().out.splitlines()
    assert told.startswith("new        lab/x  from 2099-01-01: input 3 -> 4, output 12, cached_input 1 -> ")
    assert told.endswith("request 5 -> none of its own")
    first, _ = database.write_here(list_tariffs)
    assert table(capsys, "lab/*") == [
        ["MODEL", "SOURCE", "FROM", "INPUT", "CACHED", "OUTPUT", "OTHER"],
        ["lab/x", "imported", iso(first.effective_us), "3", "1", "12", "request", "5"],
        ["lab/x", "imported", "2099-01-01", "4", "4", "12"],
    ]


def test_a_dry_run_shows_the_same_and_stores_nothing(database: Database, capsys: Capture) -> None:
    assert imports(price("lab/x", since=FUTURE), dry_run=True) == 0
    assert capsys.readouterr().out.splitlines() == [
        "new        lab/x  from 2099-01-01: input 3, output 12",
        "would import 1 of 1 prices",
    ]
    assert database.write_here(list_tariffs) == []


def test_the_same_file_again_changes_nothing(capsys: Capture) -> None:
    for _ in range(2):
        assert imports(price("lab/x"), price("lab/y", since=FUTURE)) == 0
    assert imports(price("lab/y", "4", FUTURE)) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == [
        *("new", "new", "imported"),
        *("unchanged", "unchanged", "imported"),
        *("changed", "imported"),
    ]
    assert told[5] == "imported 0 of 2 prices"


def test_a_file_with_one_wrong_price_is_refused_whole(database: Database, capsys: Capture) -> None:
    assert imports(price("lab/x"), price("lab/y", "-1")) == 1
    told = capsys.readouterr().err
    assert told == "tollway: prices.toml: prices[1]: input: a price is between $0 and $100,000\n"
    assert imports(price("lab/x"), price("gpt-4o")) == 1
    assert "gpt-4o is not vendor/model" in capsys.readouterr().err
    assert database.write_here(list_tariffs) == []


def test_a_price_that_the_configuration_wins_over_is_told(capsys: Capture) -> None:
    assert imports(price("openai/gpt-4.1"), price("fast")) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1] == "           not used: the configuration has a price for it, which wins"
    assert [line.split()[0] for line in told] == ["new", "not", "new", "imported"]
    assert table(capsys, "*gpt-4.1")[1] == ["openai/gpt-4.1", "configuration", "-", "2", "2", "8"]


def test_each_model_s_price_now_and_its_source_are_listed(capsys: Capture) -> None:
    heads, *rows = table(capsys, "*")
    by_model = {row[0]: row for row in rows}
    assert len(rows) == len(by_model) > 50
    assert by_model["fast"][1:] == by_model["openai/gpt-4o"][1:]
    assert {row[1] for row in rows} == {"configuration", "genai-prices"}
    assert by_model["openai/gpt-4.1"][1] == "configuration"
    assert heads[0] == "MODEL"
    assert table(capsys, "no such") == [heads]


def test_a_price_with_steps_shows_them(capsys: Capture) -> None:
    assert main(["prices", "list", "--model", "openai/gpt-5.4-pro"]) == 0
    assert "30 (over 272000: 60)" in capsys.readouterr().out


def test_programs_get_the_list_as_json(capsys: Capture) -> None:
    assert imports(price("lab/x", "0.000000001", FUTURE)) == 0
    capsys.readouterr()
    assert main(["prices", "list", "--model", "*[xt]", "--json"]) == 0
    listed: list[dict[str, Any]] = msgspec.json.decode(capsys.readouterr().out)
    named = {line["model"]: line for line in listed}
    assert (named["fast"]["source"], named["fast"]["effective_from"]) == ("genai-prices", None)
    assert named["lab/x"]["effective_from"] == "2099-01-01T00:00:00.000000Z"
    assert named["lab/x"]["version"].startswith("imported@")
    assert named["lab/x"]["prices"]["input"] == [{"over_prompt_tokens": 0, "usd": "0.000000001"}]


def test_a_check_names_what_is_used_and_has_no_price(database: Database, capsys: Capture) -> None:
    assert main(["prices", "check"]) == 0
    assert capsys.readouterr().out == "every model that is used here has a price\n"

    database.write_here(make_org)
    database.write_here(lambda db: db.execute(orgs.update().values(benchmark_model="nobody/x")))
    database.write_here(lambda db: keep_prices(db, [unpriced("lab/served"), unpriced("lab/x")], NOON_US))
    to_come = NewPrice(model="lab/x", effective_us=4 * 10**15, dollars={"input": "1", "output": "1"})
    database.write_here(lambda db: import_prices(db, [to_come], NOON_US))
    configuration = CONFIGURATION.replace('"gpt-4o"', '"gpt-99"')
    Path("tollway.toml").write_text(f'unpriced = "allow"\n{configuration}', "utf-8")
    assert main(["prices", "check"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.partition("): ")[0] for line in told] == [
        "fast  ([[models]]",
        "nobody/x  (benchmark",
        "lab/served  (served unpriced",
        "lab/x  (served unpriced",
    ]

    assert imports(*(price(model) for model in ("fast", "nobody/x", "lab/served", "lab/x"))) == 0
    assert main(["prices", "check"]) == 0


def test_the_demo_s_models_have_prices_while_they_are_offered(capsys: Capture) -> None:
    Path("tollway.toml").unlink()
    assert [row[:2] for row in table(capsys, "*")[1:]] == [
        ["demo/large", "configuration"],
        ["demo/small", "configuration"],
    ]


@pytest.mark.parametrize("arguments", [["list"], ["check"], ["import", "prices.toml"]])
def test_without_a_database_nothing_is_made(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    Path("prices.toml").write_text(price("lab/x"), "utf-8")
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    assert main(["prices", *arguments]) == 2
    assert capsys.readouterr().err.startswith("tollway: database_url: ")
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_is_away_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", "postgresql://tollway:a-password@127.0.0.1:9/tollway")
    assert main(["prices", "list"]) == 1
    told = capsys.readouterr().err
    assert (told.startswith("tollway: the database is not available"), "a-password" in told) == (True, False)


async def test_a_running_server_takes_an_import_over(tmp_path: Path, database_url: str) -> None:
    async with DemoVendor(api_key="the-key-of-the-lab") as vendor:
        lab = CONFIGURATION.replace("http://127.0.0.1:9", vendor.base_url)
        lab = lab.replace("[providers.openai]", 'api_key_env = "TOLLWAY_LAB_KEY"\n\n[providers.openai]')
        (tmp_path / "tollway.toml").write_text(lab, "utf-8")
        (tmp_path / "prices.toml").write_text(price("lab/small", "3000"), "utf-8")
        token, key = OPERATOR_TOKEN, "the-key-of-the-lab"
        serving = served(tmp_path, database_url=database_url, operator_token=token, lab_key=key)
        async with serving as server, aiohttp.ClientSession(server.base) as client:

            async def post(path: str, token: str, **body: object) -> tuple[int, Any]:
                headers = {"Authorization": f"Bearer {token}"}
                async with client.post(path, json=body, headers=headers) as answer:
                    return answer.status, {**await answer.json(), "headers": answer.headers}

            _, user = await post("/v1/users", OPERATOR_TOKEN, email="ada@example.com", name="Ada")
            await post("/v1/orgs", user["token"], org_name="acme")
            _, app = await post("/v1/apps/create", user["token"], name="x")
            chat = {"model": "lab/small", "messages": [{"role": "user", "content": "Hello!"}]}
            status, refused = await post("/v1/chat/completions", app["created_key"], **chat)
            assert (status, refused["error"]["code"]) == (402, "model_not_priced")
            importing = ("prices", "import", "prices.toml")
            code, out, log = await run(tmp_path, *importing, database_url=database_url, lab_key=key)
            assert (code, out.splitlines()[-1]) == (0, "imported 1 of 1 prices"), log
            async with asyncio.timeout(10):
                while status != 200:
                    status, answer = await post("/v1/chat/completions", app["created_key"], **chat)
                    await asyncio.sleep(0.05)
            cost = (
                answer["usage"]["prompt_tokens"] * 3_000_000 + answer["usage"]["completion_tokens"] * 12_000
            )
            assert answer["headers"]["tollway-cost-usd"] == f"{cost / 10**9:.9f}".rstrip("0")
        assert server.exit_code == 0
