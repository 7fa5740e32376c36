"""Several processes on one port: kept alive, and stopped without losing a call."""

import asyncio
import logging
import os
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from tests.cli.fleet import HELD, HeldVendor, fleet
from tests.world.waiting import until
from tollway.cli.main import main
from tollway.cli.workers import FLAG, Briefing, Workers, command, pause_s, read_briefing
from tollway.domain.ledger import Outcome
from tollway.domain.subscription import PlanSettings
from tollway.domain.token import Secret
from tollway.settings import ModelSettings, PriceSettings, ProviderSettings, Settings, SettingsError

DEMO = "demo/small"


@pytest.fixture
async def vendor() -> AsyncIterator[HeldVendor]:
    async with HeldVendor() as vendor:
        yield vendor


def sqlite_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'tollway.db'}"


async def test_every_worker_answers_and_one_that_is_killed_costs_no_other_s_calls(
    tmp_path: Path, vendor: HeldVendor, database_url: str
) -> None:
    async with fleet(tmp_path, vendor, database_url) as server:
        workers = [await server.accepting(1), await server.accepting(2)]
        assert len({server.process.pid, *workers}) == 3
        vendor.gate.clear()
        calls: list[asyncio.Task[tuple[int, str | None]]] = []
        for other in reversed(workers):  # while it sleeps, the first of them answers, then the second
            async with server.paused(other):
                calls += [await server.held(vendor) for _ in range(2)]
        held, vendor.gate = vendor.gate, asyncio.Event()
        vendor.gate.set()

        os.kill(workers[0], signal.SIGKILL)
        for lost in calls[:2]:
            with pytest.raises(aiohttp.ClientError):
                await lost
        meanwhile = [await server.ask(model) for model in (HELD, DEMO, HELD, DEMO)]
        again = await server.accepting(1, times=2)
        assert again not in workers
        async with server.paused(workers[1]):
            meanwhile.append(await server.ask(DEMO))
        held.set()
        answers = [*meanwhile, *await asyncio.gather(*calls[2:])]
        assert {status for status, _ in answers} == {200}

        org = await server.org()
        entries = await server.entries(org, lambda entries: len(entries) == len(answers) + 2)
        settled = {str(entry.request_id) for entry in entries if entry.outcome is Outcome.SETTLED}
        assert settled == {request_id for _, request_id in answers}
        assert Counter(entry.outcome for entry in entries)[Outcome.UNSETTLED] == 2
        server.process.send_signal(signal.SIGINT)
        assert await server.ended() == 0
    assert f"ended with signal 9 ({signal.strsignal(9)})" in server.log
    assert "Traceback" not in server.log
    assert server.greeting.count("First start") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_however_the_parent_ends_its_workers_finish_their_calls_and_store_them(
    number: signal.Signals, tmp_path: Path, vendor: HeldVendor
) -> None:
    async with fleet(tmp_path, vendor, sqlite_in(tmp_path)) as server:
        answered = [await server.ask(HELD) for _ in range(3)]
        for _ in answered:
            await vendor.arrival()
        org = await server.org()
        vendor.gate.clear()
        call = await server.held(vendor)
        server.process.send_signal(number)
        await server.refused()
        assert not call.done()
        vendor.gate.set()
        answered.append(await call)
        assert await server.ended() == (-number if number is signal.SIGKILL else 0)
        assert {status for status, _ in answered} == {200}
        entries = await server.entries(org, lambda _: True)
        assert {str(entry.request_id) for entry in entries} == {request_id for _, request_id in answered}
    assert "Traceback" not in server.log


async def test_a_second_signal_ends_what_the_first_let_finish(tmp_path: Path, vendor: HeldVendor) -> None:
    async with fleet(tmp_path, vendor, sqlite_in(tmp_path)) as server:
        vendor.gate.clear()
        call = await server.held(vendor)
        server.process.terminate()
        server.process.terminate()
        await server.refused()
        assert not call.done()  # two at once are one
        while not call.done():
            server.process.terminate()
            await asyncio.sleep(0.1)
        with pytest.raises(aiohttp.ClientError):
            await call
        assert await server.ended() == 1
        vendor.gate.set()


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        (["--workers", "0"], "workers"),
        (["--workers", "1000"], "workers"),
        (["--workers", "two"], "workers"),
        (["--workers", "2", "--secret-keys", "not-base64!"], "secret_keys"),
        (["--workers", "2", "--data-dir", "/dev/null/data"], "data_dir"),
    ],
)
def test_a_wrong_setting_is_told_once_by_the_parent(
    flags: list[str], key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", "--data-dir", str(tmp_path / "data"), *flags]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"tollway: {key}: "), told
    assert told.count("\n") == 1


def test_a_worker_s_command_holds_nothing_but_that_it_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-m", "tollway", "serve", FLAG]
    assert command() == [sys.executable, "-P", *words]
    monkeypatch.syspath_prepend(str(tmp_path))
    assert command() == [sys.executable, *words]


texts = st.text(max_size=20)


@given(key=texts, url=texts, number=st.integers(1, 256), models=st.integers(0, 2_000))
@limits(deadline=None, max_examples=30)
def test_a_briefing_arrives_whole_with_its_secrets(key: str, url: str, number: int, models: int) -> None:
    model = ModelSettings(name="m", provider="p", upstream="u", price=PriceSettings(input="1", output="2"))
    provider = ProviderSettings(dialect="openai", base_url=url, api_key=Secret(key))
    keyless = ProviderSettings(dialect="openai", base_url=url)
    settings = Settings(
        providers={"p": provider, "q": keyless},
        models=[model] * models,
        plans={"_FREE_": PlanSettings(max_apps=number, monthly_price_usd="0.1")},
        operator_token=key,
    )
    briefing = Briefing(number=number, listener=7, settings=settings)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ours.sendall(briefing.encoded())  # and it is not closed
        read = read_briefing(theirs.fileno())
    secret = read.settings.providers["p"].api_key
    assert secret is not None
    assert secret.reveal() == key
    assert msgspec.structs.replace(read.settings, providers={}) == msgspec.structs.replace(
        settings, providers={}
    )
    assert read.settings.providers["q"] == keyless
    assert (read.number, read.listener) == (number, 7)


@pytest.mark.parametrize("text", [b"", b"\n", b"{}\n", b'{"number": 1', b"\xff\n", b'{"number": "x"}\n'])
def test_what_is_no_briefing_is_refused(text: bytes) -> None:
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    with pytest.raises(SettingsError, match="is for the processes"):
        read_briefing(reading)
    os.close(reading)


def test_only_what_settings_are_made_of_is_written_into_a_briefing() -> None:
    settings = msgspec.structs.replace(Settings(), data_dir=Path("data"))
    with pytest.raises(TypeError, match="is no setting"):
        Briefing(number=1, listener=3, settings=settings).encoded()


@given(lived_s=st.floats(0, 1e6), last_s=st.floats(0, 30))
@limits(deadline=None)
def test_a_pause_is_between_one_second_and_thirty(lived_s: float, last_s: float) -> None:
    assert 1 <= pause_s(lived_s, last_s) <= 30


def test_pauses_grow_while_workers_die_at_once_and_begin_again_after_one_that_lived() -> None:
    pauses = [0.0]
    for lived_s in (0, 0.5, 59, 0, 0, 0, 0, 61, 0):
        pauses.append(pause_s(lived_s, pauses[-1]))
    assert pauses[1:] == [1, 2, 4, 8, 16, 30, 30, 1, 2]


READS = "import json, os, signal, sys; number = json.loads(sys.stdin.readline())['number']\n"
WAITS = "sys.stdin.read()\n"


@asynccontextmanager
async def kept(script: str, *, workers: int = 1) -> AsyncIterator[tuple[Workers, "asyncio.Task[int]"]]:
    """Workers that are this Python script, and their exit code once they are ended."""
    with socket.socket() as listener:
        parent = Workers(Settings(workers=workers), listener, [sys.executable, "-c", READS + script])
        running = asyncio.create_task(parent.run())
        yield parent, running
        parent.end()
        async with asyncio.timeout(20):
            while not running.done():
                parent.end()
                await asyncio.sleep(0.05)


async def said(caplog: pytest.LogCaptureFixture, pattern: str) -> None:
    await until(lambda: re.search(pattern, caplog.text) is not None)


async def test_a_configuration_that_no_worker_can_use_ends_all(caplog: pytest.LogCaptureFixture) -> None:
    async with kept(f"sys.exit(2) if number == 2 else {WAITS}", workers=3) as (_, running):
        assert await running == 2
    assert "worker 2 ended with exit code 2" in caplog.text


async def test_the_same_code_from_a_later_start_ends_nothing(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    mark = tmp_path / "was-here"
    script = f"""
if os.path.exists({str(mark)!r}):
    sys.exit(2)  # a full disk, say, for which nobody else need stop
open({str(mark)!r}, "w").close()
os.kill(os.getpid(), signal.SIGKILL)
"""
    async with kept(script) as (parent, running):
        await said(caplog, "ended with signal 9")
        await said(caplog, "ended with exit code 2")
        assert not running.done()
        parent.end()
        assert await running == 0


async def test_a_worker_that_ends_well_unasked_is_followed_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with kept("sys.exit(0)") as (_, running):
        await said(caplog, "(?s)is process.*ended with exit code 0.*is process")
        assert not running.done()


async def test_a_worker_that_fails_in_its_last_act_is_told_by_the_exit_code(tmp_path: Path) -> None:
    mark = tmp_path / "can-be-ended"
    script = f"""
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
open({str(mark)!r}, "w").close()
{WAITS}"""
    async with kept(script) as (parent, running):
        await until(mark.exists)
        parent.end()
        assert await running == 1


async def test_a_worker_that_cannot_be_started_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as listener:
        parent = Workers(Settings(workers=2), listener, ["/nowhere/python"])
        running = asyncio.create_task(parent.run())
        await said(caplog, "worker 2 cannot be started: .*No such file")
        assert not running.done()
        parent.end()
        assert await running == 0
