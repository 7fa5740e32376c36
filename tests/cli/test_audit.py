"""`tollway audit`: what it says, with what it exits, and that it changes nothing."""

from pathlib import Path

import pytest
from sqlalchemy import delete, text, update

from tests.cli.processes import run
from tests.control.audited import every_sort, folded, priced
from tests.world.entries import make_org
from tests.world.stage import Stage
from tollway.cli.main import main
from tollway.control.audit import ROWS_PER_PAGE, SHOWN_PER_ORG
from tollway.domain.ids import OrgId
from tollway.store.database import Database
from tollway.store.schema import cycle_totals, ledger

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def configured(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command that shall find the test's database, and no file of settings."""
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def org(database: Database) -> OrgId:
    made = database.write_here(make_org)
    folded(database, every_sort(made), "journal-1")
    folded(database, every_sort(OrgId("org-2")), "journal-2")
    return made


@pytest.mark.usefixtures("org")
def test_without_a_difference_it_exits_0(capsys: Capture) -> None:
    assert main(["audit"]) == 0
    assert capsys.readouterr() == ("audited 18 rows of 2 organisations: no differences\n", "")


def test_a_difference_exits_1_and_is_one_line_for_its_organisation(
    database: Database, org: OrgId, capsys: Capture
) -> None:
    wrong = update(cycle_totals).where(cycle_totals.c.org_id == org).values(num_requests=7)
    database.write_here(lambda db: db.execute(wrong))
    assert main(["audit"]) == 1
    told, errors = capsys.readouterr()
    assert told.splitlines() == [
        "acme: 2 differences in 9 rows",
        "  cycle 2026-03-01T00:00:00.000000Z: num_requests is 7, should be 5",
        "  cycle 2026-04-01T00:00:00.000000Z: num_requests is 7, should be 2",
        "audited 18 rows of 2 organisations: 1 with differences",
    ]
    assert errors == ""


def test_one_organisation_is_asked_for_by_name_or_id(database: Database, org: OrgId, capsys: Capture) -> None:
    database.write_here(lambda db: db.execute(delete(ledger).where(ledger.c.org_id == "org-2")))
    for named in ("acme", org):
        assert main(["audit", "--org", named]) == 0
        assert capsys.readouterr().out == "audited 9 rows of 1 organisation: no differences\n"
    assert main(["audit"]) == 1
    assert capsys.readouterr().out.startswith("org-2: ")


def test_an_organisation_that_is_not_there_exits_2(database: Database, capsys: Capture) -> None:
    database.write_here(make_org)
    assert main(["audit", "--org", "nobody"]) == 2
    assert capsys.readouterr() == ("", "tollway: --org: there is no organisation nobody\n")


def test_of_many_differences_the_first_are_listed(database: Database, capsys: Capture) -> None:
    made = database.write_here(make_org)
    folded(database, [priced(made, f"call-{number}") for number in range(SHOWN_PER_ORG + 5)])
    database.write_here(lambda db: db.execute(update(ledger).values(prompt_tokens=0)))
    assert main(["audit"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "acme: 25 differences in 25 rows"
    assert (len(lines), lines[-2]) == (1 + SHOWN_PER_ORG + 2, "  … and 5 more")


def test_more_rows_than_a_page_are_counted_once(database: Database, capsys: Capture) -> None:
    made = database.write_here(make_org)
    folded(database, [priced(made, f"call-{number}") for number in range(ROWS_PER_PAGE + 1)])
    assert main(["audit"]) == 0
    assert capsys.readouterr().out == f"audited {ROWS_PER_PAGE + 1} rows of 1 organisation: no differences\n"


@pytest.mark.usefixtures("org")
def test_text_that_was_tampered_with_does_not_reach_the_terminal_as_it_is(
    database: Database, capsys: Capture
) -> None:
    forged = update(ledger).where(ledger.c.seq == 2, ledger.c.org_id == "org-2")
    values = {"request_id": "\x1b[2J\nall is well", "prompt_tokens": 0}
    database.write_here(lambda db: db.execute(forged.values(values)))
    assert main(["audit"]) == 1
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "\nall is well" not in told


def test_tables_of_another_version_exit_2_and_stay_as_they_are(database: Database, capsys: Capture) -> None:
    database.write_here(lambda db: db.execute(text("UPDATE alembic_version SET version_num = '0001'")))
    assert main(["audit"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("tollway: database_url: its tables are not those of this version")
    left = database.write_here(
        lambda db: db.execute(text("SELECT version_num FROM alembic_version")).scalar()
    )
    assert left == "0001"


def test_a_database_that_is_not_there_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for url, told in (
        (f"sqlite:///{tmp_path / 'absent.db'}", "there is no file"),
        ("postgresql://nobody@127.0.0.1:1/none", "not available"),
    ):
        monkeypatch.setenv("TOLLWAY_DATABASE_URL", url)
        assert main(["audit"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.startswith("tollway: database_url: "), told in err) == ("", True, True)
    assert not (tmp_path / "absent.db").exists()


async def test_it_runs_beside_a_server(stage: Stage, database_url: str, tmp_path: Path) -> None:
    acme = await stage.tenant()
    await stage.chat(acme)
    await stage.settled()
    code, out, log = await run(tmp_path, "audit", database_url=database_url)
    assert (code, out, log) == (0, "audited 1 row of 2 organisations: no differences\n", "")
    await stage.chat(acme)
    await stage.settled()
    wrong = update(cycle_totals).values(num_requests=7)
    stage.world.database.write_here(lambda db: db.execute(wrong))
    code, out, _ = await run(tmp_path, "audit", "--org", "acme", database_url=database_url)
    assert (code, out.splitlines()[0]) == (1, "acme: 1 difference in 2 rows")
