"""From totals to samples: names, labels, histograms, and sums that agree with the record's."""

import math
from collections import Counter
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.push.entries import entries, totals_of
from tests.world.clock import NOON_US
from tests.world.stage import Stage
from tollway.domain.ids import OrgId
from tollway.domain.ledger import Entry
from tollway.domain.refusal import Refused
from tollway.domain.series import NO_GAUGES, Series, increments, refusal_increment
from tollway.domain.usage import completion_tokens, prompt_tokens
from tollway.push.samples import ALL, DURATION, FIRST_TOKEN, RATE_LIMITED_CODE, Picture, Sample

ALWAYS = {"__name__", "app", "instance", "job", "model", "org", "provider"}
OF_ORG = {"__name__", "instance", "job", "org"}
LABELS = {
    "tollway_requests_total": ALWAYS | {"status"},
    "tollway_tokens_total": ALWAYS | {"kind"},
    "tollway_cost_usd_total": ALWAYS | {"kind"},
    "tollway_benchmark_cost_usd_total": ALWAYS | {"kind"},
    "tollway_refused_requests_total": ALWAYS - {"model", "provider"} | {"reason"},
    "tollway_rate_limited_requests_total": ALWAYS - {"model", "provider"},
    **{
        f"{histogram.name}{part}": ALWAYS | ({"le"} if part == "_bucket" else set())
        for histogram in (DURATION, FIRST_TOKEN)
        for part in ("_bucket", "_sum", "_count")
    },
    "tollway_spend_usd": OF_ORG,
    "tollway_spending_limit_usd": OF_ORG | {"kind"},
    "tollway_rate_limit_requests_per_minute": OF_ORG,
    "tollway_free_balance_usd": OF_ORG,
}
BOUNDS = ["0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "20", "30", "60", "120", "+Inf"]

several = st.lists(entries(), max_size=15)
turned_away = st.lists(
    st.builds(
        Refused,
        org_id=st.just(OrgId("org-1")),
        app=st.sampled_from(["search", "chat"]),
        code=st.sampled_from(["rate_limit_exceeded", "plan_exhausted"]),
        count=st.integers(1, 10**9),
        at_us=st.just(NOON_US),
    ),
    max_size=5,
)


def folded(done: list[Entry], away: Iterable[Refused] = ()) -> Counter[Series]:
    totals: Counter[Series] = Counter()
    for entry in done:
        for series, amount in increments(entry):
            totals[series] += amount
    for refused in away:
        series, amount = refusal_increment(refused)
        totals[series] += amount
    return totals


def picture(done: list[Entry], away: Iterable[Refused] = ()) -> list[Sample]:
    return [
        sample
        for sample in Picture("acme", "here").samples(totals_of(folded(done, away)), NO_GAUGES)
        if ("app" in dict(sample.labels))
    ]


def sum_of(taken: list[Sample], name: str) -> float:
    return math.fsum(sample.value for sample in taken if ("__name__", name) in sample.labels)


@settings(deadline=None, max_examples=100)
@given(several, turned_away)
def test_each_metric_has_exactly_its_labels_sorted_and_none_is_there_twice(
    done: list[Entry], away: list[Refused]
) -> None:
    taken = picture(done, away)
    for sample in taken:
        labels = dict(sample.labels)
        assert list(sample.labels) == sorted(labels.items())
        assert set(labels) == LABELS[labels["__name__"]]
        assert (labels["org"], labels["job"], labels["instance"]) == ("acme", "tollway", "here")
        assert all(labels.values())
    assert len({sample.labels for sample in taken}) == len(taken)


@settings(deadline=None, max_examples=100)
@given(several, several)
def test_counters_only_rise_when_entries_are_folded(before: list[Entry], more: list[Entry]) -> None:
    earlier = {sample.labels: sample.value for sample in picture(before)}
    later = {sample.labels: sample.value for sample in picture(before + more)}
    assert all(later[labels] >= value >= 0 for labels, value in earlier.items())


@settings(deadline=None, max_examples=100)
@given(several)
def test_histograms_are_cumulative_and_complete(done: list[Entry]) -> None:
    final = [entry for entry in done if entry.final]
    taken = {sample.labels: sample.value for sample in picture(done)}
    for where in {(entry.app, entry.model, entry.provider) for entry in final}:
        app, model, provider = where
        common = {"app": app, "model": model, "provider": provider}
        common |= {"org": "acme", "job": "tollway", "instance": "here"}

        def value(suffix: str, common: dict[str, str] = common, **more: str) -> float:
            labels = {**common, **more, "__name__": f"tollway_request_duration_seconds{suffix}"}
            return taken[tuple(sorted(labels.items()))]

        mine = [entry for entry in final if (entry.app, entry.model, entry.provider) == where]
        lasted_us = [entry.ended_us - entry.started_us for entry in mine]
        for bound in BOUNDS:
            assert value("_bucket", le=bound) == sum(us <= float(bound) * 1e6 for us in lasted_us)
        assert value("_bucket", le="+Inf") == value("_count") == len(mine)
        assert value("_sum") == sum(lasted_us) / 1_000_000


@settings(deadline=None, max_examples=100)
@given(several)
def test_sums_over_the_kinds_are_the_records_tokens_cost_and_savings(done: list[Entry]) -> None:
    taken = picture(done)
    tokens = sum(prompt_tokens(entry.units) + completion_tokens(entry.units) for entry in done)
    cost = sum(entry.cost.total for entry in done)
    savings = sum(entry.prompt_savings + entry.completion_savings for entry in done)
    # Sums of doubles: right to fifteen digits of the largest one.
    scale = 1e-14 * (1 + sum_of(taken, "tollway_benchmark_cost_usd_total") + cost / 1e9)
    in_dollars = sum_of(taken, "tollway_cost_usd_total")
    benchmark = sum_of(taken, "tollway_benchmark_cost_usd_total")
    assert sum_of(taken, "tollway_tokens_total") == tokens
    assert math.isclose(in_dollars, cost / 1e9, rel_tol=1e-14)
    assert abs((benchmark - in_dollars) - savings / 1e9) <= scale
    assert sum_of(taken, "tollway_requests_total") == sum(entry.final for entry in done)


@settings(deadline=None, max_examples=100)
@given(several, turned_away)
def test_refused_calls_are_counted_by_app_and_code_and_change_nothing_else(
    done: list[Entry], away: list[Refused]
) -> None:
    plain = {sample.labels: sample.value for sample in picture(done)}
    taken = {sample.labels: sample.value for sample in picture(done, away)}
    expected: Counter[tuple[str, str]] = Counter()
    for refused in away:
        expected[refused.app, refused.code] += refused.count
    of_refused = {labels: taken[labels] for labels in taken.keys() - plain.keys()}
    found: Counter[tuple[str, str]] = Counter()
    limited: Counter[str] = Counter()
    for labels, value in of_refused.items():
        named = dict(labels)
        if named["__name__"] == "tollway_refused_requests_total":
            found[named["app"], named["reason"]] += int(value)
        else:
            assert named["__name__"] == "tollway_rate_limited_requests_total"
            limited[named["app"]] += int(value)
    assert found == expected
    assert limited == {app: count for (app, code), count in expected.items() if code == RATE_LIMITED_CODE}
    assert taken == plain | of_refused


def test_no_calls_make_no_samples_of_apps() -> None:
    assert picture([]) == []


def test_every_metric_is_explained() -> None:
    parts = ("_bucket", "_sum", "_count")
    found = {f"{name.name}{part}" for name in ALL for part in (parts if name.type == "histogram" else ("",))}
    assert found == set(LABELS)
    assert all(name.help.endswith(".") for name in ALL)


async def test_the_sums_pushed_equal_the_record(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await stage.chat(acme, "word " * 3_000)  # long enough for cached tokens
    await stage.chat(acme, "And this one is streamed.", stream=True)
    assert (await stage.chat(acme, model="demo/none")).status == 404
    await stage.settled()
    record = await stage.record(acme)
    total = stage.prometheus.total
    assert record["num_requests"] == total("tollway_requests_total") == 2
    assert record["total_tokens"] == total("tollway_tokens_total") > 0
    assert total("tollway_tokens_total", kind="cache_read") > 0
    cost, benchmark = total("tollway_cost_usd_total"), total("tollway_benchmark_cost_usd_total")
    assert record["total_tokens_cost"] == round(cost, 9) > 0
    assert record["total_tokens_cost_savings"] == round(benchmark - cost, 9) > 0


async def test_labels_do_not_come_from_what_callers_send(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    for number in range(5):
        await stage.chat(acme, user=f"end-user-{number}", metadata={"team": f"team-{number}"})
        await stage.chat(acme, model=f"demo/made-up-{number}")
    await stage.settled()
    requests = [
        labels for labels in stage.prometheus.series() if ("__name__", "tollway_requests_total") in labels
    ]
    assert len(requests) == 1


async def test_refused_calls_are_pushed_to_their_organisation_and_only_rise(stage: Stage) -> None:
    acme, other = await stage.tenant(), await stage.tenant("other")
    await stage.integrate(acme)
    journal, prometheus = stage.world.journal, stage.prometheus

    def refused(org_id: str, app: str, count: int) -> Refused:
        code = "rate_limit_exceeded"
        return Refused(org_id=OrgId(org_id), app=app, code=code, count=count, at_us=NOON_US)

    wanted = {"org": "acme", "app": "acme-app", "reason": "rate_limit_exceeded"}
    assert journal.refused([refused(acme.org_id, "acme-app", 3), refused(other.org_id, "other-app", 5)])
    await stage.settled()
    assert prometheus.value("tollway_refused_requests_total", **wanted) == 3
    stage.clock.advance(60)
    assert journal.refused([refused(acme.org_id, "acme-app", 4)])
    await stage.settled()
    common = {"instance": stage.world.deployment, "job": "tollway"}
    found = {"__name__": "tollway_refused_requests_total", **common, **wanted}
    assert [sent for _, sent in prometheus.series()[tuple(sorted(found.items()))]] == [3, 7]
    assert prometheus.value("tollway_rate_limited_requests_total", app="acme-app") == 7
    assert prometheus.silently_dropped == []
    assert (await stage.record(acme))["num_requests"] == 0
    assert stage.loki.lines(org="acme") == []
