"""Rows as log lines: what a strict Loki takes, and what must never be in them."""

import gzip
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.push.entries import entries, rows
from tests.world.clock import NOON_US
from tests.world.entries import cost, entry, lost
from tests.world.stage import Stage
from tollway.demo.loki import LokiReceiver
from tollway.demo.vendor import Scripted
from tollway.domain.ledger import NOTHING, Entry, correction
from tollway.domain.money import parse_usd
from tollway.push import loki
from tollway.store.usage import StoredEntry


def decoded(body: bytes) -> Any:  # noqa: ANN401 - JSON
    return msgspec.json.decode(gzip.decompress(body))


@settings(deadline=None, max_examples=100)
@given(rows())
def test_a_strict_loki_takes_every_row(sent: list[StoredEntry]) -> None:
    double = LokiReceiver(user="u", token="t", now=lambda: NOON_US / 1e6)
    assert double.receive(loki.encode(sent, org="acme"), loki.HEADERS) == (204, "")
    stored = {msgspec.json.decode(line.text)["seq"]: line for line in double.lines(job="tollway", org="acme")}
    assert set(stored) == {row.seq for row in sent}
    for row in sent:
        line = stored[row.seq]
        assert line.timestamp_ns == row.entry.ended_us * 1_000
        assert line.labels["app"] == row.entry.app
        assert line.labels["level"] == ("error" if row.entry.status >= 400 else "info")


@settings(deadline=None, max_examples=100)
@given(rows())
def test_there_is_one_stream_for_each_app_and_level_and_it_is_in_order(sent: list[StoredEntry]) -> None:
    streams = decoded(loki.encode(sent, org="acme"))["streams"]
    labels = [tuple(stream["stream"].items()) for stream in streams]
    assert len(set(labels)) == len(labels)
    assert all([name for name, _ in found] == ["job", "org", "app", "level"] for found in labels)
    assert {(stream["stream"]["app"], stream["stream"]["level"]) for stream in streams} == {
        (row.entry.app, "error" if row.entry.status >= 400 else "info") for row in sent
    }
    for stream in streams:
        times = [int(time_ns) for time_ns, _, _ in stream["values"]]
        assert times == sorted(times)


@settings(deadline=None, max_examples=100)
@given(entries())
def test_metadata_are_strings_without_exception(entry: Entry) -> None:
    found = loki.metadata(entry)
    assert all(isinstance(value, str) for value in found.values())
    assert found["request_id"] == entry.request_id
    assert parse_usd(found["cost_usd"]) == entry.cost.total


@settings(deadline=None, max_examples=100)
@given(entries(), st.integers(1, 2**60))
def test_money_in_a_line_is_exact(entry: Entry, seq: int) -> None:
    text = loki.line(StoredEntry(seq=seq, entry=entry), "acme")
    money = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    assert parse_usd(bytes(money["cost_usd"]).decode()) == entry.cost.total
    assert parse_usd(bytes(money["savings_usd"]).decode()) == entry.prompt_savings + entry.completion_savings
    assert b"\n" not in text


@settings(deadline=None, max_examples=50)
@given(rows())
def test_a_strict_loki_takes_lost_calls_as_errors_without_money(sent: list[StoredEntry]) -> None:
    unknown = [StoredEntry(seq=row.seq, entry=lost(row.entry)) for row in sent]
    double = LokiReceiver(user="u", token="t", now=lambda: NOON_US / 1e6)
    assert double.receive(loki.encode(unknown, org="acme"), loki.HEADERS) == (204, "")
    lines = double.lines(job="tollway", org="acme")
    assert len(lines) == len(sent)
    for line in lines:
        text = msgspec.json.decode(line.text)
        assert (text["outcome"], text["status"], text["error_code"]) == ("unsettled", 500, "end_unknown")
        assert line.labels["level"] == "error"
        assert {text["cost_usd"], text["savings_usd"], text["price_version"]} == {None}
        assert not {"cost_usd", "savings_usd"} & set(line.metadata)
        assert all(isinstance(value, str) for value in line.metadata.values())


def test_what_a_lost_call_may_cost_is_not_told_as_if_it_cost_that() -> None:
    unknown = StoredEntry(seq=1, entry=lost(entry(end_user="user-7"), held=987_654_321))
    assert b"987654321" not in loki.line(unknown, "acme").replace(b".", b"")
    assert msgspec.json.decode(loki.line(unknown, "acme"))["end_user"] == "user-7"


def test_a_late_end_is_a_line_of_its_own_with_its_money() -> None:
    row = StoredEntry(seq=2, entry=correction(entry(benchmark=cost(3_000, 50_000))))
    text = msgspec.json.decode(loki.line(row, "acme"))
    assert (text["kind"], text["outcome"]) == ("correction", "correction")
    assert (text["cost_usd"], text["savings_usd"]) == (0.0000424, 0.0000106)
    found = loki.metadata(row.entry)
    assert (found["cost_usd"], found["savings_usd"]) == ("0.0000424", "0.0000106")


def test_a_call_that_cost_nothing_says_so() -> None:
    row = StoredEntry(seq=1, entry=entry(cost=NOTHING, vendor_cost=NOTHING))
    text = msgspec.json.decode(loki.line(row, "acme"))
    assert (text["cost_usd"], text["savings_usd"]) == (0, 0)
    assert loki.metadata(row.entry)["cost_usd"] == "0"


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
