"""What an entry adds to which all-time total."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.test_ledger import START, an_entry, cost
from tollway.domain.ids import OrgId
from tollway.domain.ledger import Entry, Outcome, correction, unsettled
from tollway.domain.money import Nano
from tollway.domain.price import Cost
from tollway.domain.refusal import Refused
from tollway.domain.series import (
    BUCKET_LABELS,
    DURATION_BUCKETS_S,
    WITHOUT_ROWS,
    Metric,
    Series,
    increments,
    refusal_increment,
)
from tollway.domain.usage import COMPLETION_TOKENS, PROMPT_SIDE, PROMPT_TOKENS, Unit

US = 1_000_000


def added(entry: Entry) -> dict[tuple[Metric, str], int]:
    totals: Counter[tuple[Metric, str]] = Counter()
    for series, amount in increments(entry):
        assert series[:3] == (entry.app, entry.model, entry.provider)
        totals[series.metric, series.label] += amount
    return dict(totals)


def lasting(duration_us: int) -> Entry:
    return msgspec.structs.replace(an_entry(None), started_us=5 * US, ended_us=5 * US + duration_us)


def test_an_entry_adds_its_request_its_tokens_and_both_costs() -> None:
    entry = msgspec.structs.replace(an_entry(cost(500, 250)), started_us=0, ended_us=70_000)
    assert added(entry) == {
        (Metric.REQUESTS, "200"): 1,
        (Metric.DURATION_BUCKET, "0.1"): 1,
        (Metric.DURATION_SUM, ""): 70_000,
        (Metric.TOKENS, "input"): 10,
        (Metric.TOKENS, "output"): 5,
        (Metric.COST, "input"): 100,
        (Metric.COST, "output"): 50,
        (Metric.BENCHMARK_COST, "input"): 500,
        (Metric.BENCHMARK_COST, "output"): 250,
    }


def test_without_a_benchmark_its_cost_is_the_cost_so_that_the_difference_is_no_saving() -> None:
    totals = added(an_entry(None))
    for kind in ("input", "output"):
        assert totals[Metric.COST, kind] == totals[Metric.BENCHMARK_COST, kind]


def test_an_attempt_that_did_not_answer_costs_but_is_no_request() -> None:
    totals = added(msgspec.structs.replace(an_entry(None), final=False))
    assert {metric for metric, _ in totals} == {Metric.TOKENS, Metric.COST, Metric.BENCHMARK_COST}


def test_a_lost_call_is_a_request_that_lasted_no_time_known() -> None:
    assert added(unsettled(START, 10**15)) == {(Metric.REQUESTS, "500"): 1}


def test_a_lost_attempt_that_is_not_the_last_adds_nothing() -> None:
    assert added(msgspec.structs.replace(unsettled(START, 9), final=False)) == {}


def test_a_correction_adds_tokens_and_costs_but_no_request_and_no_duration() -> None:
    late = msgspec.structs.replace(an_entry(cost(500, 250)), request_id=START.request_id)
    whole, corrected = added(late), added(correction(late))
    assert {metric for metric, _ in corrected} == {Metric.TOKENS, Metric.COST, Metric.BENCHMARK_COST}
    assert corrected == {key: value for key, value in whole.items() if key in corrected}


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome != "unsettled"])
def test_of_every_call_whose_end_is_known_the_duration_is_counted(outcome: Outcome) -> None:
    totals = added(msgspec.structs.replace(an_entry(None), outcome=outcome))
    assert sum(value for (metric, _), value in totals.items() if metric is Metric.DURATION_BUCKET) == 1


def test_units_of_one_kind_are_summed_and_fees_are_no_tokens() -> None:
    units = dict.fromkeys(Unit, 7)
    by_unit = dict.fromkeys(Unit, Nano(3))
    prompt = Nano(3 * len(PROMPT_SIDE))
    paid = Cost(version="test", by_unit=by_unit, prompt=prompt, completion=Nano(3 * len(Unit) - prompt))
    totals = added(msgspec.structs.replace(an_entry(None), units=units, cost=paid))
    tokens = sum(value for (metric, _), value in totals.items() if metric is Metric.TOKENS)
    assert tokens == 7 * len(PROMPT_TOKENS | COMPLETION_TOKENS)
    assert totals[Metric.TOKENS, "cache_write"] == 14
    assert totals[Metric.COST, "input"] == 15
    assert sum(value for (metric, _), value in totals.items() if metric is Metric.COST) == paid.total


@pytest.mark.parametrize(
    ("duration_us", "bucket"),
    [
        (0, "0.05"),
        (50_000, "0.05"),
        (50_001, "0.1"),
        (US, "1"),
        (US + 1, "2.5"),
        (120 * US, "120"),
        (120 * US + 1, "+Inf"),
        (10**15, "+Inf"),
        # A clock that was set back makes no negative time.
        (-1, "0.05"),
        (-(10**9), "0.05"),
    ],
)
def test_a_duration_falls_into_one_bucket_whose_bound_includes_it(duration_us: int, bucket: str) -> None:
    totals = added(lasting(duration_us))
    assert [key for key in totals if key[0] is Metric.DURATION_BUCKET] == [(Metric.DURATION_BUCKET, bucket)]
    assert totals[Metric.DURATION_SUM, ""] == max(0, duration_us)


@given(st.integers(-(10**12), 10**12))
@settings(deadline=None)
def test_totals_only_ever_rise(duration_us: int) -> None:
    assert all(amount >= 0 for _, amount in increments(lasting(duration_us)))


def test_refused_calls_are_added_by_app_and_code_alone() -> None:
    refused = Refused(org_id=OrgId("org-1"), app="search", code="plan_exhausted", count=7, at_us=5)
    assert refusal_increment(refused) == (Series("search", "", "", Metric.REFUSED, "plan_exhausted"), 7)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_no_row_adds_to_what_has_no_rows(outcome: Outcome) -> None:
    totals = added(msgspec.structs.replace(an_entry(cost(500, 250)), outcome=outcome))
    assert not {metric for metric, _ in totals} & WITHOUT_ROWS


def test_buckets_are_written_as_receivers_compare_them() -> None:
    assert BUCKET_LABELS[-1] == "+Inf"
    assert [float(label) for label in BUCKET_LABELS[:-1]] == list(DURATION_BUCKETS_S)
    assert list(DURATION_BUCKETS_S) == sorted(set(DURATION_BUCKETS_S))


def test_a_series_is_fixed_by_its_five_parts() -> None:
    one = Series("app", "model", "provider", Metric.COST, "input")
    assert one == Series("app", "model", "provider", Metric.COST, "input")
    assert one._replace(label="output") != one
