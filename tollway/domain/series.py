"""All-time totals that only rise: what an entry, or a count of refused calls, adds to which series.

Owns the mapping to increments, in whole units (requests, tokens, nano-dollars, microseconds);
does not own names and labels on the wire (`push/samples.py`). A series is fixed when it is
folded: it carries the app's slug, not its id.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

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
    TTFT_BUCKET = "ttft_bucket"
    """by `le`, as durations: from the request's head to the first token; streams only"""
    TTFT_SUM = "ttft_sum"
    """microseconds"""
    REFUSED = "refused"
    """refused calls by error code, of any model and vendor"""


WITHOUT_ROWS = frozenset({Metric.REFUSED})
"""What no ledger row adds to: rows do not explain these totals."""

MAX_PLACES = 200
"""Of one organisation. What comes later is counted together as `OTHER`, by app up to twice as many."""
OTHER = "other"


class Series(NamedTuple):
    """One total of one organisation; model and provider are empty where it has none."""

    app: str
    model: str
    provider: str
    metric: Metric
    label: str


class Totals(NamedTuple):
    """All-time totals of one organisation, in one order: which series they are of, and their values.

    `named` is a JSON array of the series, each an array; it is the same text as long as they are the same.
    """

    named: str
    values: Sequence[int]

    def series(self) -> list[Series]:
        """Which series they are of."""
        return _decode_series(self.named)


_decode_series = msgspec.json.Decoder(list[Series]).decode
NO_TOTALS = Totals(named="[]", values=())

Place = tuple[str, str, str]
"""App, model and provider: where a series stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What an organisation's samples say of now; money in nano-dollars, 0 for a limit that is not set."""

    spend: int = 0
    soft_limit: int = 0
    hard_limit: int = 0
    requests_per_minute: int = 0
    free_balance: int = 0


NO_GAUGES = Gauges()


def increments(entry: Entry) -> Iterator[tuple[Series, int]]:
    """What `entry` adds; a series may come more than once."""
    where = (entry.app, entry.model, entry.provider)
    if entry.is_request:
        yield Series(*where, Metric.REQUESTS, str(entry.status)), 1
    if entry.is_request and entry.is_known:
        duration_us = max(0, entry.ended_us - entry.started_us)
        yield Series(*where, Metric.DURATION_BUCKET, _bucket(duration_us)), 1
        yield Series(*where, Metric.DURATION_SUM, ""), duration_us
        if entry.first_token_us is not None:
            waited_us = max(0, entry.first_token_us)
            yield Series(*where, Metric.TTFT_BUCKET, _bucket(waited_us)), 1
            yield Series(*where, Metric.TTFT_SUM, ""), waited_us
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


def place_of(place: Place, stored: Collection[Place]) -> Place:
    """Where a place is counted: as itself, or with others where there was no room for one more."""
    places = (place, *others_of(place))
    return next((found for found in places if found in stored), place)


def new_place(place: Place, num_stored: int) -> Place:
    """Where a place that is new to an organisation, which has so many, is counted from now on."""
    of_app, of_org = others_of(place)
    if num_stored < MAX_PLACES:
        return place
    return of_app if place[1] and num_stored < 2 * MAX_PLACES else of_org


def others_of(place: Place) -> tuple[Place, Place]:
    """Where a place may be counted instead: with others of its app, or all others. A refusal has no model."""
    app, model, _ = place
    other = OTHER if model else ""
    return (app, other, other), ("", other, other)


def _bucket(us: int) -> str:
    """The one bucket that a time lies in."""
    return BUCKET_LABELS[bisect_left(_BUCKETS_US, us)]
