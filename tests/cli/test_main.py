"""The command line: what it takes, what it says, with what it exits."""

from pathlib import Path

import pytest

from tests.cli.processes import run
from tollway import __version__
from tollway.cli.main import main, settings_table
from tollway.settings import Settings, scalars

Capture = pytest.CaptureFixture[str]


def test_the_version_is_told(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (0, f"tollway {__version__}\n")


@pytest.mark.parametrize(
    "arguments", [[], ["sing"], ["serve", "--colour", "red"], ["serve", "--port"], ["demo", "--port", "0"]]
)
def test_arguments_that_are_wrong_exit_2_with_the_usage(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("usage: tollway")


def test_help_shows_every_setting(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert all(f"--{name.replace('_', '-')} VALUE" in shown for name in scalars())


def test_the_table_covers_every_scalar(capsys: Capture) -> None:
    assert main(["settings"]) == 0
    table = capsys.readouterr().out
    assert table == settings_table() + "\n"
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    assert [row[0] for row in rows] == [f"`{name}`" for name in scalars()]
    for row, name in zip(rows, scalars(), strict=True):
        assert row[1] == f"`TOLLWAY_{name.upper()}`"
        assert row[-1].endswith(".")
        default = getattr(Settings(), name)
        assert (str(default) in row[2] or f"{default:g}" in row[2]) if default != "" else len(row) == 4


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        (["--port", "many"], "port"),
        (["--port", "70000"], "port"),
        (["--push-interval-s", "0"], "push_interval_s"),
        (["--demo", "maybe"], "demo"),
        (["--push-allow-cidrs", "10.0.0.0/99"], "push_allow_cidrs"),
        (["--operator-token", "short"], "operator_token"),
        (["--secret-keys", "not-base64!"], "secret_keys"),
        (["--data-dir", "/dev/null/data"], "data_dir"),
    ],
)
def test_a_wrong_setting_exits_2_and_is_named(
    flags: list[str], key: str, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["serve", "--port", "0", "--data-dir", str(tmp_path / "data"), *flags]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"tollway: {key}: "), told
    assert told.count("\n") == 1
    assert "short" not in told


def test_a_variable_that_is_no_setting_is_warned_of(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLWAY_PROT", "1")
    assert main(["serve", "--port", "0", "--data-dir", "/dev/null/data"]) == 2
    warning, wrong = capsys.readouterr().err.splitlines()
    assert warning == "tollway: TOLLWAY_PROT is not a setting; did you mean port?"
    assert wrong.startswith("tollway: data_dir: ")


async def test_a_process_with_a_wrong_variable_exits_2_and_one_with_an_unknown_is_warned(
    tmp_path: Path,
) -> None:
    code, out, log = await run(tmp_path, "serve", prot="1", port="x")
    assert (code, out) == (2, "")
    assert "tollway: port: " in log
    (tmp_path / "tollway.toml").write_text('push_allow_cidrs = "x"\n', "utf-8")
    code, _, log = await run(tmp_path, "serve", prot="1")
    assert (code, "push_allow_cidrs: " in log) == (2, True)
