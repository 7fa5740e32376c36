"""Every refusal of a limit, brought about for real: what `docs/limits.md` shows is what was answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import Connection, update

from tests.world.stage import OPERATOR_TOKEN, Answer, Stage, Tenant
from tests.world.waiting import until
from tollway.demo.vendor import Scripted
from tollway.domain.ids import OrgId
from tollway.store.changes import announce
from tollway.store.schema import orgs

PAUSE_REASON = {
    "invoices": [
        {
            "invoice_id": "in_1",
            "invoice_number": "ACME-0007",
            "amount": 49.0,
            "timestamp": 1_772_500_000,
            "pause_reason": "payment_failed",
            "invoice_name": "March",
            "payment_link": "https://pay.example.com/in_1",
            "severity": "high",
        }
    ]
}
SHOWN_HEADERS = ("retry-after", "x-should-retry", "x-ratelimit-")
PLANS = {"STARTUP": 1_000}

Refusal = Callable[[Stage, Tenant], Awaitable[Answer]]


async def patch(stage: Stage, tenant: Tenant, **changes: object) -> dict[str, Any]:
    """The operator changes the organisation; it holds at once. Returns the record."""
    path = f"/v1/operator/orgs/{tenant.org_id}"
    answer = await stage.request("PATCH", path, token=OPERATOR_TOKEN, body=changes)
    assert answer.status == 200, answer.body
    await in_force(stage)
    record: dict[str, Any] = answer.json
    return record


async def limit(stage: Stage, tenant: Tenant, **limits: object) -> None:
    """The organisation's admin sets spending limits; they hold at once."""
    put = await stage.request("PUT", "/v1/billing/limits", token=tenant.user_token, body=limits)
    assert put.status == 200, put.body
    await in_force(stage)


async def in_force(stage: Stage) -> None:
    """What was changed holds, as it does within a second by itself."""
    await stage.world.refresh()
    await stage.world.tidy()


async def _inactive(stage: Stage, tenant: Tenant) -> Answer:
    await patch(stage, tenant, is_active=False)
    return await stage.chat(tenant)


async def _paused(stage: Stage, tenant: Tenant) -> Answer:
    await stage.world.database.write(_pause, OrgId(tenant.org_id), stage.clock.now_us())
    await in_force(stage)
    return await stage.chat(tenant)


def _pause(db: Connection, org: OrgId, now_us: int) -> None:
    db.execute(update(orgs).where(orgs.c.id == org).values(subscription_pause_reason=PAUSE_REASON))
    announce(db, org, now_us)


async def _no_subscription(stage: Stage, tenant: Tenant) -> Answer:
    await patch(stage, tenant, subscription_tier="_TRIAL_", trial_end=int(stage.clock.now_s()))
    return await stage.chat(tenant)


async def _at_once(stage: Stage, tenant: Tenant) -> Answer:
    await patch(stage, tenant, max_in_flight=1)
    stage.vendor.scripted.append(Scripted(parts=[b"{}"], pause_s=0.2))
    first = asyncio.create_task(stage.chat(tenant))
    await until(lambda: len(stage.vendor.requests) > 0)
    second = await stage.chat(tenant)
    await first
    return second


async def _requests(stage: Stage, tenant: Tenant) -> Answer:
    await patch(stage, tenant, rate_limit=1)
    stage.clock.advance(12)
    await stage.chat(tenant)
    return await stage.chat(tenant)


async def _tokens(stage: Stage, tenant: Tenant) -> Answer:
    await patch(stage, tenant, tokens_per_minute=500)
    return await stage.chat(tenant, max_tokens=600)


async def _plan(stage: Stage, tenant: Tenant) -> Answer:
    await patch(stage, tenant, subscription_tier="STARTUP")
    return await stage.chat(tenant, max_tokens=2_000)


async def _trial(stage: Stage, tenant: Tenant) -> Answer:
    await patch(stage, tenant, subscription_tier="_TRIAL_", free_balance=0.1)
    return await stage.chat(tenant, max_tokens=100_000)


async def _spend(stage: Stage, tenant: Tenant) -> Answer:
    await limit(stage, tenant, spending_limit_hard=0.25)
    return await stage.chat(tenant, max_tokens=200_000)


REFUSALS: Mapping[str, Refusal] = {
    "organisation_inactive": _inactive,
    "subscription_paused": _paused,
    "subscription_required": _no_subscription,
    "too_many_in_flight": _at_once,
    "rate_limit_exceeded, requests": _requests,
    "rate_limit_exceeded, tokens": _tokens,
    "plan_exhausted": _plan,
    "trial_exhausted": _trial,
    "spending_limit_reached": _spend,
}
"""By the heading that shows it, in the order in which a call is refused."""


def shown(answer: Answer) -> str:
    """The answer as the page shows it."""
    headers = [
        f"{name.lower()}: {value}"
        for name, value in answer.headers.items()
        if name.lower().startswith(SHOWN_HEADERS)
    ]
    return "\n".join([f"HTTP/1.1 {answer.status}", *headers, "", answer.body.decode()])
