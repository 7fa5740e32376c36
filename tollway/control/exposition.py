"""The operator's metrics as Prometheus' text format, with those of the process that the library finds.

Owns the way from `metrics.py` to bytes; the format is the library's. Nothing is registered and
nothing is kept: each scrape is written from what was seen for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from tollway.control.metrics import BY_ORG, METRICS, PREFIX, Distribution, Metric, Seen
from tollway.domain.clock import US_PER_S
from tollway.domain.traffic import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def families(seen: Seen, *, by_org: bool = False) -> list[Family]:
    """Every metric with its values as they are now; `by_org`: those with organisations' names as well."""
    wanted = (*METRICS, *BY_ORG) if by_org else METRICS
    return [
        _distribution(each, seen) if isinstance(each, Distribution) else _numbers(each, seen)
        for each in wanted
    ]


def process_families() -> Iterable[Family]:
    """CPU, memory and files of this process; none where there is no /proc."""
    return ProcessCollector(namespace=PREFIX.rstrip("_"), registry=None).collect()


def exposition(told: Sequence[Family], process: str | None = None) -> bytes:
    """The page. With `process`, every sample bears it: the next answer may be another process's."""
    return generate_latest(_Scrape((*process_families(), *told), process))


class _Scrape(Collector):
    """One scrape, as the library wants it."""

    def __init__(self, told: Iterable[Family], process: str | None) -> None:
        self._told = told
        self._more = {} if process is None else {"process": process}

    def collect(self) -> Iterator[Family]:
        for family in self._told:
            family.samples = [each._replace(labels={**each.labels, **self._more}) for each in family.samples]
            yield family


def _numbers(metric: Metric, seen: Seen) -> Family:
    made = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = made(PREFIX + metric.name, metric.help, labels=metric.labels)
    for where, value in metric.values(seen):
        family.add_metric(where, value)
    return family


def _distribution(metric: Distribution, seen: Seen) -> Family:
    family = HistogramMetricFamily(PREFIX + metric.name, metric.help, labels=metric.labels)
    for where, histogram in metric.values(seen):
        family.add_metric(where, _buckets(histogram), histogram.sum_us / US_PER_S)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Each bound with all that lies below it."""
    bounds = [*(f"{bound:g}" for bound in histogram.bounds_s), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
