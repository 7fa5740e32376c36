"""From all-time totals to samples: names, labels and values as `docs/metrics.md` lists them.

Owns the metrics' names and label sets; does not own the totals (`domain/series.py`) or the wire
format. What is counted only rises, so a push that is lost loses resolution only; gauges say how it
is now. Prometheus knows floats alone: dollars become one here, and nowhere before.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from tollway.domain.clock import US_PER_S
from tollway.domain.money import NANO_PER_USD
from tollway.domain.series import BUCKET_LABELS, Gauges, Metric, Place, Series, Totals

JOB = "tollway"
RATE_LIMITED_CODE = "rate_limit_exceeded"

MetricType = Literal["counter", "gauge", "histogram"]

Labels = tuple[tuple[str, str], ...]
"""Sorted by name, `__name__` among them, none empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricName:
    """One metric as receivers see it; `label` is its own, beside those that `of` says."""

    name: str
    type: MetricType
    help: str
    label: str | None = None
    per: int = 1
    unit: str = ""
    of: Literal["model", "app", "org"] = "model"
    """What it is kept of: a model (of an app), an app, or the organisation."""


NAMES: Mapping[Metric, MetricName] = {
    Metric.REQUESTS: MetricName(
        name="tollway_requests_total",
        type="counter",
        label="status",
        help="Requests answered, by HTTP status.",
    ),
    Metric.TOKENS: MetricName(
        name="tollway_tokens_total",
        type="counter",
        label="kind",
        help="Tokens, by kind; no kind includes another.",
    ),
    Metric.COST: MetricName(
        name="tollway_cost_usd_total",
        type="counter",
        label="kind",
        per=NANO_PER_USD,
        unit="usd",
        help="What the organisation is charged, in dollars.",
    ),
    Metric.BENCHMARK_COST: MetricName(
        name="tollway_benchmark_cost_usd_total",
        type="counter",
        label="kind",
        per=NANO_PER_USD,
        unit="usd",
        help="What the same tokens would have cost on the benchmark model; the cost where there is none.",
    ),
    Metric.REFUSED: MetricName(
        name="tollway_refused_requests_total",
        type="counter",
        label="reason",
        of="app",
        help="Calls that a limit refused, by the error's code.",
    ),
}
RATE_LIMITED = MetricName(
    name="tollway_rate_limited_requests_total",
    type="counter",
    of="app",
    help="Calls that a limit per minute refused; tollway_refused_requests_total has them, too.",
)
DURATION = MetricName(
    name="tollway_request_duration_seconds",
    type="histogram",
    per=US_PER_S,
    unit="seconds",
    help="From the request's head to the end of the answer.",
)
FIRST_TOKEN = MetricName(
    name="tollway_time_to_first_token_seconds",
    type="histogram",
    per=US_PER_S,
    unit="seconds",
    help="From the request's head to the first token of the answer, of streams.",
)
SPEND = MetricName(
    name="tollway_spend_usd",
    type="gauge",
    per=NANO_PER_USD,
    unit="usd",
    of="org",
    help="What this billing cycle has cost so far, in dollars.",
)
SPENDING_LIMIT = MetricName(
    name="tollway_spending_limit_usd",
    type="gauge",
    label="kind",
    per=NANO_PER_USD,
    unit="usd",
    of="org",
    help="The organisation's spending limits of a billing cycle (soft, hard), where they are set.",
)
RATE_LIMIT = MetricName(
    name="tollway_rate_limit_requests_per_minute",
    type="gauge",
    of="org",
    help="How many requests a minute the organisation may make.",
)
FREE_BALANCE = MetricName(
    name="tollway_free_balance_usd",
    type="gauge",
    per=NANO_PER_USD,
    unit="usd",
    of="org",
    help="What is left of the trial's balance, in dollars.",
)
ALL = (*NAMES.values(), RATE_LIMITED, DURATION, FIRST_TOKEN, SPEND, SPENDING_LIMIT, RATE_LIMIT, FREE_BALANCE)
_HISTOGRAMS = {
    Metric.DURATION_BUCKET: DURATION,
    Metric.DURATION_SUM: DURATION,
    Metric.TTFT_BUCKET: FIRST_TOKEN,
    Metric.TTFT_SUM: FIRST_TOKEN,
}
_ORG_PLACE: Place = ("", "", "")
_REMEMBERED_PAIRS = 1 << 15


class Metadata(NamedTuple):
    """What receivers are told of a metric."""

    type: MetricType
    help: str
    unit: str


METADATA: Mapping[str, Metadata] = {name.name: Metadata(name.type, name.help, name.unit) for name in ALL}
"""By the metric's name; a histogram's without `_bucket`, `_sum` and `_count`."""


class Sample(NamedTuple):
    """One value of one series."""

    labels: Labels
    value: float


class Picture:
    """One organisation's samples; keeps what is the same from push to push.

    Which totals make which sample is worked out when there is a series more or less, not each time.
    """

    def __init__(self, org: str, instance: str) -> None:
        self._org = org
        self.instance = instance
        self._named = ""
        self._plan: list[_Planned] = []
        self._gauges: dict[tuple[str, str], Labels] = {}

    def samples(self, totals: Totals, gauges: Gauges) -> list[Sample]:
        """All totals and gauges as samples; histograms are summed up and complete."""
        if totals.named != self._named:
            known = {planned[0]: planned[0] for planned in self._plan}
            plan = _plan(totals.series(), self._org, self.instance)
            self._plan = [(known.get(labels, labels), ats, per) for labels, ats, per in plan]
            self._named = totals.named
        values = totals.values
        found = [
            Sample(labels, (values[ats[0]] if len(ats) == 1 else sum([values[at] for at in ats])) / per)
            for labels, ats, per in self._plan
        ]
        found += [
            Sample(self._labels(metric, kind), value / metric.per) for metric, kind, value in _now(gauges)
        ]
        return found

    def _labels(self, metric: MetricName, kind: str) -> Labels:
        key = (metric.name, kind)
        if key not in self._gauges:
            labels = _labels(metric.name, self._org, self.instance, _ORG_PLACE, metric.label or "", kind)
            self._gauges[key] = labels
        return self._gauges[key]


_Planned = tuple[Labels, tuple[int, ...], int]
"""A sample's labels; where the totals are that add up to it; by what they are divided."""


def _plan(series: Sequence[Series], org: str, instance: str) -> Iterator[_Planned]:
    parts: defaultdict[tuple[str, Place], dict[str, int]] = defaultdict(dict)
    limited: dict[Place, tuple[int, ...]] = {}

    def labels(name: str, place: Place, label: str, text: str) -> Labels:
        return _labels(name, org, instance, place, label, text)

    for at, (app, model, provider, metric, label) in enumerate(series):
        place = (app, model, provider)
        name = NAMES.get(metric)
        if name is None:
            parts[_HISTOGRAMS[metric].name, place][label] = at
            continue
        yield labels(name.name, place, name.label or "", label), (at,), name.per
        if metric is Metric.REFUSED and label == RATE_LIMITED_CODE:
            limited[place] = (at,)
    for place, ats in limited.items():
        yield labels(RATE_LIMITED.name, place, "", ""), ats, 1
    for (histogram, place), by_label in parts.items():
        upto: tuple[int, ...] = ()
        for bound in BUCKET_LABELS:
            upto = (*upto, by_label[bound]) if bound in by_label else upto
            yield labels(f"{histogram}_bucket", place, "le", bound), upto, 1
        times = (by_label[""],) if "" in by_label else ()
        yield labels(f"{histogram}_sum", place, "", ""), times, US_PER_S
        yield labels(f"{histogram}_count", place, "", ""), upto, 1


def _now(gauges: Gauges) -> Iterator[tuple[MetricName, str, int]]:
    yield SPEND, "", gauges.spend
    for kind, limit in (("soft", gauges.soft_limit), ("hard", gauges.hard_limit)):
        if limit:
            yield SPENDING_LIMIT, kind, limit
    yield RATE_LIMIT, "", gauges.requests_per_minute
    yield FREE_BALANCE, "", gauges.free_balance


def _labels(name: str, org: str, instance: str, place: Place, label: str, text: str) -> Labels:
    app, model, provider = place
    labels = {
        "__name__": name,
        "app": app,
        "instance": instance,
        "job": JOB,
        "model": model,
        "org": org,
        "provider": provider,
        label: text,
    }
    # An empty label is none: what was refused has no model and no provider.
    return tuple(_pair(*item) for item in sorted(labels.items()) if item[0] and item[1])


@lru_cache(_REMEMBERED_PAIRS)
def _pair(name: str, value: str) -> tuple[str, str]:
    """One tuple for all the series that have this label."""
    return name, value
