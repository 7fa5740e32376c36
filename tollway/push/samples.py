"""From all-time totals to samples: names, labels and values as `docs/metrics.md` lists them.

Owns the metrics' names and label sets; does not own the totals (`domain/series.py`) or the wire
format. Every value is a counter that only rises, so a push that is lost loses resolution only.
Prometheus knows floats alone: dollars become one here, and nowhere before.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tollway.domain.clock import US_PER_S
from tollway.domain.money import NANO_PER_USD
from tollway.domain.series import BUCKET_LABELS, Metric, Series

JOB = "tollway"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricName:
    """One metric as receivers see it; `label` is the one beside app, model and provider."""

    name: str
    label: str | None
    per: int
    help: str


NAMES: Mapping[Metric, MetricName] = {
    Metric.REQUESTS: MetricName(
        name="tollway_requests_total", label="status", per=1, help="Requests answered, by HTTP status."
    ),
    Metric.TOKENS: MetricName(
        name="tollway_tokens_total", label="kind", per=1, help="Tokens, by kind; no kind includes another."
    ),
    Metric.COST: MetricName(
        name="tollway_cost_usd_total",
        label="kind",
        per=NANO_PER_USD,
        help="What the organisation is charged, in dollars.",
    ),
    Metric.BENCHMARK_COST: MetricName(
        name="tollway_benchmark_cost_usd_total",
        label="kind",
        per=NANO_PER_USD,
        help="What the same tokens would have cost on the benchmark model; the cost where there is none.",
    ),
    Metric.REFUSED: MetricName(
        name="tollway_refused_total",
        label="code",
        per=1,
        help="Calls that a limit refused, by the error's code; without `model` and `provider`.",
    ),
}
DURATION = MetricName(
    name="tollway_request_duration_seconds",
    label=None,
    per=US_PER_S,
    help="From the request's head to the end of the answer; a histogram.",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series; labels sorted by name, `__name__` among them."""

    labels: tuple[tuple[str, str], ...]
    value: float


def samples(totals: Mapping[Series, int], *, org: str, instance: str) -> Iterator[Sample]:
    """One organisation's totals as samples; histograms are summed up and complete."""
    buckets: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for series, value in totals.items():
        where = (series.app, series.model, series.provider)
        name = NAMES.get(series.metric)
        if name is None:
            buckets[where][series.label] += value
        else:
            extra = {name.label: series.label} if name.label else {}
            yield _sample(name.name, value / name.per, org, instance, where, extra)
    for where, counts in buckets.items():
        yield from _histogram(counts, org, instance, where)


def _histogram(
    counts: Mapping[str, int], org: str, instance: str, where: tuple[str, str, str]
) -> Iterator[Sample]:
    """`counts` by bucket, each request in one; the sum of durations stands under the empty label."""
    total = 0
    for bound in BUCKET_LABELS:
        total += counts[bound]
        yield _sample(f"{DURATION.name}_bucket", total, org, instance, where, {"le": bound})
    yield _sample(f"{DURATION.name}_sum", counts[""] / DURATION.per, org, instance, where, {})
    yield _sample(f"{DURATION.name}_count", total, org, instance, where, {})


def _sample(
    name: str, value: float, org: str, instance: str, where: tuple[str, str, str], extra: Mapping[str, str]
) -> Sample:
    app, model, provider = where
    labels = {
        "__name__": name,
        "app": app,
        "instance": instance,
        "job": JOB,
        "model": model,
        "org": org,
        "provider": provider,
        **extra,
    }
    # An empty label is none: what was refused has no model and no provider.
    return Sample(tuple(sorted(item for item in labels.items() if item[1])), float(value))
