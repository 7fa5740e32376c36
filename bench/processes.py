"""Processes that are measured: started, asked for their port, ended by their ids."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_CONFIG = """
demo = "on"
[providers.instant]
dialect = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models_only = true
[[models]]
name = "instant/model"
provider = "instant"
upstream = "instant"
price = {{ input = "0.40", output = "1.60" }}
"""


@contextmanager
def running(*command: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Python process of ours, ended by its id."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, env=env)  # noqa: S603 - our own command
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def line_of(process: subprocess.Popen[str], pattern: str) -> str:
    """The first group of the pattern in what the process prints."""
    for line in process.stdout or ():
        if found := re.search(pattern, line):
            return found[1]
    raise RuntimeError(f"no line like {pattern} was printed")


@contextmanager
def vendor() -> Iterator[int]:
    """The instant vendor's port."""
    with running("-m", "bench.instant") as process:
        yield int(line_of(process, r"^(\d+)$"))


@contextmanager
def gateway(folder: Path, vendor_port: int, *command: str) -> Iterator[tuple[int, str, str]]:
    """A gateway in front of the vendor: its port, an app's key and its user's token."""
    folder.mkdir()
    config = folder / "tollway.toml"
    config.write_text(_CONFIG.format(port=vendor_port))
    env = {
        "TOLLWAY_CONFIG": str(config),
        "TOLLWAY_DATA_DIR": str(folder / "data"),
        "TOLLWAY_PORT": "0",
    }
    with running(*command, env=env) as process:
        port = int(line_of(process, r"listens on http://127\.0\.0\.1:(\d+)"))
        token = line_of(process, r"user token +(\S+)")
        yield port, line_of(process, r"app key +(\S+)"), token
