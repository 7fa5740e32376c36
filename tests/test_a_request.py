"""The way of a request, as docs/a-request.md tells it: one test from the socket to both receivers."""

from tests.world.stage import Stage
from tollway.domain.money import usd


async def test_a_request_becomes_an_answer_a_ledger_row_a_sample_and_a_line(stage: Stage) -> None:
    acme = await stage.tenant("acme")
    await stage.integrate(acme)

    reply = await stage.chat(acme, "What does a token cost?")
    assert reply.status == 200
    assert reply.json["choices"][0]["message"]["content"].startswith("You said: What does a token cost?")
    request_id = reply.headers["x-request-id"]

    await stage.settled()

    # 6 tokens in at 400 nano-dollars each, 25 out at 1,600; the benchmark asks five times as much.
    cost, savings = 6 * 400 + 25 * 1_600, 4 * (6 * 400 + 25 * 1_600)
    assert reply.headers["tollway-cost-usd"] == usd(cost) == "0.0000424"
    assert reply.headers["tollway-savings-usd"] == usd(savings) == "0.0001696"

    record = await stage.record(acme)
    assert (record["prompt_tokens"], record["completion_tokens"], record["num_requests"]) == (6, 25, 1)
    assert record["total_tokens_cost"] == 0.0000424
    assert record["total_tokens_cost_savings"] == 0.0001696

    of_acme = {"org": "acme", "app": "acme-app", "model": "demo/small", "provider": "demo"}
    prometheus = stage.prometheus
    assert prometheus.value("tollway_requests_total", **of_acme, status="200") == 1
    assert prometheus.value("tollway_tokens_total", **of_acme, kind="input") == 6
    assert prometheus.value("tollway_tokens_total", **of_acme, kind="output") == 25
    assert prometheus.total("tollway_cost_usd_total", **of_acme) == 0.0000424
    assert prometheus.total("tollway_benchmark_cost_usd_total", **of_acme) == 0.000212
    assert prometheus.value("tollway_request_duration_seconds_count", **of_acme) == 1
    assert prometheus.silently_dropped == []

    (line,) = stage.loki.lines(org="acme")
    assert line.metadata["request_id"] == request_id
    assert line.metadata["cost_usd"] == "0.0000424"
    assert (line.labels["job"], line.labels["app"], line.labels["level"]) == ("tollway", "acme-app", "info")
