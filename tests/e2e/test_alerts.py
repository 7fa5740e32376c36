"""Prometheus's own tool loads the alerts and plays them: each fires when it should, and only then."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.rules import ALERTS, read_alerts
from tests.peers.prometheus import find_prometheus

pytestmark = pytest.mark.e2e

RULES = {alert.name: alert for alert in read_alerts()}
ORG = 'instance="i",job="tollway",org="acme"'
SPEND = f"tollway_spend_usd{{{ORG}}}"
SOFT = f'tollway_spending_limit_usd{{{ORG},kind="soft"}}'
HARD = f'tollway_spending_limit_usd{{{ORG},kind="hard"}}'
OF_MODEL = f'{ORG},app="shop",model="m",provider="p"'
OK, FAILED, MISSED = (f'tollway_requests_total{{{OF_MODEL},status="{status}"}}' for status in (200, 502, 404))
WHOLE = {"org": "acme", "job": "tollway", "instance": "i"}
OF_APP = {"org": "acme", "app": "shop"}


def refused(reason: str, app: str = "shop") -> str:
    return f'tollway_refused_requests_total{{{ORG},app="{app}",reason="{reason}"}}'


class Case(NamedTuple):
    """Series as `promtool` notes them, one sample a minute, and what an alert says at a minute of them."""

    alert: str
    why: str
    series: Mapping[str, str]
    minute: int
    labels: Mapping[str, str] | None = None
    """None: it does not fire."""
    summary: str = ""
    description: str | None = None


CASES = [
    Case(
        "TollwaySoftLimitNear",
        "at 80 %",
        {SPEND: "80x5", SOFT: "100x5"},
        2,
        WHOLE,
        "acme has spent 80% of its soft limit",
    ),
    Case("TollwaySoftLimitNear", "below 80 %", {SPEND: "79.99x5", SOFT: "100x5", HARD: "80x5"}, 2),
    Case("TollwaySoftLimitNear", "reached", {SPEND: "100x5", SOFT: "100x5"}, 2),
    Case("TollwaySoftLimitNear", "no limit", {SPEND: "80x5"}, 2),
    Case("TollwaySoftLimitNear", "the next cycle", {SPEND: "80x3 0x3", SOFT: "100x10"}, 5),
    Case(
        "TollwaySoftLimitReached",
        "exactly",
        {SPEND: "100x5", SOFT: "100x5"},
        2,
        WHOLE,
        "acme has reached its soft limit: 100%",
    ),
    Case("TollwaySoftLimitReached", "just below", {SPEND: "99.99x5", SOFT: "100x5", HARD: "50x5"}, 2),
    Case(
        "TollwayHardLimitNear",
        "at 90 %",
        {SPEND: "90x5", HARD: "100x5"},
        2,
        WHOLE,
        "acme has spent 90% of its hard limit",
    ),
    Case(
        "TollwayHardLimitNear",
        "beyond it",
        {SPEND: "103x5", HARD: "100x5"},
        2,
        WHOLE,
        "acme has spent 103% of its hard limit",
    ),
    Case("TollwayHardLimitNear", "below 90 %", {SPEND: "89.99x5", HARD: "100x5", SOFT: "50x5"}, 2),
    Case(
        "TollwayErrors",
        "one in four",
        {OK: "0+3x60", FAILED: "0+1x60"},
        30,
        OF_APP,
        "25% of the requests of acme/shop fail",
    ),
    Case("TollwayErrors", "one in four, just now", {OK: "0+3x60", FAILED: "0x27 1+9x30"}, 29),
    Case("TollwayErrors", "one in a hundred", {OK: "0+99x60", FAILED: "0+1x60"}, 30),
    Case("TollwayErrors", "a single failure at night", {OK: "5x60", FAILED: "0x20 1x40"}, 30),
    Case("TollwayErrors", "the callers' mistakes", {OK: "0+3x60", MISSED: "0+9x60", FAILED: "0x60"}, 30),
    Case("TollwayErrors", "over", {OK: "0+3x90", FAILED: "0+1x20 20x70"}, 60),
    Case(
        "TollwayRefused",
        "once",
        {refused("spending_limit_reached"): "4x10 5x60"},
        15,
        {**OF_APP, "reason": "spending_limit_reached"},
        "Calls of acme/shop are refused: spending_limit_reached",
    ),
    Case("TollwayRefused", "long ago", {refused("plan_exhausted"): "4x10 5x60"}, 40),
    Case(
        "TollwayRefused",
        "too fast",
        {refused("rate_limit_exceeded"): "0+9x60", refused("too_many_in_flight"): "0+9x60"},
        30,
    ),
    Case(
        "TollwayRateLimited",
        "all the time",
        {refused("rate_limit_exceeded"): "0+8x60", refused("plan_exhausted"): "0+1x60"},
        30,
        {**OF_APP, "reason": "rate_limit_exceeded"},
        "acme/shop has been over a rate limit for 15 minutes",
        "40 calls of the last 5 minutes were refused: rate_limit_exceeded.",
    ),
    Case("TollwayRateLimited", "a burst", {refused("rate_limit_exceeded"): "0x20 500x40"}, 24),
    Case("TollwayRateLimited", "an exhausted plan", {refused("plan_exhausted"): "0+8x60"}, 30),
    Case(
        "TollwayPushLate",
        "ten minutes",
        {SPEND: "1x20 _x100"},
        30,
        {"org": "acme"},
        "The metrics of acme are 10m 0s old",
    ),
    Case("TollwayPushLate", "four minutes", {SPEND: "1x20 _x100"}, 24),
    Case(
        "TollwayPushLate",
        "a process that died, and another deployment",
        {SPEND: "1x20 _x100", SPEND.replace('"i"', '"j"'): "_x20 1x100"},
        60,
    ),
    Case(
        "TollwayPushLate",
        "almost a day",
        {SPEND: "1x20 _x2000"},
        20 + 23 * 60,
        {"org": "acme"},
        "The metrics of acme are 23h 0m 0s old",
    ),
    Case("TollwayPushLate", "a day and more", {SPEND: "1x20 _x2000"}, 20 + 24 * 60 + 6),
    Case("TollwayNoData", "never", {}, 2, {}, "Tollway has pushed no metrics for an hour"),
    Case(
        "TollwayNoData", "an hour", {SPEND: "1x20 _x100"}, 81, {}, "Tollway has pushed no metrics for an hour"
    ),
    Case("TollwayNoData", "half an hour", {SPEND: "1x20 _x100"}, 50),
]


def promtool(*arguments: str | Path) -> str:
    """What it says; CalledProcessError if it does not agree."""
    prometheus = find_prometheus()
    assert prometheus is not None, "There is no Prometheus on this machine: run .ci/peers."
    command = [prometheus.with_name("promtool"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def unit_tests(cases: Sequence[Case]) -> str:
    """The cases in `promtool`'s form; JSON is YAML."""
    return json.dumps(
        {
            "rule_files": [str(ALERTS)],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "name": f"{case.alert}: {case.why}",
                    "interval": "1m",
                    "input_series": [
                        {"series": name, "values": values} for name, values in case.series.items()
                    ],
                    "alert_rule_test": [
                        {
                            "eval_time": f"{case.minute}m",
                            "alertname": case.alert,
                            "exp_alerts": expected(case),
                        }
                    ],
                }
                for case in cases
            ],
        }
    )


def expected(case: Case) -> list[dict[str, Mapping[str, str]]]:
    """The alert with all that it says; none if it does not fire."""
    if case.labels is None:
        return []
    rule = RULES[case.alert]
    said = {**rule.annotations, "summary": case.summary}
    if case.description is not None:
        said["description"] = case.description
    return [{"exp_labels": {**case.labels, "severity": rule.severity}, "exp_annotations": said}]


def test_prometheus_takes_the_rule_file() -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool("check", "rules", ALERTS)


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert {case.alert for case in CASES if case.labels is not None} == set(RULES)
    assert {case.alert for case in CASES if case.labels is None} == set(RULES)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.alert}: {case.why}" for case in CASES])
def test_an_alert_fires_when_it_should_and_says_what_it_should(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "case.json"
    file.write_text(unit_tests([case]))
    assert "SUCCESS" in promtool("test", "rules", file)
