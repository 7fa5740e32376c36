"""`tollway ledger export`: one organisation's rows, all of them, and nobody else's."""

import asyncio
import csv
import io
import json
import os
import pty
import stat
import termios
import tracemalloc
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Connection, func, insert, select, update

from tests.cli.processes import COMMAND, environment, run
from tests.control.audited import every_sort, folded, priced
from tests.world.entries import ON_SQLITE, entry, make_org
from tests.world.stage import Stage
from tollway.cli.ledger import ROWS_PER_PAGE
from tollway.cli.main import main
from tollway.domain.ids import OrgId
from tollway.store.database import Database
from tollway.store.schema import ledger, org_totals

Capture = pytest.CaptureFixture[bytes]


@pytest.fixture(autouse=True)
def configured(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command that shall find the test's database, and no file of settings."""
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def org(database: Database) -> OrgId:
    """Nine rows of March and April; another organisation has the same."""
    made, other = database.write_here(make_org), database.write_here(lambda db: make_org(db, "other"))
    folded(database, every_sort(made), "journal-1")
    folded(database, every_sort(other), "journal-2")
    return made


def export(*arguments: str) -> int:
    return main(["ledger", "export", *arguments])


def requests(text: bytes) -> list[str]:
    return [row["request_id"] for row in csv.DictReader(io.StringIO(text.decode(), newline=""))]


def test_the_rows_of_the_organisation_are_written_and_no_others(org: OrgId, capsysbinary: Capture) -> None:
    for named in ("acme", org):
        assert export("--org", named, "--format", "jsonl") == 0
        out, log = capsysbinary.readouterr()
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["org_id"] for row in rows] == [org] * 9
        assert sorted(row["seq"] for row in rows) == list(range(1, 10))
        assert [row["ended_at"] for row in rows] == sorted(row["ended_at"] for row in rows)
        assert {row["outcome"] for row in rows} == {"settled", "failed", "unsettled", "correction"}
        assert log == b""


@pytest.mark.usefixtures("org")
@pytest.mark.parametrize(
    ("bounds", "number"),
    [
        ([], 9),
        (["--from", "2026-03-10T12:00:00Z"], 9),
        (["--from", "2026-03-10T12:00:00.000001Z"], 4),
        (["--to", "2026-03-10T12:00"], 0),
        (["--to", "2026-04-01"], 5),
        (["--from", "2026-04-01", "--to", "2026-05-01"], 4),
        (["--from", "2026-04-02T02:00:00+02:00", "--to", "2026-04-02"], 0),
        (["--from", "2026-04-02", "--to", "2026-04-02"], 0),
    ],
)
def test_only_rows_that_ended_within_the_bounds_are_written(
    bounds: list[str], number: int, capsysbinary: Capture
) -> None:
    assert export("--org", "acme", "--format", "csv", *bounds) == 0
    assert len(requests(capsysbinary.readouterr().out)) == number


def test_each_format_goes_to_a_file_for_its_owner_only(org: OrgId, tmp_path: Path) -> None:
    for kind in ("csv", "jsonl", "parquet"):
        path = tmp_path / f"rows.{kind}"
        path.write_text("what was there before", "utf-8")
        assert export("--org", org, "--format", kind, "--output", str(path)) == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    names = requests((tmp_path / "rows.csv").read_bytes())
    lines = (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == names
    table = pq.read_table(tmp_path / "rows.parquet")
    assert (table.column("request_id").to_pylist(), len(names)) == (names, 9)
    assert not list(tmp_path.glob(".rows*"))


def test_more_rows_than_a_page_are_all_written_once(database: Database, capsysbinary: Capture) -> None:
    org = database.write_here(make_org)
    folded(database, [priced(org, f"call-{number}") for number in range(ROWS_PER_PAGE + 1)])
    assert export("--org", "acme", "--format", "csv") == 0
    found = requests(capsysbinary.readouterr().out)
    assert len(set(found)) == len(found) == ROWS_PER_PAGE + 1


@ON_SQLITE
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_memory_does_not_grow_with_the_number_of_rows(database: Database, tmp_path: Path, kind: str) -> None:
    org = database.write_here(make_org)
    folded(database, [priced(org, "call")])

    def doubled(db: Connection, times: int) -> None:
        for _ in range(times):
            number = db.execute(select(func.count()).select_from(ledger)).scalar_one()
            changed = {"seq": ledger.c.seq + number, "request_id": ledger.c.request_id + f"+{number}"}
            copies = select(*(changed.get(column.name, column) for column in ledger.c))
            db.execute(insert(ledger).from_select(list(ledger.c), copies))
        db.execute(update(org_totals).values(seq=2 * number))

    def peak() -> int:
        tracemalloc.start()
        assert export("--org", "acme", "--format", kind, "--output", str(tmp_path / "rows")) == 0
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    database.write_here(lambda db: doubled(db, 10))
    few = peak()
    database.write_here(lambda db: doubled(db, 1))
    assert peak() < 1.2 * few
    assert len((tmp_path / "rows").read_bytes().splitlines()) >= 2_048


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--org", "acme"],
        ["--format", "csv"],
        ["--org", "acme", "--format", "xlsx"],
        ["--org", "acme", "--format", "csv", "--from", "yesterday"],
    ],
)
@ON_SQLITE
def test_arguments_that_are_wrong_exit_2_with_the_usage(arguments: list[str], capsysbinary: Capture) -> None:
    with pytest.raises(SystemExit) as left:
        export(*arguments)
    assert left.value.code == 2
    assert capsysbinary.readouterr().err.startswith(b"usage: tollway ledger export")


@ON_SQLITE
@pytest.mark.usefixtures("org")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--org", "nobody"], b"--org: there is no organisation nobody"),
        (["--org", "acme", "--from", "2026-03-02", "--to", "2026-03-01"], b"--from: it is after --to"),
        (["--org", "acme", "--output", "/dev/null"], b"--output: /dev/null is not a file"),
        (["--org", "acme", "--output", "."], b"--output: . is not a file"),
    ],
)
def test_what_cannot_be_done_exits_2_and_is_told(
    arguments: list[str], told: bytes, capsysbinary: Capture
) -> None:
    assert export("--format", "csv", *arguments) == 2
    assert capsysbinary.readouterr() == (b"", b"tollway: " + told + b"\n")


@ON_SQLITE
@pytest.mark.usefixtures("org")
def test_a_folder_that_is_not_there_exits_1(capsysbinary: Capture) -> None:
    assert export("--org", "acme", "--format", "csv", "--output", "nowhere/rows.csv") == 1
    assert b"No such file or directory" in capsysbinary.readouterr().err


def test_a_database_that_is_not_there_exits_1(monkeypatch: pytest.MonkeyPatch, capsysbinary: Capture) -> None:
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert export("--org", "acme", "--format", "csv") == 1
    assert b"not available" in capsysbinary.readouterr().err


@ON_SQLITE
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_export_that_fails_half_way_leaves_the_file_as_it_was(
    database: Database, tmp_path: Path, kind: str
) -> None:
    org = database.write_here(make_org)
    calls = [entry(org_id=org, started_us=number, ended_us=number) for number in range(ROWS_PER_PAGE + 1)]
    folded(database, calls)
    last = update(ledger).where(ledger.c.seq == ROWS_PER_PAGE + 1)
    database.write_here(lambda db: db.execute(last.values(started_us=2**62)))
    path = tmp_path / "rows"
    path.write_text("what was there before", "utf-8")
    if kind == "parquet":  # which has room for any number of microseconds
        database.write_here(lambda db: db.execute(last.values(started_us="soon")))
    with pytest.raises(Exception, match=r"year|range|int"):
        export("--org", "acme", "--format", kind, "--output", str(path))
    assert path.read_text("utf-8") == "what was there before"
    assert not list(tmp_path.glob(".rows*"))


async def test_it_runs_beside_a_server(stage: Stage, database_url: str, tmp_path: Path) -> None:
    acme = await stage.tenant()
    reply = await stage.chat(acme, user="ada")
    await stage.settled()
    arguments = ("ledger", "export", "--org", "acme", "--format", "csv")
    code, out, log = await run(tmp_path, *arguments, database_url=database_url)
    assert (code, log) == (0, "")
    (row,) = csv.DictReader(io.StringIO(out, newline=""))
    assert row["request_id"] == reply.headers["x-request-id"]
    assert row["cost_usd"] == reply.headers["tollway-cost-usd"]
    assert row["savings_usd"] == reply.headers["tollway-savings-usd"]
    assert (row["end_user"], row["outcome"], row["app"]) == ("ada", "settled", "acme-app")


@ON_SQLITE
async def test_a_reader_that_has_enough_is_no_fault(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    org = database.write_here(make_org)
    folded(database, [priced(org, f"call-{number}") for number in range(ROWS_PER_PAGE)])
    ours, theirs = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("ledger", "export", "--org", "acme", "--format", "csv"),
        cwd=tmp_path,
        env=environment(tmp_path, database_url=database_url),
        stdout=theirs,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(theirs)
    assert process.stderr is not None
    assert await asyncio.to_thread(os.read, ours, 10) == b"seq,reques"
    os.close(ours)  # as `head` does
    assert await process.stderr.read() == b""
    assert await process.wait() == 1


@ON_SQLITE
@pytest.mark.usefixtures("org")
async def test_a_terminal_is_shown_progress_and_no_parquet(database_url: str, tmp_path: Path) -> None:
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))

    async def shown(*arguments: str, to_terminal: bool) -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("ledger", "export", "--org", "acme", *arguments),
            cwd=tmp_path,
            env=environment(tmp_path, database_url=database_url),
            stdout=its if to_terminal else asyncio.subprocess.DEVNULL,
            stderr=its,
        )
        code = await process.wait()
        os.write(its, b"\0")
        told = b""
        while not told.endswith(b"\0"):
            told += await asyncio.to_thread(os.read, ours, 65_536)
        return code, told

    try:
        code, told = await shown("--format", "csv", to_terminal=False)
        assert (code, b"9/9" in told) == (0, True)
        code, told = await shown("--format", "csv", to_terminal=True)
        assert (code, b"seq,request_id" in told, b"9/9" in told) == (0, True, False)
        code, told = await shown("--format", "parquet", to_terminal=True)
        assert (code, b"--output" in told) == (2, True)
    finally:
        os.close(ours)
        os.close(its)
