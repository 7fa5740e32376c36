"""The operator's own port, of one process and of each of several workers."""

import asyncio
import secrets
import socket
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.cli.processes import run, served
from tests.control.scrapes import Page
from tests.world.waiting import until
from tollway.cli.main import main


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody uses.

    Below those that clients get: who asks again and again for one of these may meet itself.
    """
    while True:
        first = 20_000 + secrets.randbelow(10_000)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


async def scraped(port: int) -> Page | None:
    """What the process at this port tells without a token; None while there is none."""
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/metrics") as answer,
        ):
            assert answer.status == 200
            return Page(await answer.text())
    except aiohttp.ClientConnectionError:
        return None


async def test_one_process_tells_on_the_port_itself(tmp_path: Path) -> None:
    port = free_ports(1)
    async with served(tmp_path, metrics_port=str(port)) as server:
        told = await scraped(port)
        assert told is not None
        assert told.value("database_up") == 1
        assert told.value("requests_in_flight", route="control") == 0  # this port's own are not counted
    assert server.exit_code == 0
    assert f"metrics of this process: port {port}" in server.log
    assert await scraped(port) is None


async def test_each_worker_tells_of_itself_on_the_port_plus_its_number(tmp_path: Path) -> None:
    first = free_ports(3)
    async with served(tmp_path, metrics_port=str(first), workers="2") as server:

        async def are_there() -> bool:
            return None not in [await scraped(first + number) for number in (1, 2)]

        await until(are_there)
        pages = [page for number in (1, 2) if (page := await scraped(first + number)) is not None]
        processes = [page.labels("process") for page in pages]
        assert len(set.union(*processes)) == 2
        assert [page.value("open_journals") for page in pages] == [2, 2]
        assert await scraped(first) is None
    assert server.exit_code == 0


def test_a_port_that_is_taken_is_told_before_anything_else_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        flags = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--metrics-port", port]
        assert main(["serve", *flags]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"tollway: metrics_port: cannot listen on 127.0.0.1:{port}: ")
    assert not (tmp_path / "data").exists()


async def test_a_worker_s_port_that_is_taken_stops_them_all_at_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = {"metrics_port": str(port - 2), "workers": "2"}
        code, _, log = await asyncio.wait_for(run(tmp_path, "serve", "--port", "0", **settings), 30)
        assert code == 2
        assert f"metrics_port: cannot listen on 127.0.0.1:{port}: " in log
