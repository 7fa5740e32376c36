"""A real Prometheus, pushed to as organisations' are, answers each query of the dashboard and the alerts."""

import asyncio
import math
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import aiohttp
import pytest

from tests.deploy.dashboard import Panel, Target, filled, read_dashboard
from tests.deploy.exported import APPS, GAUGES, MODELS, STATUSES, picture, reasons
from tests.deploy.rules import Alert, read_alerts
from tests.peers.prometheus import PrometheusServer
from tollway.domain.money import NANO_PER_USD
from tollway.push.remote_write import HEADERS, Encoder, Protocol
from tollway.push.samples import METADATA

pytestmark = pytest.mark.e2e

USER, TOKEN = "123456", "glc_of-the-dashboard"
PUSHES = 40
"""Half of them in the future: whenever a query is asked, the newest sample is as new as it should be."""
INTERVAL_S = 15
WITHOUT_LIMITS = replace(GAUGES, soft_limit=0, hard_limit=0)
BOARD = read_dashboard()
QUERIES = BOARD.queries()
RANGES = {"__range": "4m", "__rate_interval": "1m"}
ALL = {**RANGES, "org": "acme", "app": ".*", "model": ".*"}

each_query = pytest.mark.parametrize(
    ("panel", "target"), QUERIES, ids=[f"{panel.title}-{target.ref_id}" for panel, target in QUERIES]
)


def chosen(*values: str) -> str:
    """Values of a variable as Grafana puts them into a pattern: escaped for it and for the string."""
    escaped = [re.sub(r"([$^*{}\[\]'+?.()|])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    """One that was pushed to by acme, and by plain, who has no limits."""
    with PrometheusServer(USER, TOKEN) as running:
        asyncio.run(push_all(running))
        yield running


async def push_all(server: PrometheusServer) -> None:
    encoder = Encoder(Protocol.V1, METADATA)
    basic = b64encode(f"{USER}:{TOKEN}".encode()).decode()
    headers = {**HEADERS[Protocol.V1], "Authorization": f"Basic {basic}"}
    now_ms = time.time_ns() // 1_000_000
    async with aiohttp.ClientSession(headers=headers) as client:
        for number in range(PUSHES):
            at_ms = now_ms - (PUSHES // 2 - number) * INTERVAL_S * 1_000
            samples = picture("acme", 1 + number) + picture("plain", 1 + number, WITHOUT_LIMITS)
            async with client.post(server.push_url, data=encoder.encode(samples, at_ms)) as answer:
                assert answer.status == 204, await answer.text()


def asked(prometheus: PrometheusServer, target: Target, **values: str) -> list[tuple[dict[str, str], float]]:
    return prometheus.query(filled(target.expr, {**ALL, **values}))


@each_query
def test_every_query_has_data(prometheus: PrometheusServer, panel: Panel, target: Target) -> None:
    found = asked(prometheus, target)
    assert found, panel.title
    assert all(math.isfinite(value) and value > 0 for _, value in found)
    told_apart = set(re.findall(r"{{(\w+)}}", target.legend_format)) or {"app", "model"}
    assert all(set(labels) <= told_apart for labels, _ in found)
    assert panel.type in {"timeseries", "table"} or len(found) == 1


@each_query
def test_a_chosen_app_and_model_is_found_and_another_organisation_is_not(
    prometheus: PrometheusServer, panel: Panel, target: Target
) -> None:
    # MODELS[1] is the one that is streamed.
    assert asked(prometheus, target, app=chosen(APPS[0]), model=chosen(MODELS[1])), panel.title
    assert asked(prometheus, target, app=chosen(*APPS), model=chosen(*MODELS)), panel.title
    assert asked(prometheus, target, org="nobody") == []


def test_an_app_and_a_model_are_told_apart(prometheus: PrometheusServer) -> None:
    for title, values, left in (
        ("Cost per hour, by app", {"app": chosen("shop")}, [{"app": "shop"}]),
        ("Cost per hour, by model", {"model": chosen("demo/small-1.5")}, [{"model": "demo/small-1.5"}]),
    ):
        ((_, target),) = [(panel, target) for panel, target in QUERIES if panel.title == title]
        assert [labels for labels, _ in asked(prometheus, target, **values)] == left


def test_the_numbers_are_those_that_were_pushed(prometheus: PrometheusServer) -> None:
    def of(title: str, ref_id: str = "A") -> dict[str, float]:
        (target,) = [target for panel, target in QUERIES if (panel.title, target.ref_id) == (title, ref_id)]
        return {
            labels.get(target.legend_format.strip("{}"), ""): value
            for labels, value in asked(prometheus, target)
        }

    assert of("Spend of the cycle") == {"": GAUGES.spend / NANO_PER_USD}
    assert of("Of the soft limit") == {"": 0.9}
    assert of("Of the hard limit") == {"": 0.75}
    assert of("Free balance") == {"": 5.0}
    assert of("Rate limit usage", "C") == {"": 200.0}
    a_minute = 60 / INTERVAL_S
    answered = len(APPS) * len(MODELS) * len(STATUSES) * a_minute
    assert of("Rate limit usage", "A")[""] == pytest.approx(answered)
    assert of("Rate limit usage", "B")[""] == pytest.approx(2 * len(APPS) * a_minute)
    assert of("Requests per minute, by status")["200"] == pytest.approx(answered * 3 / 7)
    assert of("Error ratio", "A")[""] == pytest.approx(3 / 7)
    assert of("Error ratio", "B")[""] == pytest.approx(1 / 7)
    assert of("Refused per minute, by reason") == pytest.approx(
        dict.fromkeys(reasons(), 2 * len(APPS) * a_minute)
    )
    # Five times as much on the benchmark model, of which the cost is one part.
    assert of("Savings")[""] == pytest.approx(4 * of("Cost")[""])
    # All took 0.7 s, 0.2 s to the first token: half-way up their buckets.
    assert of("Duration") == {"": pytest.approx(0.75)}
    assert of("Time to first token") == {"": pytest.approx(0.175)}


def test_without_limits_their_panels_are_empty_and_the_others_are_not(prometheus: PrometheusServer) -> None:
    empty = {
        (panel.title, target.ref_id)
        for panel, target in QUERIES
        if not asked(prometheus, target, org="plain")
    }
    assert empty == {
        ("Of the soft limit", "A"),
        ("Of the hard limit", "A"),
        ("Spend of the cycle and its limits", "B"),
    }


@pytest.mark.parametrize(
    ("variable", "offered"), [("org", {"acme", "plain"}), ("app", {*APPS}), ("model", {*MODELS})]
)
def test_a_variable_offers_what_there_is(
    prometheus: PrometheusServer, variable: str, offered: set[str]
) -> None:
    found = re.fullmatch(r"label_values\((.*), \w+\)", BOARD.variables[variable].query)
    assert found
    values = prometheus.query(f"group by ({variable}) ({filled(found[1], ALL)})")
    # A series without the label, which Grafana does not offer, is among those without a metric's name.
    assert {labels.get(variable) for labels, _ in values} - {None} == offered


@pytest.mark.parametrize("alert", read_alerts(), ids=lambda alert: alert.name)
def test_every_alert_can_be_asked(prometheus: PrometheusServer, alert: Alert) -> None:
    firing = {labels.get("org") for labels, _ in prometheus.query(alert.expr)}
    expected = {
        "TollwaySoftLimitNear": {"acme"},
        "TollwayErrors": {"acme", "plain"},
        "TollwayRefused": {"acme", "plain"},
        "TollwayRateLimited": {"acme", "plain"},
    }
    assert firing == expected.get(alert.name, set())
