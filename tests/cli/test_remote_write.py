"""`tollway demo remote-write`: what it reads of a Prometheus configuration, and how it leaves."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tollway.cli.main import main
from tollway.cli.remote_write import read_configuration

CONFIG = """
global:
  external_labels: {region: north}
remote_write:
  - url: https://receiver.example.com/api/v1/write
    basic_auth: {username: "1", password: the-password}
scrape_configs:
  - job_name: test
    metrics_path: /m
    scheme: https
    static_configs:
      - targets: ["target.example.com:9100"]
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "prometheus.yml"
    file.write_text(text)
    return file


def test_the_first_receiver_and_target_are_read(tmp_path: Path) -> None:
    found = read_configuration(written(tmp_path, CONFIG))
    assert found.scrape_url == "https://target.example.com:9100/m"
    assert found.write_url == "https://receiver.example.com/api/v1/write"
    assert (found.user, found.password.reveal()) == ("1", "the-password")
    assert found.labels == {"region": "north", "job": "test", "instance": "target.example.com:9100"}
    assert "the-password" not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CONFIG.replace("remote_write:", "remote_read:"), "needs remote_write[0].url"),
        (CONFIG.replace("- targets:", "- labels:"), "'targets' is missing"),
        (CONFIG.replace("https://receiver", "ftp://receiver"), "remote_write[0].url: an endpoint"),
        ("{", "is not YAML"),
        ("", "needs remote_write[0].url"),
        ("[]", "needs remote_write[0].url"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert main(["demo", "remote-write", "--config", str(written(tmp_path, text))]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "remote-write", "--config", str(tmp_path / "none.yml")]) == 2
    assert "none.yml" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_when_it_is_asked_to(tmp_path: Path, number: signal.Signals) -> None:
    text = CONFIG.replace("https://receiver.example.com", "http://127.0.0.1:9")
    file = written(tmp_path, text.replace("target.example.com:9100", "127.0.0.1:9"))
    command = [sys.executable, "-m", "tollway", "demo", "remote-write", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "nothing was scraped" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(10) == 0
