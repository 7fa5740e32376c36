"""Lines as bytes on the wire: what a strict Loki takes, and what must never be in them."""

import gzip
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.push.entries import rows
from tests.world.clock import NOON_US
from tests.world.entries import entry
from tests.world.stage import Stage
from tollway.demo.loki import LokiReceiver
from tollway.demo.vendor import Scripted
from tollway.push import loki
from tollway.push.streams import Streams
from tollway.store.usage import StoredEntry


def decoded(body: bytes) -> Any:  # noqa: ANN401 - JSON
    return msgspec.json.decode(gzip.decompress(body))


@settings(deadline=None, max_examples=100)
@given(rows(), st.randoms())
def test_a_strict_loki_takes_every_line_and_each_stream_is_in_order(
    drawn: list[StoredEntry], random: Random
) -> None:
    (push,) = Streams(org="acme").pushes(drawn, now_us=NOON_US)
    sent = list(push.lines)
    random.shuffle(sent)
    double = LokiReceiver(user="u", token="t", now=lambda: NOON_US / 1e6)
    body = loki.body(sent)
    assert double.receive(body, loki.HEADERS) == (204, "")
    stored = {msgspec.json.decode(line.text)["seq"]: line for line in double.lines(job="tollway", org="acme")}
    assert set(stored) == {line.seq for line in sent}
    for line in sent:
        found = stored[line.seq]
        assert (found.timestamp_ns, found.text.encode()) == (line.at_us * 1_000, line.text)
        assert (found.metadata, found.size_bytes) == (line.metadata, line.size_bytes)
        assert found.labels == {**line.stream.labels, "service_name": line.stream.app}
    streams = decoded(body)["streams"]
    assert len({tuple(stream["stream"].items()) for stream in streams}) == len(streams)
    assert all(list(stream["stream"]) == ["job", "org", "app", "level"] for stream in streams)
    for stream in streams:
        times = [int(time_ns) for time_ns, _, _ in stream["values"]]
        assert times == sorted(times)


def test_lines_of_one_time_stay_in_the_order_of_their_rows() -> None:
    made = [StoredEntry(seq=seq, entry=entry()) for seq in range(1, 6)]
    (push,) = Streams(org="acme").pushes(made, now_us=NOON_US)
    (stream,) = decoded(push.encode())["streams"]
    assert [msgspec.json.decode(text)["seq"] for _, text, _ in stream["values"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("stream", [False, True])
async def test_no_prompt_and_no_answer_is_in_what_is_sent(stage: Stage, stream: bool) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await stage.chat(acme, "the launch code is XYZZY-4711", stream=stream)
    await stage.settled()
    (line,) = stage.loki.lines(org="acme")
    said = line.text + repr(dict(line.labels)) + repr(dict(line.metadata))
    for secret in ("XYZZY", "launch", "You said", "demo vendor", acme.app_key):
        assert secret not in said
    assert msgspec.json.decode(line.text)["streamed"] is stream


async def test_a_failed_call_is_an_error_line_without_the_vendors_words(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    stage.vendor.scripted.append(
        Scripted(status=500, parts=[b'{"error": {"message": "XYZZY said too much"}}'])
    )
    assert (await stage.chat(acme)).status >= 500
    await stage.settled()
    (line,) = stage.loki.lines(org="acme")
    assert line.labels["level"] == "error"
    assert "XYZZY" not in line.text
    assert msgspec.json.decode(line.text)["cost_usd"] == 0
