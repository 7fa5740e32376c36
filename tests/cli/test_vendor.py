"""`tollway demo vendor`: a process of its own that says where it is, what it bills and what is wrong."""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.cli.processes import COMMAND, environment, run
from tests.peers.postgres import free_port
from tollway.cli import demo
from tollway.cli.main import main
from tollway.demo.bill import Line
from tollway.demo.faults import Fault, Trait

Capture = pytest.CaptureFixture[str]
ASKED = {"model": "small", "messages": [{"role": "user", "content": "Hello!"}]}


@dataclass
class Vending:
    """A vendor's process: where it is, and, once stopped, how it ended."""

    base_url: str
    bill_url: str
    exit_code: int | None = None
    told: str = ""
    log: str = ""


@asynccontextmanager
async def vending(folder: Path, *flags: str, stop: int = signal.SIGTERM) -> AsyncIterator[Vending]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("demo", "vendor", *flags),
        cwd=folder,
        env=environment(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        greeting = (await process.stdout.readline()).decode()
        urls = re.findall(r"http://\S+", greeting)
        if not urls:
            raise AssertionError((await process.communicate())[1].decode())
        vendor = Vending(base_url=urls[0], bill_url=urls[1], told=greeting)
        yield vendor
        process.send_signal(stop)
        out, log = await asyncio.wait_for(process.communicate(), 20)
        vendor.told += out.decode()
        vendor.log = log.decode()
        vendor.exit_code = process.returncode
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_where_it_is_answers_bills_and_stops_on_its_signal(tmp_path: Path, stop: int) -> None:
    ledger = tmp_path / "bill.jsonl"
    flags = ("--faults", "none", "--seed", "7", "--ledger", str(ledger), "--api-key", "the-key")
    async with vending(tmp_path, *flags, stop=stop) as vendor, aiohttp.ClientSession() as client:
        endpoint = f"{vendor.base_url}/chat/completions"
        for key, status in (("the-key", 200), ("another", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            async with client.post(endpoint, json=ASKED, headers=headers) as answer:
                assert answer.status == status
        async with client.get(vendor.bill_url) as answer:
            shown = await answer.read()
    assert (vendor.exit_code, vendor.log) == (0, "")
    assert vendor.told == f"Vendor at {vendor.base_url} (seed 7), bill at {vendor.bill_url}\n"
    assert vendor.base_url.endswith("/v1")
    assert ledger.read_bytes() == shown
    (line,) = msgspec.json.Decoder(Line).decode_lines(shown)
    assert (line.fault, line.billed, line.reported) == (None, True, True)


async def test_a_stop_in_midstream_is_on_the_bill(tmp_path: Path) -> None:
    flags = ("--faults", "none", "--first-byte-ms", "0", "--chunk-ms", "60000", "--ledger", "bill.jsonl")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        async with vending(tmp_path, *flags) as vendor:
            post = client.post(f"{vendor.base_url}/chat/completions", json={**ASKED, "stream": True})
            answer = await stack.enter_async_context(post)
            await answer.content.readany()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert (vendor.exit_code, vendor.log) == (0, "")
    line = msgspec.json.decode((tmp_path / "bill.jsonl").read_bytes(), type=Line)
    assert (line.status, line.billed, line.reported) == (200, True, False)


async def test_a_fault_that_is_named_is_met_as_often_as_it_says(tmp_path: Path) -> None:
    flags = ("--faults", "none", "--fault", "rate_limited=0.5", "--fault", "rate_limited=1")
    async with vending(tmp_path, *flags) as vendor, aiohttp.ClientSession() as client:
        for _ in range(5):
            async with client.post(f"{vendor.base_url}/chat/completions", json=ASKED) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert vendor.exit_code == 0


async def test_a_process_whose_port_is_taken_exits_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, out, log = await run(tmp_path, "demo", "vendor", "--port", str(taken.getsockname()[1]))
    assert (code, out, log.count("\n")) == (1, "", 1)


def test_a_port_that_is_taken_is_told_with_what_to_do(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "vendor", "--port", str(port)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"tollway: cannot listen on 127.0.0.1:{port}: ")
    assert told.endswith("address already in use; give another --port, or 0 for a free one\n")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--port", "70000"], "'70000' is not a port between 0 and 65535"),
        (["--port", "-1"], "'-1' is not a port"),
        (["--seed", "x"], "--seed: invalid int value"),
        (["--faults", "some"], "choose from"),
        (["--fault", "sneezed=0.1"], "there is no 'sneezed'; the names are rate_limited, "),
        (["--fault", "rate_limited"], "'rate_limited' is not like rate_limited=0.05"),
        (["--fault", "rate_limited=often"], "'rate_limited=often' is not like rate_limited=0.05"),
        (["--first-byte-ms", "50-5"], "'50-5' is not like 5-50"),
        (["--first-byte-ms", "nan"], "'nan' is not like 5-50"),
        (["--chunk-ms", "1s"], "'1s' is not like 5-50"),
        (["--chunk-ms", "700000"], "'700000' is not like 5-50"),
        (["--chunk-ms", ""], "'' is not like 5-50"),
        (["--fault", "rate_limited=1.5"], "--fault: rate_limited=1.5: a rate is between 0 and 1"),
        (["--fault", "rate_limited=1"], "--fault: the faults of whole answers add up to 1."),
        (["--ledger", "."], "--ledger .: Is a directory; name a file to write"),
        (["--ledger", "/dev/null/bill"], "--ledger /dev/null/bill: Not a directory; name a file to write"),
    ],
)
def test_a_wrong_flag_exits_2_and_says_why(flags: list[str], told: str, capsys: Capture) -> None:
    try:
        code: object = main(["demo", "vendor", *flags])
    except SystemExit as left:
        code = left.code
    assert code == 2
    assert told in capsys.readouterr().err.replace("\n", " ")


def test_a_ledger_of_another_run_is_left_alone(tmp_path: Path, capsys: Capture) -> None:
    ledger = tmp_path / "bill.jsonl"
    ledger.write_text('{"number":1}\n', "utf-8")
    assert main(["demo", "vendor", "--ledger", str(ledger)]) == 2
    assert capsys.readouterr().err == (
        f"tollway: --ledger: {ledger} has lines of another run already; name a new file\n"
    )
    assert ledger.read_text("utf-8") == '{"number":1}\n'


def test_a_vendor_in_this_process_greets_and_stops_on_its_signal(capsys: Capture) -> None:
    port = free_port()

    def stop_once_it_listens() -> None:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    stopper = threading.Thread(target=stop_once_it_listens)
    stopper.start()
    try:
        assert main(["demo", "vendor", "--port", str(port)]) == 0
    finally:
        stopper.join()
    url = f"http://127.0.0.1:{port}"
    assert capsys.readouterr().out == f"Vendor at {url}/v1 (seed 0), bill at {url}/bill\n"


def test_help_names_every_fault(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as left:
        main(["demo", "vendor", "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*Fault, *Trait))


def test_plain_demo_still_tells_its_story() -> None:
    parser = argparse.ArgumentParser()
    demo.add(parser.add_subparsers())
    runs = [parser.parse_args(words).run.__module__ for words in (["demo"], ["demo", "vendor"])]
    assert runs == ["tollway.cli.demo", "tollway.cli.vendor"]
