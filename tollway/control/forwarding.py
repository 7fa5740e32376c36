"""Forward what one target exposes to one receiver, each second: the push's own sender as a program.

So that conformance suites, which drive a sender by a Prometheus configuration file, can drive ours.
Owns scraping, and how the text format becomes samples; does not own a byte of the push (`push/`).
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from ssl import create_default_context

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tollway.domain.clock import US_PER_MS, Clock
from tollway.domain.destination import Destination
from tollway.domain.ids import OrgId
from tollway.domain.token import Secret
from tollway.push.addresses import Resolver
from tollway.push.delivery import Outbound, Sender, Verdict
from tollway.push.metrics import MetricsPush
from tollway.push.remote_write import Protocol
from tollway.push.samples import Metadata, MetricType, Sample

EACH_S = 1.0
_DEADLINE_S = 10.0
_MOST_DOUBLINGS = 5
_EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_TYPES: Mapping[str, MetricType] = {"counter": "counter", "gauge": "gauge", "histogram": "histogram"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """From where, and to where. `labels` are put on every series, as `job` and `instance` are."""

    scrape_url: str
    write_url: str
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    labels: Mapping[str, str] = field(default_factory=dict)


async def forward(forwarding: Forwarding, clock: Clock, each_s: float = EACH_S) -> None:
    """Scrape and push so often, for ever; what fails is logged and left to the next time."""
    destination = Destination(
        org_id=OrgId(""),
        kind="prom",
        user=forwarding.user,
        token=forwarding.password,
        endpoint=forwarding.write_url,
    )
    outbound = Outbound(
        allowed=_EVERYWHERE,
        resolver=Resolver(_DEADLINE_S),
        tls=create_default_context(),
        deadline_s=_DEADLINE_S,
    )
    sender = Sender(destination, outbound)
    described: dict[str, Metadata] = {}
    metrics = MetricsPush(described)
    metrics.protocol = Protocol.V2
    failures = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_DEADLINE_S)) as session:
        try:
            while True:
                verdict = await _once(forwarding, session, sender, metrics, described, clock)
                failures = failures + 1 if verdict is not None and verdict.outcome == "retry" else 0
                await asyncio.sleep(_pause_s(verdict, failures, each_s))
        finally:
            await sender.close()


async def _once(
    forwarding: Forwarding,
    session: aiohttp.ClientSession,
    sender: Sender,
    metrics: MetricsPush,
    described: dict[str, Metadata],
    clock: Clock,
) -> Verdict | None:
    """None if the target was not there."""
    try:
        async with session.get(forwarding.scrape_url) as answer:
            answer.raise_for_status()
            text = await answer.text()
        exposed = list(samples_of(text, forwarding.labels, described))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        _log.warning("nothing was scraped: %s", error)
        return None
    verdict = await metrics.replace(sender, exposed, clock.now_us() // US_PER_MS)
    if verdict.outcome != "sent":
        _log.warning("%s: %s", verdict.outcome, verdict.reason)
    return verdict


def _pause_s(verdict: Verdict | None, failures: int, each_s: float) -> float:
    if verdict is None or verdict.outcome in ("sent", "bad_content"):
        return each_s
    doublings = _MOST_DOUBLINGS if verdict.outcome == "refused" else min(failures, _MOST_DOUBLINGS)
    backed_off_s: float = each_s * 2**doublings
    return max(backed_off_s, verdict.after_s or 0.0)


def samples_of(text: str, labels: Mapping[str, str], described: dict[str, Metadata]) -> Iterator[Sample]:
    """What a target exposes in the text format, with these labels; its metadata goes into `described`.

    ValueError for what is not of that format.
    """
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            if family.type in _TYPES:
                name = sample.name if family.type == "counter" else family.name
                described[name] = Metadata(_TYPES[family.type], family.documentation, family.unit)
            named = {**labels, **sample.labels, "__name__": sample.name}
            yield Sample(tuple(sorted(item for item in named.items() if item[1])), float(sample.value))
