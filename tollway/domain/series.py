"""All-time totals that only rise: what an entry, or a count of refused calls, adds to which series.

Owns the mapping to increments, in whole units (requests, tokens, nano-dollars, microseconds);
does not own names and labels on the wire (`push/samples.py`). A series is fixed when it is
folded: it carries the app's slug, not its id.
"""

from bisect import bisect_left
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from tollway.domain.ledger import Entry
from tollway.domain.refusal import Refused
from tollway.domain.usage import COMPLETION_TOKENS, KIND_OF, PROMPT_TOKENS

DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
"""Upper bounds of the duration histogram, seconds; above the last one lies `+Inf`."""

BUCKET_LABELS = (*(f"{bound:g}" for bound in DURATION_BUCKETS_S), "+Inf")

_BUCKETS_US = tuple(int(bound * 1_000_000) for bound in DURATION_BUCKETS_S)
_TOKENS = PROMPT_TOKENS | COMPLETION_TOKENS


class Metric(StrEnum):
    """What is totalled; the label beside it is the one that the metric adds."""

    REQUESTS = "requests"
    """by HTTP status"""
    TOKENS = "tokens"
    """by kind"""
    COST = "cost"
    """nano-dollars by kind"""
    BENCHMARK_COST = "benchmark_cost"
    """nano-dollars by kind"""
    DURATION_BUCKET = "duration_bucket"
    """by `le`; each request in one bucket only, summed up when sent"""
    DURATION_SUM = "duration_sum"
    """microseconds"""
    REFUSED = "refused"
    """refused calls by error code, of any model and vendor"""


WITHOUT_ROWS = frozenset({Metric.REFUSED})
"""What no ledger row adds to: rows do not explain these totals."""


class Series(NamedTuple):
    """One total of one organisation; model and provider are empty where it has none."""

    app: str
    model: str
    provider: str
    metric: Metric
    label: str


def increments(entry: Entry) -> Iterator[tuple[Series, int]]:
    """What `entry` adds; a series may come more than once."""
    where = (entry.app, entry.model, entry.provider)
    if entry.is_request:
        yield Series(*where, Metric.REQUESTS, str(entry.status)), 1
    if entry.is_request and entry.is_known:
        duration_us = max(0, entry.ended_us - entry.started_us)
        bucket = BUCKET_LABELS[bisect_left(_BUCKETS_US, duration_us)]
        yield Series(*where, Metric.DURATION_BUCKET, bucket), 1
        yield Series(*where, Metric.DURATION_SUM, ""), duration_us
    for unit, count in entry.units.items():
        if unit in _TOKENS:
            yield Series(*where, Metric.TOKENS, KIND_OF[unit]), count
    for unit, nano in entry.cost.by_unit.items():
        yield Series(*where, Metric.COST, KIND_OF[unit]), nano
    for unit, nano in entry.benchmark_cost.by_unit.items():
        yield Series(*where, Metric.BENCHMARK_COST, KIND_OF[unit]), nano


def refusal_increment(refused: Refused) -> tuple[Series, int]:
    """What a count of refused calls adds."""
    return Series(refused.app, "", "", Metric.REFUSED, refused.code), refused.count
