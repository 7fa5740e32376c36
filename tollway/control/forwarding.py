"""Forward what one target exposes to one receiver, each second: the push's own sender as a program.

So that conformance suites, which drive a sender by a Prometheus configuration file, can drive ours.
Owns scraping, what is said of a scrape (`up`), and how the text format becomes samples; does not own a
byte of the push (`push/`).
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
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
_SAY_SINCE_WHEN = frozenset({"counter", "histogram", "summary"})
_TYPE_LINE = re.compile(r'^[ \t]*#[ \t]+TYPE[ \t]+("[^"\n]*"|\S+)[ \t]+(\w+)[ \t\r]*$', re.MULTILINE)

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
                failures = failures + 1 if verdict.outcome == "retry" else 0
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
) -> Verdict:
    """Scrape and push; of a target that is not there, that it is not."""
    began_s = time.monotonic()
    exposed = await _scrape(forwarding, session, described)
    samples = _with_report(exposed, time.monotonic() - began_s, forwarding.labels)
    verdict = await metrics.replace(sender, samples, clock.now_us() // US_PER_MS)
    if verdict.outcome != "sent":
        _log.warning("%s: %s", verdict.outcome, verdict.reason)
    return verdict


async def _scrape(
    forwarding: Forwarding, session: aiohttp.ClientSession, described: dict[str, Metadata]
) -> list[Sample] | None:
    """None if the target was not there, or exposes no metrics."""
    try:
        async with session.get(forwarding.scrape_url) as answer:
            answer.raise_for_status()
            return samples_of(await answer.text(), forwarding.labels, described)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        _log.warning("nothing was scraped: %s", error)
        return None


def _with_report(exposed: list[Sample] | None, took_s: float, labels: Mapping[str, str]) -> list[Sample]:
    """What was scraped, and what Prometheus says of each scrape (but for `scrape_series_added`)."""
    samples = exposed or []
    report = {
        "up": exposed is not None,
        "scrape_duration_seconds": took_s,
        "scrape_samples_scraped": len(samples),
        "scrape_samples_post_metric_relabeling": len(samples),
    }
    return samples + [_sample(name, labels, value) for name, value in report.items()]


def _pause_s(verdict: Verdict, failures: int, each_s: float) -> float:
    if verdict.outcome == "sent":
        return each_s
    # What was refused is not sent again; nor, for a while, is its like.
    doublings = min(failures, _MOST_DOUBLINGS) if verdict.outcome == "retry" else _MOST_DOUBLINGS
    backed_off_s: float = each_s * 2**doublings
    return max(backed_off_s, verdict.after_s or 0.0)


def samples_of(text: str, labels: Mapping[str, str], described: dict[str, Metadata]) -> list[Sample]:
    """What a target exposes, with these labels and the names it gives; metadata goes into `described`.

    Reads the text format, and OpenMetrics as far as it is alike. ValueError for what is neither.
    """
    types = {name.strip('"'): kind for name, kind in _TYPE_LINE.findall(text)}
    # The parser appends `_total` to the names of counters, so it is not told of types.
    families = list(text_string_to_metric_families(_TYPE_LINE.sub("", text)))
    exposed = [sample for family in families for sample in family.samples]
    names = {sample.name for sample in exposed}
    helps = {family.name: family.documentation for family in families if family.documentation}
    for family, kind in types.items():
        if kind in _TYPES:
            # In OpenMetrics `_total` belongs to a counter's sample, not to its family.
            name = f"{family}_total" if kind == "counter" and family not in names else family
            described[name] = Metadata(_TYPES[kind], helps.get(family, ""), "")
    since_when = {
        f"{family.removesuffix('_total')}_created"
        for family, kind in types.items()
        if kind in _SAY_SINCE_WHEN
    }
    return [
        _sample(sample.name, {**labels, **sample.labels}, sample.value)
        for sample in exposed
        if sample.name not in since_when or sample.name in types
    ]


def _sample(name: str, labels: Mapping[str, str], value: float) -> Sample:
    named = {**labels, "__name__": name}
    return Sample(tuple(sorted(item for item in named.items() if item[1])), float(value))
