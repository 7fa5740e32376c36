"""The one fixture: the production wiring, with a clock of ours and doubles at the other ends.

Nothing of Tollway is replaced: requests come in by HTTP on the loopback, and vendor,
Prometheus and Loki answer by HTTP. What tasks would do over time, `settled()` does at once.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.world.clock import TurningClock
from tests.world.names import Names
from tollway.cli.serve import listen, serving
from tollway.demo.loki import LokiReceiver
from tollway.demo.offer import BENCHMARK_MODEL, CHEAP_MODEL, with_demo
from tollway.demo.prometheus import PrometheusReceiver
from tollway.demo.vendor import DemoVendor
from tollway.settings import Settings
from tollway.world import World, open_world

OPERATOR_TOKEN = "the-operator-of-these-tests"
VENDOR_KEY = "key-of-the-vendor"
RECEIVER_USER = "123456"
RECEIVER_TOKEN = "password-of-the-receiver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The body's value; numbers as Python's JSON reads them."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organisation with its creator's token and an app's key."""

    org_id: str
    org_name: str
    user_token: str
    app_id: str
    app_key: str


class Stage:
    """A running world and everything around it."""

    def __init__(
        self,
        world: World,
        base: str,
        clock: TurningClock,
        vendor: DemoVendor,
        prometheus: PrometheusReceiver,
        loki: LokiReceiver,
        client: aiohttp.ClientSession,
    ) -> None:
        self.world = world
        self.base = base
        self.clock = clock
        self.vendor = vendor
        self.prometheus = prometheus
        self.loki = loki
        self.client = client

    async def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request: `body` is sent as JSON, `data` as it is."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            data = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        async with self.client.request(method, self.base + path, data=data, headers=sent) as answer:
            return Answer(status=answer.status, headers=answer.headers, body=await answer.read())

    async def user(self, email: str = "ada@example.com") -> str:
        """A new user's token."""
        made = await self.request(
            "POST", "/v1/users", token=OPERATOR_TOKEN, body={"email": email, "name": "Ada"}
        )
        assert made.status == 201, made.body
        return str(made.json["token"])

    async def tenant(
        self, name: str = "acme", benchmark: str | None = BENCHMARK_MODEL, **fields: object
    ) -> Tenant:
        """A new organisation, of these fields, with a user and an app of its own."""
        user_token = await self.user(f"admin@{name}.example.com")
        org = await self.request("POST", "/v1/orgs", token=user_token, body={"org_name": name, **fields})
        assert org.status == 201, org.body
        wanted = {"name": f"{name} app", "benchmark_model": benchmark}
        app = await self.request("POST", "/v1/apps/create", token=user_token, body=wanted)
        assert app.status == 201, app.body
        return Tenant(
            org_id=org.json["id"],
            org_name=name,
            user_token=user_token,
            app_id=app.json["id"],
            app_key=app.json["created_key"],
        )

    async def chat(self, tenant: Tenant, content: str = "Hello!", **fields: object) -> Answer:
        """One chat request of the tenant's app."""
        body = {"model": CHEAP_MODEL, "messages": [{"role": "user", "content": content}], **fields}
        return await self.request("POST", "/v1/chat/completions", token=tenant.app_key, body=body)

    async def record(self, tenant: Tenant) -> dict[str, Any]:
        """The organisation record."""
        shown = await self.request("GET", "/v1/orgs/current", token=tenant.user_token)
        assert shown.status == 200, shown.body
        record: dict[str, Any] = shown.json
        return record

    async def integrate(self, tenant: Tenant) -> dict[str, Any]:
        """Point the tenant at the stage's Prometheus and Loki."""
        basic = {"id": RECEIVER_USER, "token": RECEIVER_TOKEN}
        body = {
            "prom": {**basic, "endpoint": f"{self.prometheus.url}/api/v1/write"},
            "loki": {**basic, "endpoint": f"{self.loki.url}/loki/api/v1/push"},
        }
        put = await self.request("PUT", "/v1/orgs/integrations", token=tenant.user_token, body=body)
        assert put.status == 200, put.body
        record: dict[str, Any] = put.json
        return record

    async def settled(self) -> None:
        """Let everything that follows a request happen: fold, push, forget."""
        await self.world.settled()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """The settings of a stage; override the fixture to change some."""
    return Settings(
        database_url=database_url,
        data_dir=str(tmp_path / "data"),
        operator_token=OPERATOR_TOKEN,
        push_allow_cidrs="127.0.0.0/8",
        drain_s=5,
    )


@pytest.fixture
def names() -> Iterator[Names]:
    """The name servers of a stage."""
    scripted = Names()
    yield scripted
    scripted.end()


@pytest.fixture
async def stage(settings: Settings, names: Names) -> AsyncIterator[Stage]:
    """A running stage, on SQLite and on PostgreSQL in turn."""
    clock = TurningClock()
    user, token, now = RECEIVER_USER, RECEIVER_TOKEN, clock.now_s
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(DemoVendor(api_key=VENDOR_KEY))
        prometheus = await stack.enter_async_context(
            PrometheusReceiver(user=user, token=token, now=now, accepts="2.0")
        )
        loki = await stack.enter_async_context(LokiReceiver(user=user, token=token, now=now))
        offered = with_demo(settings, vendor, VENDOR_KEY)
        world = await stack.enter_async_context(open_world(offered, clock=clock, ask=names, runs_tasks=False))
        listener = listen("127.0.0.1", 0)
        stack.callback(listener.close)
        accepting = asyncio.Event()
        await stack.enter_async_context(serving(world, listener, accepting.set))
        await accepting.wait()
        client = await stack.enter_async_context(aiohttp.ClientSession())
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield Stage(world, base, clock, vendor, prometheus, loki, client)
