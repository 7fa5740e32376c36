"""The sender, driven as conformance suites drive one: a target, a receiver, and what passes between.

A table of our own, after the cases of Prometheus's sender suite for remote write 2.0.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import cramjam
import pytest
from aiohttp import web

from tests.world.waiting import until
from tollway.control.forwarding import Forwarding, forward
from tollway.demo.prometheus import PrometheusReceiver, is_stale
from tollway.demo.receiver import ScriptedAnswer
from tollway.demo.remote_write import Labels, read_v2
from tollway.demo.server import LoopbackServer
from tollway.domain.clock import US_PER_S, SystemClock
from tollway.domain.token import Secret
from tollway.push.remote_write import MAX_SERIES_PER_REQUEST

EACH_S = 0.02
REPORTED = {
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
}
EXPOSED = """\
# HELP calls_total Calls\\nmade.
# TYPE calls_total counter
calls_total{code="200",empty=""} 7
# TYPE room gauge
room 1.5e3
# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_bucket{le="1"} 1
took_seconds_bucket{le="+Inf"} 2
took_seconds_sum 3.5
took_seconds_count 2
"""
EXPOSED_COUNT = 6
COMMON = {"job": "test", "instance": "there:1"}


def now_s() -> float:
    return SystemClock().now_us() / US_PER_S


class Target(LoopbackServer):
    """Exposes a text."""

    text = EXPOSED
    status = 200

    async def handle(self, request: web.Request) -> web.Response:
        assert request.path == "/metrics"
        return web.Response(text=self.text, status=self.status)


class Receiver(PrometheusReceiver):
    """Knows how many series there were in each 2.0 request that it took or refused itself."""

    def __init__(self) -> None:
        super().__init__(user="1", token="secret", now=now_s, accepts="2.0")
        self.sizes: list[int] = []

    def answer(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, Mapping[str, str]]:
        if headers["X-Prometheus-Remote-Write-Version"] == "2.0.0":
            self.sizes.append(len(read_v2(bytes(cramjam.snappy.decompress_raw(body))).series))
        return super().answer(body, headers)

    def series_of(self, name: str) -> list[Labels]:
        return [labels for labels in self.series() if ("__name__", name) in labels]


class Bench:
    """A target, a receiver, and the sender between them."""

    def __init__(self) -> None:
        self.target = Target()
        self.receiver = Receiver()

    @asynccontextmanager
    async def forwarding(self, **more: str) -> AsyncIterator[Receiver]:
        made = Forwarding(
            scrape_url=f"{self.target.url}/metrics",
            write_url=f"{self.receiver.url}/api/v1/write",
            user="1",
            password=Secret("secret"),
            labels={**COMMON, **more},
        )
        task = asyncio.create_task(forward(made, SystemClock(), EACH_S))
        try:
            yield self.receiver
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def pushed(self, count: int = 1) -> Callable[[], bool]:
        return lambda: len(self.receiver.requests) >= count


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    async with made.target, made.receiver:
        yield made


class TestWhatIsSent:
    async def test_values_types_help_job_and_instance_arrive(self, bench: Bench) -> None:
        async with bench.forwarding() as receiver:
            await until(bench.pushed(2))
        assert receiver.value("calls_total", code="200", **COMMON) == 7
        assert receiver.value("room", **COMMON) == 1_500
        assert receiver.value("took_seconds_bucket", le="+Inf", **COMMON) == 2
        assert receiver.metadata["calls_total"].type == "counter"
        assert receiver.metadata["calls_total"].help == "Calls\nmade."
        assert receiver.metadata["room"].type == "gauge"
        assert receiver.metadata["took_seconds"].type == "histogram"

    async def test_the_headers_are_those_of_2_0(self, bench: Bench) -> None:
        async with bench.forwarding() as receiver:
            await until(bench.pushed())
        headers = receiver.requests[0].headers
        assert headers["Content-Encoding"] == "snappy"
        assert headers["Content-Type"] == "application/x-protobuf;proto=io.prometheus.write.v2.Request"
        assert headers["X-Prometheus-Remote-Write-Version"] == "2.0.0"
        assert headers["User-Agent"].startswith("tollway/")

    async def test_labels_are_sorted_and_none_is_empty(self, bench: Bench) -> None:
        async with bench.forwarding(region="", zone="north") as receiver:
            await until(bench.pushed())
        for labels in receiver.series():
            names = [name for name, _ in labels]
            assert names == sorted(set(names))
            assert all(value for _, value in labels)
            assert {"__name__", "zone"} <= set(names)
        assert receiver.silently_dropped == []

    async def test_times_rise_and_are_of_now(self, bench: Bench) -> None:
        before_ms = now_s() * 1000 - 1
        async with bench.forwarding() as receiver:
            await until(bench.pushed(4))
        for samples in receiver.series().values():
            times = [at_ms for at_ms, _ in samples]
            assert times == sorted(set(times))
            assert before_ms <= times[0] <= times[-1] <= now_s() * 1000 + 1

    async def test_requests_have_a_bounded_number_of_series(self, bench: Bench) -> None:
        count = 2 * MAX_SERIES_PER_REQUEST + 1
        bench.target.text = "".join(f'many{{number="{number}"}} {number}\n' for number in range(count))
        async with bench.forwarding() as receiver:
            await until(lambda: len(receiver.sizes) >= 3)
        assert receiver.sizes[:3] == [MAX_SERIES_PER_REQUEST, MAX_SERIES_PER_REQUEST, 1 + len(REPORTED)]
        assert len(receiver.series_of("many")) == count
        assert len(receiver.series()) == count + len(REPORTED)

    async def test_a_series_that_is_not_exposed_any_more_ends_with_a_stale_marker(self, bench: Bench) -> None:
        async with bench.forwarding() as receiver:
            await until(bench.pushed())
            bench.target.text = "room 2\n"
            [ended] = receiver.series_of("calls_total")
            await until(lambda: is_stale(receiver.series()[ended][-1][1]))
            seen = len(receiver.requests)
            await until(bench.pushed(seen + 2))
            assert sum(is_stale(value) for _, value in receiver.series()[ended]) == 1


class TestWhatIsSaidOfTheScrape:
    async def test_it_is_said_how_it_went(self, bench: Bench) -> None:
        async with bench.forwarding() as receiver:
            await until(bench.pushed())
        assert receiver.value("up", **COMMON) == 1
        assert receiver.value("scrape_samples_scraped", **COMMON) == EXPOSED_COUNT
        assert receiver.value("scrape_samples_post_metric_relabeling", **COMMON) == EXPOSED_COUNT
        assert 0 < receiver.value("scrape_duration_seconds", **COMMON) < 10
        assert len(receiver.series()) == EXPOSED_COUNT + len(REPORTED)

    async def test_a_target_that_has_nothing_to_expose_is_up(self, bench: Bench) -> None:
        bench.target.text = "\n"
        async with bench.forwarding() as receiver:
            await until(bench.pushed())
        assert receiver.value("up", **COMMON) == 1
        assert receiver.value("scrape_samples_scraped", **COMMON) == 0

    @pytest.mark.parametrize(
        ("text", "status"), [("this is { no exposition", 200), (EXPOSED, 503), ("room 1\nroom one\n", 200)]
    )
    async def test_a_target_that_is_away_or_exposes_no_metrics_is_waited_for(
        self, bench: Bench, text: str, status: int
    ) -> None:
        bench.target.text, bench.target.status = text, status
        async with bench.forwarding() as receiver:
            await until(bench.pushed(3))
            assert {dict(labels)["__name__"] for labels in receiver.series()} == REPORTED
            assert receiver.value("up", **COMMON) == 0
            assert receiver.value("scrape_samples_scraped", **COMMON) == 0
            bench.target.text, bench.target.status = EXPOSED, 200
            await until(lambda: receiver.series_of("room") != [])
            assert receiver.value("up", **COMMON) == 1

    async def test_a_target_that_is_not_there_ends_its_series_until_it_is_back(self, bench: Bench) -> None:
        port = int(bench.target.url.rpartition(":")[2])
        async with bench.forwarding() as receiver:
            await until(bench.pushed())
            await bench.target.stop()
            await until(lambda: receiver.value("up", **COMMON) == 0)
            seen = len(receiver.requests)
            await until(bench.pushed(seen + 2))
            for labels, samples in receiver.series().items():
                is_of_the_scrape = dict(labels)["__name__"] in REPORTED
                assert sum(is_stale(value) for _, value in samples) == (0 if is_of_the_scrape else 1)
                assert is_of_the_scrape or is_stale(samples[-1][1])
            await bench.target.start(port)
            await until(lambda: receiver.value("up", **COMMON) == 1)
            assert receiver.value("room", **COMMON) == 1_500


class TestAnswers:
    @pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
    async def test_what_is_refused_is_not_sent_again_nor_for_a_while_its_like(
        self, bench: Bench, status: int
    ) -> None:
        bench.receiver.scripted.append(ScriptedAnswer(status=status))
        begun = time.monotonic()
        async with bench.forwarding() as receiver:
            await until(bench.pushed(2))
        assert time.monotonic() - begun >= 32 * EACH_S
        assert len({samples[0] for samples in receiver.series().values()}) >= 1
        bodies = [request.body_bytes for request in receiver.requests]
        times = [at_ms for samples in receiver.series().values() for at_ms, _ in samples]
        assert len(bodies) >= 2
        assert len(set(times)) <= len(bodies) - 1  # the refused one's time was never sent again

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_what_failed_is_followed_by_a_newer_picture_after_a_pause_that_grows(
        self, bench: Bench, status: int
    ) -> None:
        bench.receiver.scripted.extend(ScriptedAnswer(status=status) for _ in range(3))
        begun = time.monotonic()
        async with bench.forwarding() as receiver:
            await until(lambda: receiver.series() != {})
        assert time.monotonic() - begun >= (2 + 4 + 8) * EACH_S
        assert len(receiver.requests) >= 4

    async def test_a_receiver_may_ask_for_a_longer_pause(self, bench: Bench) -> None:
        bench.receiver.scripted.append(ScriptedAnswer(status=503, headers={"Retry-After": "1"}))
        begun = time.monotonic()
        async with bench.forwarding():
            await until(bench.pushed(2))
        assert time.monotonic() - begun >= 1

    async def test_a_receiver_that_does_not_know_2_0_is_spoken_to_in_1_0(self, bench: Bench) -> None:
        bench.receiver.accepts = "1.0"
        async with bench.forwarding() as receiver:
            await until(lambda: receiver.series() != {})
        versions = [request.headers["X-Prometheus-Remote-Write-Version"] for request in receiver.requests]
        assert versions[:2] == ["2.0.0", "0.1.0"]
        assert "2.0.0" not in versions[2:]
