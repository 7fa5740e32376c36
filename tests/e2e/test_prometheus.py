"""The installed command, a real Prometheus, and a Loki double: what was asked is what both hold."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.peers.postgres import PostgresServer
from tests.peers.prometheus import PrometheusServer
from tests.world import waiting
from tollway.demo.loki import LokiReceiver
from tollway.domain.clock import US_PER_S, SystemClock

pytestmark = pytest.mark.e2e

USER, TOKEN = "123456", "glc_the-receivers-password"
DEADLINE_S = 30.0
_SHOWN = re.compile(r"^  (operator token|user token|app key) +(\S+)$", re.MULTILINE)
_BASE = re.compile(r"listens on (http://\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The running command, and what its first start printed."""

    process: asyncio.subprocess.Process
    client: aiohttp.ClientSession
    operator_token: str
    user_token: str
    app_key: str
    log: Path

    async def ask(self, method: str, path: str, token: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        """The JSON of an answer that is a success."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            data = await answer.read()
            assert answer.status < 300, data
            return msgspec.json.decode(data)

    async def chat(self, app_key: str, content: str, *, stream: bool = False) -> str:
        """One chat, read to its end; the request's id."""
        messages = [{"role": "user", "content": content}]
        body = {"model": "demo/small", "messages": messages, "stream": stream}
        headers = {"Authorization": f"Bearer {app_key}"}
        async with self.client.post("/v1/chat/completions", json=body, headers=headers) as answer:
            data = await answer.read()
            assert answer.status == 200, data
            assert data.endswith(b"data: [DONE]\n\n") == stream
            return answer.headers["x-request-id"]

    async def another_tenant(self, name: str) -> tuple[str, str]:
        """A new organisation: its user's token and its app's key."""
        who = {"email": f"admin@{name}.example.com", "name": "Admin"}
        user = await self.ask("POST", "/v1/users", self.operator_token, who)
        token = str(user["token"])
        await self.ask("POST", "/v1/orgs", token, {"org_name": name})
        wanted = {"name": "app", "benchmark_model": "demo/large"}
        app = await self.ask("POST", "/v1/apps/create", token, wanted)
        return token, str(app["created_key"])

    async def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()


@asynccontextmanager
async def command(folder: Path, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`tollway serve` as a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLWAY_")}
    environment = {
        **inherited,
        "TOLLWAY_PORT": "0",
        "TOLLWAY_DATA_DIR": str(folder / "data"),
        "TOLLWAY_PUSH_INTERVAL_S": "1",
        "TOLLWAY_PUSH_ALLOW_CIDRS": "127.0.0.0/8",
        **variables,
    }
    with (folder / "log").open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tollway", "serve"),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        assert process.stdout is not None
        await process.stdout.read()  # to its end, so that the pipe closes with the process
        await process.wait()


@asynccontextmanager
async def gateway(folder: Path, **variables: str) -> AsyncIterator[Gateway]:
    """The command at its first start."""
    log = folder / "log"
    async with command(folder, **variables) as process:
        said = await greeting(process, log)
        shown = dict(_SHOWN.findall(said))
        base = _BASE.search(said)
        assert base is not None
        async with aiohttp.ClientSession(base[1]) as client:
            yield Gateway(
                process=process,
                client=client,
                operator_token=shown["operator token"],
                user_token=shown["user token"],
                app_key=shown["app key"],
                log=log,
            )


def what_it_said(log: Path) -> str:
    return log.read_text()


async def greeting(process: asyncio.subprocess.Process, log: Path) -> str:
    """What is printed up to the line that shows the record's."""
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(DEADLINE_S):
        while "/v1/orgs/current" not in said:
            line = await process.stdout.readline()
            assert line, f"it ended while it started:\n{what_it_said(log)}"
            said += line.decode()
    return said


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what is asked of servers: in a thread, as one of them runs in this one."""
    await waiting.until(partial(asyncio.to_thread, holds), within_s=DEADLINE_S)


def total(prometheus: PrometheusServer, metric: str, org: str) -> float:
    """The sum of a metric over an organisation's series; 0 while there are none."""
    found = prometheus.query(f'sum({metric}{{org="{org}",job="tollway"}})')
    return found[0][1] if found else 0.0


def receivers(prometheus: PrometheusServer, loki: LokiReceiver, token: str = TOKEN) -> dict[str, object]:
    basic = {"id": USER, "token": token}
    return {
        "prom": {**basic, "endpoint": prometheus.push_url},
        "loki": {**basic, "endpoint": f"{loki.url}/loki/api/v1/push"},
    }


def assert_equal_sums(prometheus: PrometheusServer, org: str, record: dict[str, Any]) -> None:
    cost = total(prometheus, "tollway_cost_usd_total", org)
    benchmark = total(prometheus, "tollway_benchmark_cost_usd_total", org)
    assert total(prometheus, "tollway_tokens_total", org) == record["total_tokens"] > 0
    assert round(cost, 9) == record["total_tokens_cost"] > 0
    assert round(benchmark - cost, 9) == record["total_tokens_cost_savings"] > 0
    assert total(prometheus, "tollway_request_duration_seconds_count", org) == record["num_requests"]


@pytest.fixture
def prometheus() -> Iterator[PrometheusServer]:
    with PrometheusServer(USER, TOKEN) as running:
        yield running


@pytest.fixture
async def loki() -> AsyncIterator[LokiReceiver]:
    clock = SystemClock()
    async with LokiReceiver(user=USER, token=TOKEN, now=lambda: clock.now_us() / US_PER_S) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def variables(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Which database the command is told to use."""
    if request.param == "sqlite":
        yield {}
        return
    with PostgresServer() as server:
        server.create_database("tollway")
        yield {"TOLLWAY_DATABASE_URL": server.url("tollway")}


async def test_every_request_is_in_both_receivers_and_the_sums_are_the_records(
    tmp_path: Path, prometheus: PrometheusServer, loki: LokiReceiver, variables: dict[str, str]
) -> None:
    async with gateway(tmp_path, **variables) as running:
        await running.ask("PUT", "/v1/orgs/integrations", running.user_token, receivers(prometheus, loki))
        asked = []
        for number in range(3):
            asked.append(await running.chat(running.app_key, f"question {number}"))
            asked.append(await running.chat(running.app_key, f"and streamed, {number}", stream=True))
        asked.append(await running.chat(running.app_key, "a long one " * 600))  # with cached tokens

        await until(lambda: len(loki.lines(org="demo")) == len(asked))
        await until(lambda: total(prometheus, "tollway_requests_total", "demo") == len(asked))
        assert {line.metadata["request_id"] for line in loki.lines(org="demo")} == set(asked)
        record = await running.ask("GET", "/v1/orgs/current", running.user_token)
        assert record["num_requests"] == len(asked)
        assert_equal_sums(prometheus, "demo", record)
        kinds = {
            labels["kind"]: value
            for labels, value in prometheus.query("sum by (kind) (tollway_tokens_total)")
        }
        assert kinds["input"] + kinds["cache_read"] == record["prompt_tokens"]
        assert kinds["output"] == record["completion_tokens"]

        # A Prometheus that lost everything, at the same place: one picture, and all is there again.
        prometheus.__exit__(None, None, None)
        asked.append(await running.chat(running.app_key, "while nobody listens"))
        prometheus.__enter__()
        await until(lambda: total(prometheus, "tollway_requests_total", "demo") == len(asked))
        await until(lambda: len(loki.lines(org="demo")) == len(asked))
        record = await running.ask("GET", "/v1/orgs/current", running.user_token)
        assert_equal_sums(prometheus, "demo", record)

        assert await running.stop() == 0
        said = what_it_said(running.log)
        assert "Traceback" not in said
        assert "lost" not in said
        assert TOKEN not in said


async def test_a_wrong_token_keeps_one_tenant_out_and_harms_no_other(
    tmp_path: Path, prometheus: PrometheusServer, loki: LokiReceiver
) -> None:
    async with gateway(tmp_path) as running:
        user_token, app_key = await running.another_tenant("acme")
        wrong = receivers(prometheus, loki, token="glc_not-the-password")
        await running.ask("PUT", "/v1/orgs/integrations", running.user_token, wrong)
        await running.ask("PUT", "/v1/orgs/integrations", user_token, receivers(prometheus, loki))
        for number in range(3):
            await running.chat(running.app_key, "from the demo")
            await running.chat(app_key, f"from acme, {number}", stream=bool(number % 2))
        await until(lambda: len(loki.lines(org="acme")) == 3)
        await until(lambda: total(prometheus, "tollway_requests_total", "acme") == 3)
        record = await running.ask("GET", "/v1/orgs/current", user_token)
        assert_equal_sums(prometheus, "acme", record)
        refused = {request.headers["Authorization"] for request in loki.requests}
        assert len(refused) == 2  # it was tried, with the wrong token
        assert loki.lines(org="demo") == []
        assert prometheus.query('{org="demo"}') == []
        assert await running.stop() == 0


async def test_what_was_asked_just_before_sigterm_is_pushed_after_the_next_start(
    tmp_path: Path, prometheus: PrometheusServer, loki: LokiReceiver
) -> None:
    async with gateway(tmp_path) as running:
        await running.ask("PUT", "/v1/orgs/integrations", running.user_token, receivers(prometheus, loki))
        chats = [running.chat(running.app_key, "word " * 100, stream=True) for _ in range(5)]
        asked = set(await asyncio.gather(*chats))
        assert await running.stop() == 0
        assert "Traceback" not in what_it_said(running.log)
    async with command(tmp_path):
        await until(lambda: {line.metadata["request_id"] for line in loki.lines(org="demo")} == asked)
        await until(lambda: total(prometheus, "tollway_requests_total", "demo") == 5)
