"""`tollway serve`: from its first start to its last folded row."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.cli.processes import follow, run, served
from tests.peers.postgres import free_port
from tollway.cli.serve import demo_offered, listen, run_server, run_worker
from tollway.cli.workers import Briefing
from tollway.domain.ids import OrgId
from tollway.domain.ledger import Outcome
from tollway.settings import ProviderSettings, Settings
from tollway.store.database import Database
from tollway.store.usage import StoredEntry, read_entries


async def rows(folder: Path, org: str) -> list[StoredEntry]:
    database = Database(f"sqlite:///{folder / 'data' / 'tollway.db'}")
    try:
        return await database.read(read_entries, OrgId(org), limit=10)
    finally:
        database.close()


async def test_a_first_start_prints_what_works_and_a_second_prints_it_no_more(tmp_path: Path) -> None:
    async with served(tmp_path) as first:
        ask, show = first.curls()
        answer: Any = await follow(ask)
        assert answer["choices"][0]["message"]["content"].startswith("You said: Hello!")
        record: Any = await follow(show)
        assert record["org_name"] == "demo"
    assert (first.exit_code, "Traceback" in first.log) == (0, False)
    tokens = [first.shown(what) for what in ("operator token", "user token", "app key")]
    assert [token and token[:4] for token in tokens] == ["two_", "twu_", "twk_"]
    assert not any(token in first.log for token in tokens if token)

    (row,) = await rows(tmp_path, record["id"])
    assert (row.entry.outcome, row.entry.cost.prompt) == (Outcome.SETTLED, 2 * 400)
    assert (tmp_path / "data.key").stat().st_mode & 0o777 == 0o600

    async with served(tmp_path, stop=signal.SIGINT) as second:
        again: Any = await follow([word.replace(first.base, second.base) for word in show])
        assert again["num_requests"] == 1
    assert second.exit_code == 0
    assert second.greeting.count("\n") == 1
    assert not any(token in second.greeting for token in tokens if token)


async def test_an_operator_token_that_is_given_is_used_and_not_printed(tmp_path: Path) -> None:
    token = "the-operator-token-given"
    async with served(tmp_path, "--demo", "off", operator_token=token) as server:
        body = '{"email": "ada@example.com", "name": "Ada"}'
        curl = ["curl", f"{server.base}/v1/users", "-H", f"Authorization: Bearer {token}", "-d", body]
        made: Any = await follow([*curl, "-H", "Content-Type: application/json"], 201)
        assert made["token"].startswith("twu_")
    assert server.exit_code == 0
    assert token not in server.greeting + server.log
    assert server.curls() == []
    assert "First start" not in server.greeting


async def test_a_port_that_is_taken_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, log = await run(tmp_path, "serve", "--port", str(port))
        assert run_server(Settings(port=port, data_dir=str(tmp_path / "data"))) == 1
    sentence = f"tollway: cannot listen on 127.0.0.1:{port}: "
    assert (code, out, log.startswith(sentence), log.count("\n")) == (1, "", True, 1)
    assert capsys.readouterr().err.startswith(sentence)
    assert not (tmp_path / "data").exists()


def test_a_database_that_is_away_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"postgresql://tollway:a-password@127.0.0.1:{free_port()}/tollway"
    settings = Settings(port=0, database_url=url, data_dir=str(tmp_path / "data"))
    assert run_server(settings) == 1
    told = capsys.readouterr().err
    assert told.startswith("tollway: database_url: the database is not available")
    assert "a-password" not in told


@contextlib.contextmanager
def once_it_answers(port: int, act: Callable[[], None]) -> Iterator[None]:
    """Do this as soon as the server of the block answers."""
    is_over = threading.Event()

    def wait() -> None:
        while not is_over.wait(0.02):
            with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30):
                act()
                return

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        yield
    finally:
        is_over.set()
        waiting.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_in_this_process_greets_and_stops_on_its_signal(
    workers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    settings = Settings(port=port, data_dir=str(tmp_path / "data"), workers=workers)
    with once_it_answers(port, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert run_server(settings) == 0
    assert f"listens on http://127.0.0.1:{port} " in capsys.readouterr().out


def test_a_worker_serves_on_its_parent_s_socket_until_the_parent_ends(tmp_path: Path) -> None:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = Settings(data_dir=str(tmp_path / "data"), demo="off")
    reading, writing = os.pipe()
    os.write(writing, Briefing(number=2, listener=listener.detach(), settings=settings).encoded())
    with once_it_answers(port, lambda: os.close(writing)):
        assert run_worker(reading) == 0
    os.close(reading)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_listening_takes_both_kinds_of_address() -> None:
    with listen("127.0.0.1", 0) as four:
        assert four.family == socket.AF_INET
    with listen("::1", 0) as six:
        assert six.family == socket.AF_INET6
    with pytest.raises(OSError, match="not assign"):
        listen("192.0.2.1", 0)


async def test_the_demo_vendor_runs_where_it_is_wanted_only() -> None:
    async with demo_offered(Settings(demo="off")) as offered:
        assert offered.providers == {}
    own = {"own": ProviderSettings(dialect="openai", base_url="https://example.com")}
    async with demo_offered(Settings(providers=own)) as offered:
        assert set(offered.providers) == {"own"}
    async with demo_offered(Settings(providers=own, demo="on")) as offered:
        assert set(offered.providers) == {"own", "demo"}
    async with demo_offered(Settings()) as offered:
        assert [model.name for model in offered.models] == ["demo/small", "demo/large"]
