"""The checks of queries notice what is wrong: a metric, a label or a value that nobody exports."""

import pytest

from tests.deploy.exported import assert_exists, labels_left
from tests.deploy.promql import Matcher, Selector, read_log_query, read_query


def test_metrics_labels_and_values_are_read_out_of_a_query() -> None:
    query = read_query(
        "sum by (le, app) (rate(a_bucket{org='x', le!=\"+Inf\"}[5m] offset 1h)) / on (app) group_left (kind) "
        "3e2 * max without (job) (b) unless time() - timestamp(c:d{}) >= 0.5 and absent_over_time(e[1d:1m])"
    )
    assert query.selectors == (
        Selector("a_bucket", (Matcher("org", "=", "x"), Matcher("le", "!=", "+Inf"))),
        Selector("b", ()),
        Selector("c:d", ()),
        Selector("e", ()),
    )
    assert query.kept == {"le", "app", "kind"}
    assert query.dropped == {"job"}


def test_labels_may_be_named_behind_what_is_summed() -> None:
    query = read_query("sum(rate(a[1m])) by (app)")
    assert query.selectors == (Selector("a", ()),)
    assert query.kept == {"app"}


@pytest.mark.parametrize(
    "wrong",
    ["a ? b", "a{b}", "a{b=c}", "a{b ~ 'c'}", "sum by app", "sum by ('app') (a)", "a{b='c}", "a{1='c'}"],
)
def test_what_cannot_be_read_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_query(wrong)


def test_a_log_query_is_a_stream_and_filters() -> None:
    stream, filters = read_log_query('{job="tollway", app=~"$app"} | model=~"$model" | status="200"')
    assert stream == (Matcher("job", "=", "tollway"), Matcher("app", "=~", "$app"))
    assert filters == (Matcher("model", "=~", "$model"), Matcher("status", "=", "200"))


@pytest.mark.parametrize("wrong", ['job="a"', '{a="b"} | json', '{a="b"} {c="d"}', "", '{a="b"} |= "c"'])
def test_another_log_query_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_log_query(wrong)


@pytest.mark.parametrize(
    "right",
    [
        "sum by (app) (rate(tollway_cost_usd_total{kind='input', org='$org'}[5m]))",
        "tollway_spend_usd / ignoring (kind) tollway_spending_limit_usd{kind='soft'}",
        "tollway_requests_total{status=~'4..|5..'}",
        "count({job='tollway', org='$org'})",
        "rate(tollway_request_duration_seconds_bucket{le='0.5'}[5m])",
    ],
)
def test_what_is_exported_passes(right: str) -> None:
    assert_exists(read_query(right))


@pytest.mark.parametrize(
    "wrong",
    [
        "tollway_spend",
        "tollway_request_duration_seconds",  # a histogram has no series of its own name
        "tollway_refused_requests_total{model='demo/large'}",
        "tollway_refused_requests_total{reason='spent'}",
        "tollway_requests_total{status=~'5..|6..'}",
        "tollway_spending_limit_usd{kind!='sotf'}",
        "sum by (model) (tollway_refused_requests_total)",
        "tollway_spend_usd / ignoring (model) tollway_free_balance_usd",
        "count({app='search'})",
        "1 + 1",
    ],
)
def test_what_is_not_exported_does_not_pass(wrong: str) -> None:
    with pytest.raises(AssertionError):
        assert_exists(read_query(wrong))


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("sum by (app) (tollway_requests_total)", {"app"}),
        ("tollway_spend_usd", {"org", "job", "instance"}),
        ("tollway_spending_limit_usd / ignoring (kind) tollway_spend_usd", {"org", "job", "instance"}),
    ],
)
def test_the_labels_of_a_result_are_known(query: str, left: set[str]) -> None:
    assert labels_left(read_query(query)) == left
