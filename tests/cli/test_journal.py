"""`tollway journal` and `tollway ledger replay`: what they say of journals, and what they do to them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.metering.journals import Desk, begin, ended, ids
from tests.store.folds import check
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import ON_SQLITE
from tollway.cli.main import main
from tollway.domain.ids import JournalId
from tollway.metering.disk import Disk
from tollway.parts import journal_folder
from tollway.settings import Settings
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.journals import close_journal, register_journal

Capture = pytest.CaptureFixture[str]
AWAY = JournalId("journal-on-another-machine")

pytestmark = ON_SQLITE


@pytest.fixture(autouse=True)
def configured(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command that shall find the test's database and data folder."""
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", database_url)
    monkeypatch.setenv("TOLLWAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Iterator[Desk]:
    """Journals in the data folder, as servers leave them there."""
    settings = Settings(data_dir=str(tmp_path / "data"))
    deployment = database.write_here(partial(identify, now_us=NOON_US))
    made = Desk(Disk(journal_folder(settings, deployment)), TurningClock())
    yield made
    made.clear()


def register(database: Database, journal: JournalId, place: str = "host:/folder") -> None:
    database.write_here(lambda db: register_journal(db, journal, place, NOON_US))


def listed(capsys: Capture) -> dict[str, str]:
    """Each journal's line."""
    assert main(["journal", "list"]) == 0
    told, errors = capsys.readouterr()
    assert errors == ""
    return {line.split()[0]: line for line in told.splitlines()}


def test_every_journal_is_listed_with_its_state(database: Database, desk: Desk, capsys: Capture) -> None:
    alive, dead, unknown = (desk.journal(id_=name) for name in ("alive-1", "dead-1", "unknown-1"))
    for journal in (alive.id, dead.id, AWAY, JournalId("closed-1"), JournalId("forfeited-1")):
        register(database, journal)
    desk.die(dead)
    database.write_here(lambda db: close_journal(db, JournalId("closed-1"), NOON_US, folded_to=0))
    assert main(["journal", "forfeit", "forfeited-1"]) == 0
    capsys.readouterr()
    lines = listed(capsys)
    assert lines.keys() == {
        "journal",
        "alive-1",
        "dead-1",
        AWAY,
        "closed-1",
        "forfeited-1",
        "unknown-1",
    }
    for id_, state in {
        str(alive.id): "alive",
        str(dead.id): "dead, not folded yet",
        str(AWAY): "elsewhere",
        "closed-1": "closed",
        "forfeited-1": "forfeited",
        str(unknown.id): "not in the database yet",
    }.items():
        assert f" {state} " in lines[id_]
    assert str(desk.disk.size_of(alive.id)) in lines[alive.id]
    assert lines[AWAY].endswith("host:/folder")


def test_one_that_cannot_be_reached_is_given_up_once(database: Database, capsys: Capture) -> None:
    register(database, AWAY)
    assert main(["journal", "forfeit", AWAY]) == 0
    assert capsys.readouterr().out == f"{AWAY} is given up: calls that only it knew of are in no ledger\n"
    assert main(["journal", "forfeit", AWAY]) == 1
    assert capsys.readouterr() == ("", f"tollway: there is no open journal {AWAY}\n")


def test_one_that_lies_here_is_not_given_up(database: Database, desk: Desk, capsys: Capture) -> None:
    journal = desk.journal()
    register(database, journal.id)
    assert main(["journal", "forfeit", journal.id]) == 1
    told = capsys.readouterr().err
    assert "it lies on this disk" in told
    assert "tollway ledger replay" in told
    assert " alive " in listed(capsys)[journal.id]


def test_what_the_dead_left_is_replayed_once(database: Database, desk: Desk, capsys: Capture) -> None:
    journal = desk.journal()
    settled, unsettled = ended(journal, 3), begin(journal, 1)
    desk.die(journal)
    assert main(["ledger", "replay"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{journal.id}: ")
    assert told[-1].endswith(" records of 1 open journals were not in the database")
    rows = check(database)
    assert ids(rows) == ids([*settled, *unsettled])
    assert [row.is_known for row in rows] == [True] * 3 + [False]
    assert main(["ledger", "replay"]) == 0
    assert capsys.readouterr().out == "0 records of 0 open journals were not in the database\n"


def test_what_waits_in_a_living_journal_is_told_by_the_audit(
    database: Database, desk: Desk, capsys: Capture
) -> None:
    ended(desk.journal(), 2)
    assert main(["audit"]) == 0
    assert "2 rows of $0.0000848 wait in journals here to be stored" in capsys.readouterr().out
    assert check(database) == []


@pytest.mark.parametrize("command", [["journal", "list"], ["journal", "forfeit", "x"], ["ledger", "replay"]])
def test_without_a_database_it_says_so(
    command: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    assert main(command) == 2
    assert "none.db" in capsys.readouterr().err
    monkeypatch.setenv("TOLLWAY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert main(command) == 1
    assert capsys.readouterr().err.startswith("tollway: database_url: ")
