"""One probe to a receiver: does it take what it would be pushed, with these credentials?

It is a sample, or a line, of its own name, so that nothing which is counted is touched. Owns what a
probe is; does not own who may send one (`control/delivery.py`).
"""

from dataclasses import dataclass

import msgspec

from tollway.domain.clock import US_PER_MS, US_PER_S
from tollway.domain.destination import Destination
from tollway.push import loki
from tollway.push.delivery import Outbound, Sender
from tollway.push.lines import Line, Stream
from tollway.push.metrics import MetricsPush
from tollway.push.samples import JOB, Sample

PROBE_METRIC = "tollway_integration_test_timestamp_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the receiver said. `status` is None where it said nothing; `text` is without secrets."""

    is_ok: bool
    status: int | None
    text: str | None
    protocol: str | None = None


async def probe(
    destination: Destination, outbound: Outbound, *, org_name: str, instance: str, now_us: int
) -> Answer:
    """Send one sample, or one line, and say what came back; never raises for what the other end does."""
    sender = Sender(destination, outbound)
    protocol = None
    try:
        if destination.kind == "prom":
            metrics = MetricsPush()
            labels = {"__name__": PROBE_METRIC, "instance": instance, "job": JOB, "org": org_name}
            sample = Sample(tuple(sorted(labels.items())), now_us / US_PER_S)
            verdict = await metrics.send(sender, [sample], now_us // US_PER_MS)
            protocol = metrics.protocol
        else:
            verdict = await sender.post(_line(org_name, now_us), loki.HEADERS)
    finally:
        await sender.close()
    return Answer(
        is_ok=verdict.outcome == "sent", status=verdict.status, text=verdict.reason, protocol=protocol
    )


def _line(org_name: str, now_us: int) -> bytes:
    text = msgspec.json.encode({"message": "a test of the integration", "org": org_name})
    stream = Stream(org_name, "", "info")
    return loki.body([Line(0, stream, now_us, text, {}, len(text))])
