"""The installed command and a real Prometheus 3: all goes by remote write 2.0, and nothing is lost by it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.test_prometheus import TOKEN, USER, Gateway, assert_equal_sums, gateway, total, until
from tests.peers.prometheus import Prometheus3Server, PrometheusServer
from tests.world import waiting
from tollway.demo.prometheus import PrometheusReceiver
from tollway.domain.clock import US_PER_S, SystemClock
from tollway.push.samples import METADATA

pytestmark = pytest.mark.e2e

MESSAGE_V2 = "io.prometheus.write.v2.Request"


class Relay(Prometheus3Server):
    """One that pushes on by 2.0 what it was pushed, with what it understood of each series' metadata."""

    def __init__(self, user: str, token: str, to_url: str) -> None:
        super().__init__(user, token)
        self._to_url = to_url

    def flags(self, folder: Path, address: str) -> Sequence[str]:
        flags = super().flags(folder, address)
        to = {
            "url": self._to_url,
            "protobuf_message": MESSAGE_V2,
            "basic_auth": {"username": self.user, "password": self.token},
            "queue_config": {"batch_send_deadline": "1s"},
        }
        (folder / "prometheus.yml").write_text(json.dumps({"remote_write": [to]}))
        return [*flags, "--enable-feature=metadata-wal-records"]


async def push_to(running: Gateway, prometheus: PrometheusServer | None) -> None:
    """Where the organisation's samples go from now on."""
    prom = prometheus and {"id": USER, "token": TOKEN, "endpoint": prometheus.push_url}
    await running.ask("PUT", "/v1/orgs/integrations", running.user_token, {"prom": prom})


async def chats(running: Gateway, count: int) -> None:
    """So many are asked; every other one is streamed."""
    for number in range(count):
        await running.chat(running.app_key, f"question {number} " * 40, stream=bool(number % 2))


async def assert_has_all(
    running: Gateway, prometheus: PrometheusServer, requests: int, protocol: str
) -> None:
    """Soon it has so many requests, and the record's sums; how it went is told to the organisation."""
    await until(lambda: total(prometheus, "tollway_requests_total", "demo") == requests)
    record = await running.ask("GET", "/v1/orgs/current", running.user_token)
    assert record["num_requests"] == requests
    assert_equal_sums(prometheus, "demo", record)
    await waiting.until(lambda: is_told(running, protocol))  # noted after what was pushed


async def is_told(running: Gateway, protocol: str) -> bool:
    """Whether the organisation is told that all goes well, by this version."""
    status = await running.ask("GET", "/v1/orgs/integrations/status", running.user_token)
    assert status["prom"]["protocol"] in (None, protocol)
    assert status["prom"]["dropped"] == {"refused": 0, "too_old": 0}
    return (status["prom"]["state"], status["prom"]["protocol"]) == ("ok", protocol)


async def test_all_goes_by_two_and_the_sums_are_the_records(tmp_path: Path) -> None:
    with Prometheus3Server(USER, TOKEN) as prometheus:
        async with gateway(tmp_path) as running:
            await push_to(running, prometheus)
            await chats(running, 7)
            await assert_has_all(running, prometheus, 7, "2.0")

            # One that was away, and has what it had.
            prometheus.stop()
            await chats(running, 2)
            prometheus.start()
            await assert_has_all(running, prometheus, 9, "2.0")

            # A receiver that is taken away: its series end, and stay where they were in the past.
            await push_to(running, None)
            await until(lambda: prometheus.query('{org="demo"}') == [])
            past = prometheus.samples('tollway_requests_total{org="demo"}[5m]')
            assert sum(samples[-1][1] for _, samples in past) == 9
            assert await running.stop() == 0
            assert "Traceback" not in running.log.read_text()


async def test_one_that_does_not_understand_two_is_written_to_by_one(tmp_path: Path) -> None:
    with PrometheusServer(USER, TOKEN) as prometheus:
        async with gateway(tmp_path) as running:
            await push_to(running, prometheus)
            await chats(running, 3)
            await assert_has_all(running, prometheus, 3, "1.0")


async def test_types_helps_and_units_arrive_as_they_were_said(tmp_path: Path) -> None:
    clock = SystemClock()
    double = PrometheusReceiver(user=USER, token=TOKEN, now=lambda: clock.now_us() / US_PER_S, accepts="2.0")
    async with double as end:
        with Relay(USER, TOKEN, f"{end.url}/api/v1/write") as relay:
            async with gateway(tmp_path) as running:
                await push_to(running, relay)
                await chats(running, 2)
                wanted = {"tollway_cost_usd_total", "tollway_request_duration_seconds", "tollway_spend_usd"}
                await waiting.until(lambda: wanted <= end.metadata.keys(), within_s=40)
    assert end.metadata == {
        family: (METADATA[family].type, METADATA[family].help, METADATA[family].unit)
        for family in end.metadata
    }
