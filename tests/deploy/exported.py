"""What Tollway exports of an organisation, from the code that exports it: names, labels and their values."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from tests.deploy.promql import Matcher, Query
from tests.push.entries import totals_of
from tests.world.clock import NOON_US
from tests.world.entries import ORG, cost, entry
from tollway.domain.errors import Limited
from tollway.domain.money import NANO_PER_USD
from tollway.domain.refusal import Refused
from tollway.domain.series import Gauges, Series, increments, refusal_increment
from tollway.push.samples import METADATA, Picture, Sample

APPS = ("search", "shop")
MODELS = ("demo/small-1.5", "demo/large")
STATUSES = (200, 200, 200, 400, 429, 499, 502)
PARTS = ("", "_bucket", "_sum", "_count")

GAUGES = Gauges(
    spend=90 * NANO_PER_USD,
    soft_limit=100 * NANO_PER_USD,
    hard_limit=120 * NANO_PER_USD,
    requests_per_minute=200,
    free_balance=5 * NANO_PER_USD,
)
"""Of an organisation with both limits."""


def reasons() -> set[str]:
    """The codes of all refusals by a limit."""
    codes, waiting = {"too_many_in_flight"}, Limited.__subclasses__()
    while waiting:
        kind = waiting.pop()
        codes.add(kind.code)
        waiting += kind.__subclasses__()
    return codes


def totals(rounds: int) -> Counter[Series]:
    """All-time totals after so many rounds of traffic, in which all that can happen does."""
    found: Counter[Series] = Counter()
    for series, amount in _one_round():
        found[series] += amount * rounds
    return found


def picture(org: str, rounds: int, gauges: Gauges = GAUGES) -> list[Sample]:
    """What is pushed of an organisation after so many rounds."""
    return Picture(org, "deployment-1").samples(totals_of(totals(rounds)), gauges)


def _one_round() -> Iterator[tuple[Series, int]]:
    for app in APPS:
        for number, model in enumerate(MODELS):
            for status in STATUSES:
                yield from increments(
                    entry(
                        app=app,
                        model=model,
                        status=status,
                        started_us=NOON_US - 700_000,
                        first_token_us=200_000 if number else None,
                        benchmark=cost(12_000, 200_000),
                    )
                )
        for code in sorted(reasons()):
            yield refusal_increment(Refused(org_id=ORG, app=app, code=code, count=2, at_us=NOON_US))


def _values() -> Mapping[str, Mapping[str, set[str]]]:
    values: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for sample in picture("acme", 1):
        labels = dict(sample.labels)
        for label, value in labels.items():
            if label != "__name__":
                values[labels["__name__"]][label].add(value)
    return values


VALUES = _values()
"""By name of a metric (or a histogram's part) and label: the values that occur."""


def metric_of(name: str) -> str:
    """The metric that a series' name belongs to: a histogram's for its parts."""
    (found,) = {
        name.removesuffix(part)
        for part in PARTS
        if name.endswith(part) and name.removesuffix(part) in METADATA
    }
    return found


def known_values(query: Query, metric: str, label: str) -> set[str]:
    """The values of a metric's label; of one without a name, those that all metrics have."""
    if metric:
        return VALUES[metric][label]
    assert all(label in VALUES[name] for name in VALUES), f"not every metric has {label}: {query}"
    return set().union(*(VALUES[name][label] for name in VALUES))


def assert_exists(query: Query) -> None:
    """Every metric, label and fixed value that the expression names is exported."""
    assert query.selectors
    for metric, matchers in query.selectors:
        assert not metric or metric in VALUES, f"{metric} is not exported"
        for matcher in matchers:
            assert not metric or matcher.label in VALUES[metric], f"{metric} has no label {matcher.label}"
            assert_values_exist(matcher, known_values(query, metric, matcher.label))
    each = [set(VALUES[metric]) for metric, _ in query.selectors if metric]
    assert all(query.kept <= labels for labels in each), f"{query.kept} are not labels of all"
    assert query.dropped <= set().union(*each), f"{query.dropped} are labels of none"


def assert_values_exist(matcher: Matcher, known: set[str]) -> None:
    """Each alternative of a fixed value is one that occurs; a variable may be anything."""
    if "$" in matcher.value:
        return
    parts = matcher.value.split("|") if "~" in matcher.operator else [re.escape(matcher.value)]
    for part in parts:
        assert any(re.fullmatch(part, value) for value in known), f"{matcher} matches none of {known}"


def labels_left(query: Query) -> set[str]:
    """The labels of an expression's result: those it is summed by, or those that all its metrics have."""
    if query.kept:
        return set(query.kept)
    return set.intersection(*(set(VALUES[metric]) for metric, _ in query.selectors)) - query.dropped
