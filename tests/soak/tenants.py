"""Organisations with receivers of their own, and what these hold.

Owns making both and asking both; does not own what befalls them or what must agree (`pushes.py`).
Of ten organisations, the first has a Prometheus and the second a VictoriaMetrics of its own, the
next three share one of each, told apart by the `org` label, and five have doubles that take 2.0. All
have a Loki's double.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.peers.monitor import MonitorServer
from tests.peers.prometheus import PrometheusServer
from tests.peers.victoria import VictoriaServer
from tests.soak.installation import MAX_RATE, MODELS, Installation
from tests.soak.load import Load, Pace
from tests.soak.witnesses import LineWitness, SampleWitness
from tollway.demo.receiver import Receiver
from tollway.domain.clock import US_PER_S, SystemClock
from tollway.domain.ids import OrgId

_PACE = Pace(clients=1, pause_s=1.0)
_ALWAYS_THERE = "tollway_spend_usd"
_OF_ALL_TIME = 'last_over_time({__name__=~".+"}[2h])'
_OWN, _SHARED, _TENTH = 2, 5, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One organisation; `credentials` are what is stored of each receiver."""

    number: int
    name: str
    org: OrgId
    user_token: str
    prom: MonitorServer | SampleWitness
    loki: LineWitness
    credentials: dict[str, dict[str, str]]
    load: Load

    async def put(self, made: Installation, *kinds: str) -> None:
        """Store these receivers, with their tokens."""
        body = {kind: self.credentials[kind] for kind in kinds}
        await made.ask("PUT", "/v1/orgs/integrations", self.user_token, body)

    async def status(self, made: Installation) -> Any:  # noqa: ANN401 - JSON
        """How its receivers are served."""
        return await made.ask("GET", "/v1/orgs/integrations/status", self.user_token)

    async def total(self, metric: str) -> float:
        """The sum of a metric at its receiver; 0 while there is none."""
        if isinstance(self.prom, SampleWitness):
            return self.prom.total(metric, org=self.name)
        found = await asyncio.to_thread(self.prom.query, f'sum({metric}{{org="{self.name}"}})')
        return found[0][1] if found else 0.0

    async def times_ms(self) -> list[int]:
        """The times of all its pictures at its receiver."""
        if isinstance(self.prom, SampleWitness):
            found = [
                [at_ms for at_ms, _ in samples]
                for labels, samples in self.prom.series().items()
                if {("__name__", _ALWAYS_THERE), ("org", self.name)} <= set(labels)
            ]
        else:
            selector = f'{_ALWAYS_THERE}{{org="{self.name}"}}[2h]'
            asked = await asyncio.to_thread(self.prom.samples, selector)
            found = [[at_ms for at_ms, _ in samples] for _, samples in asked]
        return sorted(at_ms for times_ms in found for at_ms in times_ms)

    async def longest_gap_s(self, after_ms: int = 0) -> float:
        """The longest time between two pictures, of those after that time."""
        times_ms = [at_ms for at_ms in await self.times_ms() if at_ms >= after_ms]
        if not times_ms:
            return float("inf")
        return max([0, *(b - a for a, b in pairwise(times_ms))]) / 1_000


async def orgs_at(prom: MonitorServer | SampleWitness) -> set[str]:
    """Every organisation of which a receiver ever had a series; "" for a series of nobody's."""
    if isinstance(prom, SampleWitness):
        return {dict(labels).get("org", "") for labels in prom.series()}
    found = await asyncio.to_thread(prom.query, f"count by (org) ({_OF_ALL_TIME})")
    return {labels.get("org", "") for labels, _ in found}


@asynccontextmanager
async def tenants(made: Installation, count: int, seed: int, *, real: bool) -> AsyncIterator[list[Tenant]]:
    """So many organisations, each with its receivers running and stored; without `real` only doubles."""
    clock = SystemClock()

    def now() -> float:
        return clock.now_us() / US_PER_S

    async with AsyncExitStack() as stack:
        places = await asyncio.to_thread(_servers) if real else []
        for place in places:
            await asyncio.to_thread(stack.enter_context, place)
        found = []
        for number in range(count):
            name = f"tenant-{number}"
            token = f"password-of-{name}"
            loki = await stack.enter_async_context(LineWitness(user=name, token=token, now=now))
            prom: MonitorServer | SampleWitness
            if server := _place(places, number):
                prom = server
                samples = {"id": server.user, "token": server.token, "endpoint": server.push_url}
            else:
                prom = await stack.enter_async_context(SampleWitness(user=name, token=token, now=now))
                samples = {"id": name, "token": token, "endpoint": f"{prom.url}/api/v1/write"}
            lines = {"id": name, "token": token, "endpoint": f"{loki.url}/loki/api/v1/push"}
            org, user_token, app_key = await _founded(made, name)
            tenant = Tenant(
                number=number,
                name=name,
                org=org,
                user_token=user_token,
                prom=prom,
                loki=loki,
                credentials={"prom": samples, "loki": lines},
                load=Load(app_key, MODELS, made.bases, seed + number, _PACE),
            )
            await tenant.put(made, "prom", "loki")
            found.append(tenant)
        yield found


def _servers() -> Sequence[MonitorServer]:
    """One of each for one organisation, and one of each to be shared."""
    kinds: Sequence[type[MonitorServer]] = (PrometheusServer, VictoriaServer) * 2
    return [kind(f"user-{number}", f"password-{number}") for number, kind in enumerate(kinds)]


def _place(servers: Sequence[MonitorServer], number: int) -> MonitorServer | None:
    """The real server of an organisation; None for a double."""
    if not servers or number % _TENTH >= _SHARED:
        return None
    return servers[number] if number < _OWN else servers[_OWN + number % 2]


async def _founded(made: Installation, name: str) -> tuple[OrgId, str, str]:
    """A new organisation: its id, its user's token and its app's key."""
    operator = made.environment["TOLLWAY_OPERATOR_TOKEN"]
    who = {"email": f"admin@{name}.example.com", "name": "Admin"}
    user_token = (await made.ask("POST", "/v1/users", operator, who))["token"]
    org = (await made.ask("POST", "/v1/orgs", user_token, {"org_name": name}))["id"]
    await made.ask("PATCH", f"/v1/operator/orgs/{org}", operator, {"rate_limit": MAX_RATE})
    app = {"name": f"App of {name}", "benchmark_model": MODELS[-1]}
    app_key = (await made.ask("POST", "/v1/apps/create", user_token, app))["created_key"]
    return OrgId(org), user_token, app_key


def doubles(tenant: Tenant) -> dict[str, Receiver]:
    """Its receivers that do as they are told."""
    proms = {"prom": tenant.prom} if isinstance(tenant.prom, SampleWitness) else {}
    return {**proms, "loki": tenant.loki}
