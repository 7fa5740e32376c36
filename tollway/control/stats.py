"""Graphs of what an organisation's requests came to, or one app's by its key.

Owns which sums are asked for, so that every graph is exact and bounded, and its groups sum to the whole;
does not own the sums (`store/stats.py`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from tollway.control.logs import Reader, apps_asked_for
from tollway.domain.errors import Fault, Invalid
from tollway.domain.graph import DAY_US, HOUR_US, NOTHING, Amounts, Graph, Interval, Metric, graph_of
from tollway.domain.ids import OrgId
from tollway.domain.operation import Operation
from tollway.store import stats
from tollway.store.stats import Group, Span, Sums

MAX_POINTS = 1_500
MAX_VALUES = 50_000
MAX_GROUPS = 20
MAX_RAW_US = 2 * DAY_US
"""Of what is not made of whole hours."""
OTHER = "other"
ALL = "all"
_CANDIDATES = 100
"""Groups that are looked at, to find those with most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which graphs: of what, in which stretches, told apart by what."""

    from_us: int
    to_us: int
    interval: Interval
    metrics: Sequence[Metric]
    app_ids: Sequence[str] = ()
    group: Group | None = None
    num_groups: int = 10
    cumulative: Mapping[Metric, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graphs:
    """Series by metric, the largest group first; each has a value for every start."""

    starts: Sequence[int]
    series: Sequence[Graph]


def draw(db: Connection, reader: Reader, wanted: Wanted) -> Graphs:
    """The graphs. Forbidden; NotFound; Invalid for more than may be asked for at once."""
    org, apps = apps_asked_for(db, reader, wanted.app_ids, Operation.DRAW_GRAPHS)
    starts = _starts(wanted)
    hours, edges = _parts(Span(from_us=wanted.from_us, to_us=wanted.to_us, app_ids=apps), wanted.interval)
    sums = [stats.sum_rows(db, org, edge, wanted.interval) for edge in edges]
    sums.append(stats.sum_hours(db, org, hours, wanted.interval))
    whole = _by_group(sums, starts)[None]
    groups: dict[str | None, tuple[str, Sequence[Amounts]]] = {None: (ALL, whole)}
    if wanted.group is not None:
        found = _found(db, org, hours, edges, wanted, wanted.group)
        groups = _chosen(db, org, wanted, wanted.group, _by_group(found, starts), whole)
    return Graphs(starts=starts, series=list(_graphs(wanted, groups)))


def _starts(wanted: Wanted) -> list[int]:
    """The starts of all stretches; Invalid where they, or the values, are too many."""
    span_us = wanted.to_us - wanted.from_us
    if not wanted.interval.is_of_hours and span_us > MAX_RAW_US:
        raise _too_much(
            "of more than two days, the interval is an hour or a whole number of hours (in seconds: 3600 …)"
        )
    if span_us // (wanted.interval.width_us or DAY_US) > MAX_POINTS * 31:
        raise _too_much(f"more than {MAX_POINTS:,} points: choose a longer interval or a shorter time")
    starts = list(wanted.interval.starts(wanted.from_us, wanted.to_us))
    num_series = len(wanted.metrics) * (1 if wanted.group is None else wanted.num_groups + 1)
    if len(starts) > MAX_POINTS or len(starts) * num_series > MAX_VALUES:
        raise _too_much(
            f"more than {MAX_POINTS:,} points, or {MAX_VALUES:,} values: choose a longer interval, a shorter "
            "time, or fewer metrics or groups"
        )
    return starts


def _too_much(told: str) -> Invalid:
    return Invalid(Fault(loc=("body", "interval"), msg=told, type="too_many_points"))


def _parts(span: Span, interval: Interval) -> tuple[Span, list[Span]]:
    """What of a span is whole hours, and what has to be read from rows."""
    first, last = -(-span.from_us // HOUR_US) * HOUR_US, span.to_us // HOUR_US * HOUR_US
    if not interval.is_of_hours or first >= last:
        return replace(span, to_us=span.from_us), [span]
    edges = [replace(span, to_us=first), replace(span, from_us=last)]
    return replace(span, from_us=first, to_us=last), edges


def _by_group(found: Sequence[Sums], starts: Sequence[int]) -> defaultdict[str | None, list[Amounts]]:
    """The sums of each group, one for each stretch."""
    place = {start: index for index, start in enumerate(starts)}
    series: defaultdict[str | None, list[Amounts]] = defaultdict(lambda: [NOTHING] * len(starts))
    for sums in found:
        for (start, name), amounts in sums.items():
            values = series[name]
            values[place[start]] = values[place[start]].plus(amounts)
    return series


def _found(
    db: Connection, org: OrgId, hours: Span, edges: Sequence[Span], wanted: Wanted, group: Group
) -> list[Sums]:
    """All sums of some groups: those that have most, of the metric that counts, in hours or at the edges."""
    metric, interval = wanted.metrics[0], wanted.interval
    at_edges = [stats.sum_rows(db, org, edge, interval, group) for edge in edges]
    by_name: dict[str, Amounts] = {}
    for sums in at_edges:
        for (_, name), amounts in sums.items():
            if name is not None:
                by_name[name] = by_name.get(name, NOTHING).plus(amounts)
    names = set(_most_first(by_name, metric)[:_CANDIDATES])
    names.update(stats.top_groups(db, org, hours, group, metric, _CANDIDATES))
    kept = [{key: amounts for key, amounts in sums.items() if key[1] in names} for sums in at_edges]
    return [*kept, stats.sum_hours(db, org, hours, interval, group, names)]


def _chosen(
    db: Connection,
    org: OrgId,
    wanted: Wanted,
    group: Group,
    found: Mapping[str | None, Sequence[Amounts]],
    whole: Sequence[Amounts],
) -> dict[str | None, tuple[str, Sequence[Amounts]]]:
    """The groups with most, each with its name, and what is left of the whole."""
    totals = {name: _total(values) for name, values in found.items() if name is not None}
    chosen = _most_first(totals, wanted.metrics[0])[: wanted.num_groups]
    names = stats.names_of(db, org, group, chosen)
    groups: dict[str | None, tuple[str, Sequence[Amounts]]] = {
        name: (names[name], found[name]) for name in chosen
    }
    rest = list(whole)
    for name in chosen:
        rest = [left.minus(part) for left, part in zip(rest, found[name], strict=True)]
    if any(left != NOTHING for left in rest):
        groups[None] = OTHER, rest
    return groups


def _most_first(totals: Mapping[str, Amounts], metric: Metric) -> list[str]:
    """The names, those with most of the metric first; of latency, of requests."""
    by: Metric = "requests" if metric == "latency" else metric
    return sorted(totals, key=lambda name: (-(totals[name].of(by) or 0), name))


def _total(amounts: Sequence[Amounts]) -> Amounts:
    total = NOTHING
    for one in amounts:
        total = total.plus(one)
    return total


def _graphs(wanted: Wanted, groups: Mapping[str | None, tuple[str, Sequence[Amounts]]]) -> Iterator[Graph]:
    for metric in wanted.metrics:
        for group, (label, amounts) in groups.items():
            cumulative = wanted.cumulative.get(metric, False)
            yield graph_of(metric, group, label, amounts, cumulative=cumulative)
