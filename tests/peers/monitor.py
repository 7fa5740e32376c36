"""A real server of metrics for a test run, which takes remote writes and answers PromQL.

Owns the server's process, its directory and its one user; does not own which server it is
(`prometheus.py`, `victoria.py`) or how its binary gets onto the machine (`.ci/peers` does).

The server is ready when the `with` block begins, and when it ends neither process nor file is left.
"""

import abc
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import urlencode

import msgspec

from tests.peers.postgres import free_port, log_of, running

START_S = 30

Labels = dict[str, str]


class _Series(msgspec.Struct):
    metric: Labels
    value: tuple[float, str] | None = None
    """The time in seconds, and the number as text, so that NaN and Inf have a form."""
    values: list[tuple[float, str]] = []


class _Result(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    data: _Result


def find_binary(name: str) -> Path | None:
    """The binary that `.ci/peers` unpacked, else the one on PATH."""
    unpacked = Path(__file__).parents[2] / ".peers/usr/bin" / name
    if unpacked.is_file():
        return unpacked
    found = shutil.which(name)
    return None if found is None else Path(found)


class MonitorServer(abc.ABC):
    """A server of its own for one `with` block, for one user; it may be stopped and started in it."""

    NAME: ClassVar[str]
    BINARY: ClassVar[str]
    READY_PATH: ClassVar[str]

    def __init__(self, user: str, token: str) -> None:
        self.user = user
        self.token = token
        self._port = free_port()
        self._folder: Path | None = None
        self._process = ExitStack()

    @abc.abstractmethod
    def flags(self, folder: Path, address: str) -> Sequence[str]:
        """The server's command line; its data goes into the folder."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix=f"tollway-{self.BINARY}-"))
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._remove()

    @property
    def push_url(self) -> str:
        """Where remote writes go."""
        return f"http://127.0.0.1:{self._port}/api/v1/write"

    def start(self) -> None:
        """Start it, where it was before and with what it had; RuntimeError if it does not get ready."""
        binary = find_binary(self.BINARY)
        if binary is None:
            raise RuntimeError(f"There is no {self.NAME} on this machine: run .ci/peers.")
        assert self._folder is not None
        with ExitStack() as stack:
            process = self._spawn(binary, self._folder)
            stack.enter_context(running(process, signal.SIGTERM, self._folder))
            self._await(process, self._folder)
            self._process = stack.pop_all()

    def stop(self) -> None:
        """Stop it; nothing to do if it is not running."""
        self._process.close()

    def query(self, promql: str) -> list[tuple[Labels, float]]:
        """What an expression for an instant vector is now: labels and value of each series."""
        found = self._ask(promql)
        return [(series.metric, float(series.value[1])) for series in found if series.value is not None]

    def samples(self, selector: str) -> list[tuple[Labels, list[tuple[int, float]]]]:
        """What it holds of a range vector: labels and (time in ms, value) of each series."""
        return [
            (series.metric, [(round(at_s * 1_000), float(value)) for at_s, value in series.values])
            for series in self._ask(selector)
        ]

    def _ask(self, promql: str) -> list[_Series]:
        status, body = self._get(f"/api/v1/query?{urlencode({'query': promql})}")
        if status != HTTPStatus.OK:
            raise ValueError(f"{self.NAME} answered {status}: {body.decode()}")
        return msgspec.json.decode(body, type=_Answer).data.result

    def _get(self, target: str) -> tuple[int, bytes]:
        credentials = b64encode(f"{self.user}:{self.token}".encode()).decode()
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", target, headers={"Authorization": f"Basic {credentials}"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _spawn(self, binary: Path, folder: Path) -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [binary, *self.flags(folder, f"127.0.0.1:{self._port}")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )

    def _await(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        deadline = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < deadline:
            try:
                status, _ = self._get(self.READY_PATH)
            except (OSError, HTTPException):
                status = 0
            if status == HTTPStatus.OK:
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.NAME} did not get ready (exit code {process.poll()}):\n{log_of(folder)}")

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None
