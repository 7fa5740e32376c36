"""`tollway demo`: one organisation's day, played against doubles of everything and printed.

Owns the story; does not own any part in it: it is the same server that `tollway serve` runs.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.first_start import FirstStart, first_start
from tollway.cli.remote_write import add as add_remote_write
from tollway.cli.serve import demo_offered, listen, serving
from tollway.cli.vendor import add as add_vendor
from tollway.demo.loki import LokiReceiver
from tollway.demo.offer import BENCHMARK_MODEL, CHEAP_MODEL
from tollway.demo.prometheus import PrometheusReceiver
from tollway.domain.clock import US_PER_S, SystemClock
from tollway.settings import Settings
from tollway.world import open_world

_QUESTIONS = ("Hello!", "What does a token cost?", "Who pays for it?")
_INTERVAL_S = 0.5
_USER = "123456"
_TOKEN = "the-receivers-password"  # noqa: S105 - of the doubles here
_SHOWN = (
    "num_requests",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens_cost",
    "total_tokens_cost_savings",
)


def add(commands: Commands) -> None:
    """Add `tollway demo`, and its parts that also run alone."""
    story = "one organisation's day, played and printed"
    parser = commands.add_parser("demo", help=story, description=f"{story.capitalize()}.")
    parser.set_defaults(run=lambda _asked: run_demo(settings_of()))
    parts: Commands = parser.add_subparsers(metavar="vendor|remote-write")
    add_vendor(parts)
    add_remote_write(parts)


def run_demo(settings: Settings) -> int:
    """Play the story in a temporary folder; the exit code."""
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        own = msgspec.structs.replace(
            settings,
            data_dir=str(Path(folder) / "data"),
            database_url="",
            operator_token="",
            demo="on",
            push_interval_s=_INTERVAL_S,
            push_allow_cidrs="127.0.0.0/8",
        )
        uvloop.run(_story(own))
    return 0


async def _story(settings: Settings) -> None:
    def now() -> float:
        return SystemClock().now_us() / US_PER_S

    async with (
        PrometheusReceiver(user=_USER, token=_TOKEN, now=now, accepts="2.0") as prometheus,
        LokiReceiver(user=_USER, token=_TOKEN, now=now) as loki,
        _running(settings) as (base, begun),
        aiohttp.ClientSession(base) as client,
    ):
        as_user = {"Authorization": f"Bearer {begun.user_token}"}
        as_app = {"Authorization": f"Bearer {begun.app_key}"}
        print(f"1. The organisation 'demo' points its metrics and logs at {prometheus.url} and {loki.url}.")
        basic = {"id": _USER, "token": _TOKEN}
        await _asked(
            client,
            "PUT",
            "/v1/orgs/integrations",
            as_user,
            {
                "prom": {**basic, "endpoint": f"{prometheus.url}/api/v1/write"},
                "loki": {**basic, "endpoint": f"{loki.url}/loki/api/v1/push"},
            },
        )
        print(f"2. Its app asks {CHEAP_MODEL}, and measures savings against {BENCHMARK_MODEL}.")
        for question in _QUESTIONS:
            messages = [{"role": "user", "content": question}]
            body = {"model": CHEAP_MODEL, "messages": messages}
            answer = await _asked(client, "POST", "/v1/chat/completions", as_app, body)
            print(f"   > {question}\n   < {answer['choices'][0]['message']['content']}")
        while len(loki.lines(org="demo")) < len(_QUESTIONS):  # noqa: ASYNC110 - the double has no event
            await asyncio.sleep(_INTERVAL_S / 5)
        record = await _asked(client, "GET", "/v1/orgs/current", as_user)
        print("3. The organisation's record, GET /v1/orgs/current:")
        for name in _SHOWN:
            print(f"   {name:<26} {record[name]}")
        await asyncio.sleep(2 * _INTERVAL_S)
        print("4. The same in its own Prometheus:")
        for name in ("tollway_requests_total", "tollway_tokens_total", "tollway_cost_usd_total"):
            print(f"   sum({name}) = {prometheus.total(name, org='demo'):.9g}")
        print("5. And in its own Loki:")
        for line in loki.lines(org="demo"):
            print(f"   {line.text}")


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[tuple[str, FirstStart]]:
    """A server on a free port: its URL, and the tokens of its first start."""
    listener = listen("127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        offered = await stack.enter_async_context(demo_offered(settings))
        world = await stack.enter_async_context(open_world(offered))
        begun = await first_start(world)
        accepting = asyncio.Event()
        await stack.enter_async_context(serving(world, listener, accepting.set))
        await accepting.wait()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", begun


async def _asked(
    client: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], body: object = None
) -> Any:  # noqa: ANN401 - JSON
    async with client.request(method, path, headers=headers, json=body) as answer:
        answer.raise_for_status()
        return await answer.json(loads=msgspec.json.decode)
