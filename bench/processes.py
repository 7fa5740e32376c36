"""Processes that are measured: started, asked for their port, ended by their ids."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from secrets import token_hex
from typing import Any

_OPERATOR_TOKEN = token_hex()
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
        "TOLLWAY_OPERATOR_TOKEN": _OPERATOR_TOKEN,
        "TOLLWAY_DATA_DIR": str(folder / "data"),
        "TOLLWAY_PORT": "0",
    }
    with running(*command, env=env) as process:
        port = int(line_of(process, r"listens on http://127\.0\.0\.1:(\d+)"))
        token = line_of(process, r"user token +(\S+)")
        key = line_of(process, r"app key +(\S+)")
        _allow(port, token)
        yield port, key, token


def limit(port: int, token: str) -> None:
    """Limits of every other kind for the organisation of this token, none of them near."""
    org = _asked("GET", port, "/v1/orgs/current", token)
    path = f"/v1/operator/orgs/{org['id']}"
    _asked("PATCH", port, path, _OPERATOR_TOKEN, {"tokens_per_minute": 10**12, "max_in_flight": 10_000})
    _asked("PUT", port, "/v1/billing/limits", token, {"spending_limit_hard": 10**8})


def _allow(port: int, token: str) -> None:
    """As many requests a minute as are sent."""
    org = _asked("GET", port, "/v1/orgs/current", token)
    _asked("PATCH", port, f"/v1/operator/orgs/{org['id']}", _OPERATOR_TOKEN, {"rate_limit": 10**9})


def _asked(method: str, port: int, path: str, token: str, body: object = None) -> dict[str, Any]:
    """One request to the control plane; RuntimeError if it is refused."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
    if not 200 <= answer.status < 300:
        raise RuntimeError(f"{method} {path} was answered with {answer.status}: {text.decode()}")
    found: dict[str, Any] = json.loads(text)
    return found
