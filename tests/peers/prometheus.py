"""A real Prometheus for a test run, which takes remote writes and answers queries.

Owns the server's process, its directory and its one user; does not own how the binary gets onto
the machine (`.ci/peers` does).

The server is ready when the `with` block begins, and when it ends neither process nor file is left.
"""

import json
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import b64encode
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

import bcrypt
import msgspec

from tests.peers.postgres import free_port, log_of, running

START_S = 30


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]
    """The time in seconds, and the number as text, so that NaN and Inf have a form."""


class _Vector(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    data: _Vector


def find_prometheus() -> Path | None:
    """The binary that `.ci/peers` unpacked, else the one on PATH."""
    unpacked = Path(__file__).parents[2] / ".peers/usr/bin/prometheus"
    if unpacked.is_file():
        return unpacked
    found = shutil.which("prometheus")
    return None if found is None else Path(found)


class PrometheusServer:
    """A Prometheus server of its own for one `with` block, for one user."""

    def __init__(self, user: str, token: str) -> None:
        self._port = free_port()
        self._user = user
        self._token = token
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        binary = find_prometheus()
        if binary is None:
            raise RuntimeError("There is no Prometheus on this machine: run .ci/peers.")
        with ExitStack() as stack:
            base = Path(tempfile.mkdtemp(prefix="tollway-prometheus-"))
            stack.callback(shutil.rmtree, base)
            server = self._spawn(binary, base)
            stack.enter_context(running(server, signal.SIGTERM, base))
            self._await(server, base)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def push_url(self) -> str:
        """Where remote writes go."""
        return f"http://127.0.0.1:{self._port}/api/v1/write"

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """What an expression for an instant vector is now: labels and value of each series."""
        status, body = self._get(f"/api/v1/query?{urlencode({'query': promql})}")
        if status != HTTPStatus.OK:
            raise ValueError(f"Prometheus answered {status}: {body.decode()}")
        answer = msgspec.json.decode(body, type=_Answer)
        return [(series.metric, float(series.value[1])) for series in answer.data.result]

    def _get(self, target: str) -> tuple[int, bytes]:
        credentials = b64encode(f"{self._user}:{self._token}".encode()).decode()
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", target, headers={"Authorization": f"Basic {credentials}"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _spawn(self, binary: Path, base: Path) -> subprocess.Popen[bytes]:
        config, web = base / "prometheus.yml", base / "web.yml"
        config.write_text("{}")
        # JSON is YAML.
        hashed = bcrypt.hashpw(self._token.encode(), bcrypt.gensalt(rounds=4)).decode()
        web.write_text(json.dumps({"basic_auth_users": {self._user: hashed}}))
        command: list[str | Path] = [
            binary,
            f"--config.file={config}",
            f"--web.config.file={web}",
            f"--storage.tsdb.path={base / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--web.enable-remote-write-receiver",
        ]
        with (base / "log").open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=base,
                start_new_session=True,
            )

    def _await(self, server: subprocess.Popen[bytes], base: Path) -> None:
        deadline = time.monotonic() + START_S
        while server.poll() is None and time.monotonic() < deadline:
            try:
                status, _ = self._get("/-/ready")
            except (OSError, HTTPException):
                status = 0
            if status == HTTPStatus.OK:
                return
            time.sleep(0.02)
        raise RuntimeError(f"Prometheus did not get ready (exit code {server.poll()}):\n{log_of(base)}")
