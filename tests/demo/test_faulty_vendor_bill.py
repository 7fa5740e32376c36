"""The bill of the fault-injecting vendor: what is on it, from when, and whatever the client does."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.demo.failing import CHAT, Failing, asked, failing, streamed
from tests.world.waiting import until
from tollway.demo.bill import Line

LONG_S = (30.0, 30.0)
"""Longer than any test; waited for by nobody."""


async def until_lines(this: Failing, count: int) -> list[Line]:
    await until(lambda: len(this.bill.lines()) >= count)
    return this.bill.lines()


async def until_it_waits(this: Failing) -> None:
    """Return once another request is under way: numbers are given on arrival, lines are written later."""
    while True:
        await this.ask(b"no JSON")
        lines = this.bill.lines()
        if lines[-1].number > len(lines):
            return


async def test_what_is_no_chat_request_is_on_the_bill_and_costs_nothing() -> None:
    bodies: list[tuple[Any, int]] = [
        (b"", 400),
        (b"{", 400),
        (b'{"model": "small", "messages": [], "user": "\\ud800"}', 400),
        (asked(user=7), 400),
        (asked(n=0), 400),
        (asked(model="medium"), 404),
    ]
    async with failing() as this:
        for body, status in bodies:
            answer = await this.ask(body, "X-Client-Request-Id: it")
            assert answer.status == status
            assert answer.json["error"]["type"] == "invalid_request_error"
        lines = this.bill.lines()
    assert [line.status for line in lines] == [status for _, status in bodies]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        assert (line.client_request_id, line.model, line.fault) == ("it", None, None)
        assert (line.billed, line.reported, line.cost_usd) == (False, False, "0")


async def test_any_key_is_accepted_unless_one_is_given_and_strangers_are_not_on_the_bill() -> None:
    async with failing() as this:
        assert (await this.ask(asked())).status == 200
        assert (await this.ask(asked(), "Authorization: Bearer anything")).status == 200
    async with failing(api_key="the-key") as this:
        for shown in ("", "Bearer the-keys", "the-key", "Bearer \u00e9", "Bearer \udcff"):
            refused = await this.ask(asked(), f"Authorization: {shown}")
            assert (refused.status, refused.json["error"]["code"]) == (401, "invalid_api_key")
        assert (await this.ask(asked(), "Authorization: Bearer the-key")).status == 200
        assert this.line().number == 1


async def test_what_is_no_endpoint_is_not_on_the_bill() -> None:
    async with failing() as this:
        for method, path in (("GET", CHAT), ("POST", "/v1/embeddings"), ("POST", "/bill")):
            assert (await this.ask(asked(), method=method, path=path)).status == 404
        assert this.bill.lines() == []


@pytest.mark.parametrize("given", ["x" * 513, "caf\u00e9", "\udcff"])
async def test_an_id_beyond_the_bounds_of_the_header_is_refused(given: str) -> None:
    async with failing() as this:
        refused = await this.ask_as(given, asked())
        assert (refused.status, refused.json["error"]["code"]) == (400, "invalid_client_request_id")
        assert (this.line().client_request_id, this.line().billed) == (None, False)


async def test_an_empty_id_is_none() -> None:
    async with failing() as this:
        await this.ask_as("", asked())
        assert this.line().client_request_id is None


async def test_the_bill_is_shown_while_it_runs() -> None:
    async with failing() as this:
        empty = await this.ask(b"", method="GET", path="/bill")
        assert (empty.status, empty.body, empty.is_whole) == (200, b"", True)
        for body in (asked(), streamed(n=2)):
            await this.ask(body)
        shown = await this.ask(b"", method="GET", path="/bill")
        assert (shown.headers["content-type"], shown.is_whole) == ("application/x-ndjson", True)
        assert msgspec.json.Decoder(Line).decode_lines(shown.body) == this.bill.lines()
        summary = await this.ask(b"", method="GET", path="/bill/summary")
        assert summary.json == this.bill.summary()
        assert summary.json["requests"] == 2


@pytest.mark.parametrize("body", [asked(), streamed()], ids=["whole", "streamed"])
async def test_an_answer_that_cannot_be_billed_is_never_complete(
    body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with failing(path=Path("/dev/full")) as this:
        answer = await this.ask(body)
        assert not answer.is_whole
        assert b"[DONE]" not in answer.body
        assert this.bill.lines() == []
    assert "No space left" in caplog.text


async def test_a_client_that_leaves_before_the_answer_is_billed() -> None:
    async with failing(first_byte_s=(0.2, 0.2)) as this:
        for body in (asked(), streamed()):
            _, writer = await this.open(body)
            await until_it_waits(this)
            writer.transport.abort()
        lines = await until_lines(this, this.bill.lines()[-1].number)
        left = [line for line in lines if line.model]
    assert [(line.status, line.reported, line.billed) for line in left] == [(None, False, True)] * 2
    assert all(line.completion_tokens > 20 for line in left)


async def test_a_client_that_leaves_in_midstream_is_billed_for_all_of_it() -> None:
    async with failing(between_chunks_s=(0.02, 0.02)) as this:
        reader, writer = await this.open(streamed())
        await reader.readuntil(b"\n\n")
        writer.transport.abort()
        (line,) = await until_lines(this, 1)
        whole = await this.ask(asked())
    assert (line.status, line.streamed, line.reported, line.billed) == (200, True, False, True)
    assert line.completion_tokens == whole.json["usage"]["completion_tokens"]


async def test_a_client_that_leaves_a_half_sent_request_is_not_on_the_bill(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with failing() as this:
        _, writer = await this.open(asked(), kept_bytes=1)
        await this.ask(asked())
        writer.transport.abort()
        await this.ask(asked())
        assert [line.number for line in this.bill.lines()] == [1, 2]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(("first", "between"), [(LONG_S, (0.0, 0.0)), ((0.0, 0.0), LONG_S)])
async def test_what_is_under_way_at_a_stop_is_on_the_bill(
    first: tuple[float, float], between: tuple[float, float]
) -> None:
    async with failing(first_byte_s=first, between_chunks_s=between) as this:
        reader, writer = await this.open(streamed())
        if between == LONG_S:
            await reader.readuntil(b"\n\n")
        else:
            await until_it_waits(this)
        await this.vendor.stop()
        line = next(line for line in this.bill.lines() if line.model)
        writer.close()
    assert (line.status, line.reported) == (200 if between == LONG_S else None, False)
    assert line.billed
    assert line.completion_tokens > 20


async def test_a_stop_waits_for_no_answer_that_nobody_waits_for() -> None:
    async with failing(first_byte_s=LONG_S) as this:
        _, writer = await this.open(asked())
        await until_it_waits(this)
        writer.transport.abort()
        await this.ask(b"no JSON")
        await this.vendor.stop()
        line = next(line for line in this.bill.lines() if line.model)
    assert (line.status, line.reported, line.billed) == (None, False, True)


async def test_a_bill_outlives_a_stop() -> None:
    async with failing() as this:
        port = int(this.vendor.url.rpartition(":")[2])
        await this.ask(asked())
        await this.vendor.stop()
        await this.vendor.start(port)
        await this.ask(asked())
        assert [line.number for line in this.bill.lines()] == [1, 2]
