"""The fault-injecting vendor: each fault as a client sees it, and as the bill has it."""

from typing import Any

import aiohttp
import msgspec
import pytest

from tests.demo.failing import (
    DONE,
    PROMPT_TOKENS,
    QUESTION,
    Heard,
    asked,
    failing,
    streamed,
)
from tollway.demo.bill import Line
from tollway.demo.faults import Fault, Trait

BOTH = pytest.mark.parametrize("body", [asked(), streamed()], ids=["whole", "streamed"])
ALL_TRAITS: dict[Fault | Trait, float] = dict.fromkeys(Trait, 1.0)


def usage_in(line: Line) -> dict[str, Any]:
    """The usage of a billed line, as OpenAI writes it."""
    return {
        "prompt_tokens": line.prompt_tokens,
        "completion_tokens": line.completion_tokens,
        "total_tokens": line.prompt_tokens + line.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": line.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": line.reasoning_tokens},
    }


def is_billed_in_full(line: Line) -> bool:
    """Whether the bill has what the deterministic vendor generates for our question."""
    exact = PROMPT_TOKENS * 400 + line.completion_tokens * 1_600
    return line.billed and line.completion_tokens > 20 and line.cost_usd == f"{exact / 10**9:.7f}".rstrip("0")


async def test_an_answer_is_billed_at_the_listed_price() -> None:
    async with failing() as this:
        answer = await this.ask_as("call-1", asked(max_tokens=3, user="ada@example.com"))
        line = this.line()
    assert (answer.status, answer.headers["content-type"], answer.is_whole) == (200, "application/json", True)
    assert answer.json["id"] == "chatcmpl-demo-1"
    assert answer.json["choices"][0]["finish_reason"] == "length"
    assert answer.json["usage"] == usage_in(line)
    assert line == Line(
        number=1,
        client_request_id="call-1",
        user="ada@example.com",
        model="small",
        fault=None,
        status=200,
        streamed=False,
        service_tier="default",
        prompt_tokens=5,
        cached_tokens=0,
        completion_tokens=3,
        reasoning_tokens=0,
        reported=True,
        billed=True,
        cost_usd="0.0000068",  # 5 * 400 + 3 * 1,600 nano-dollars
        time_us=line.time_us,
    )
    assert line.time_us > 0


@pytest.mark.parametrize("reports", [False, True])
async def test_a_stream_reports_its_usage_to_whom_asks_and_is_billed_either_way(reports: bool) -> None:
    async with failing() as this:
        answer = await this.ask(streamed(reports=reports))
        line = this.line()
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.is_whole
    assert answer.body.endswith(DONE)
    assert answer.streamed_usage == (usage_in(line) if reports else None)
    assert (line.status, line.streamed, line.reported, line.fault) == (200, True, reports, None)
    assert is_billed_in_full(line)


@BOTH
@pytest.mark.parametrize(
    ("fault", "status", "code", "more"),
    [
        (Fault.RATE_LIMITED, 429, "rate_limit_exceeded", {"retry-after": "1"}),
        (Fault.SERVER_ERROR, 500, "server_error", {}),
        (Fault.UNAVAILABLE, 503, "overloaded", {}),
    ],
)
async def test_a_refusal_is_explained_and_not_billed(
    body: dict[str, Any], fault: Fault, status: int, code: str, more: dict[str, str]
) -> None:
    async with failing({fault: 1.0}) as this:
        answer = await this.ask(body)
        line = this.line()
    assert (answer.status, answer.is_whole) == (status, True)
    assert answer.headers["content-type"] == "application/json"
    assert {name: value for name, value in answer.headers.items() if name == "retry-after"} == more
    error = answer.json["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}
    assert (line.fault, line.status, line.streamed) == (fault, status, "stream" in body)
    assert (line.billed, line.reported, line.cost_usd) == (False, False, "0")
    assert usage_in(line)["total_tokens"] == 0


@BOTH
@pytest.mark.parametrize("fault", [Fault.DROPPED_BILLED, Fault.DROPPED_UNBILLED])
async def test_a_connection_dropped_before_any_answer(body: dict[str, Any], fault: Fault) -> None:
    async with failing({fault: 1.0}) as this:
        answer = await this.ask(body)
        line = this.line()
    assert answer == Heard(headers={})
    assert (line.fault, line.status, line.reported) == (fault, None, False)
    assert line.billed is (fault is Fault.DROPPED_BILLED)
    assert is_billed_in_full(line) is line.billed
    assert (line.cost_usd == "0") is not line.billed


async def test_a_body_that_is_cut_is_billed_and_never_readable() -> None:
    lengths = set()
    async with failing({Fault.CUT_BODY: 1.0}) as this:
        for number in range(20):
            answer = await this.ask_as(str(number), asked())
            assert (answer.status, answer.is_whole) == (200, False)
            assert 0 < len(answer.body) < int(answer.headers["content-length"])
            lengths.add(len(answer.body))
        lines = this.bill.lines()
    assert len(lengths) > 10
    assert {(line.fault, line.status, line.reported) for line in lines} == {(Fault.CUT_BODY, 200, False)}
    assert all(map(is_billed_in_full, lines))


@pytest.mark.parametrize("fault", [Fault.TRUNCATED_STREAM, Fault.BROKEN_EVENT])
async def test_a_stream_that_breaks_is_billed_in_full_and_says_whether_usage_was_out(fault: Fault) -> None:
    reported = []
    async with failing({fault: 1.0}) as this:
        for number in range(120):
            answer = await this.ask_as(str(number), streamed(max_tokens=30))
            line = this.bill.lines()[-1]
            assert (line.fault, line.status) == (fault, 200)
            assert is_billed_in_full(line)
            assert not answer.body.endswith(DONE)
            if fault is Fault.TRUNCATED_STREAM:
                assert answer.is_whole  # as HTTP goes
                assert answer.rest == b""
                assert answer.events
            else:
                assert not answer.is_whole
                assert answer.rest
                with pytest.raises(msgspec.DecodeError):
                    msgspec.json.decode(answer.rest.removeprefix(b"data: "))
            assert answer.streamed_usage == (usage_in(line) if line.reported else None)
            reported.append(line.reported)
    assert set(reported) == {False, True}


@BOTH
async def test_an_answer_without_usage_is_complete_and_billed(body: dict[str, Any]) -> None:
    async with failing({Fault.USAGE_MISSING: 1.0}) as this:
        answer = await this.ask(body)
        line = this.line()
    assert (answer.status, answer.is_whole) == (200, True)
    assert b"usage" not in answer.body
    assert (line.fault, line.reported) == (Fault.USAGE_MISSING, False)
    assert is_billed_in_full(line)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_reasoning_counts_within_the_cap_and_cached_tokens_within_the_prompt(name: str, n: int) -> None:
    async with failing(ALL_TRAITS) as this:
        for cap in (1, 2, 5, 20, 64, 90, None):
            for stream in (False, True):
                body = {**(streamed(n=n) if stream else asked(n=n)), name: cap}
                answer = await this.ask_as(f"{cap} {stream}", body)
                line = this.bill.lines()[-1]
                usage = answer.streamed_usage if stream else answer.json["usage"]
                assert usage == usage_in(line)
                assert 1 <= line.cached_tokens <= line.prompt_tokens == PROMPT_TOKENS
                assert n <= line.reasoning_tokens <= line.completion_tokens
                assert cap is None or line.completion_tokens <= n * cap
                assert line.service_tier == "flex"
                uncached = PROMPT_TOKENS - line.cached_tokens
                exact = uncached * 400 + line.cached_tokens * 100 + line.completion_tokens * 1_600
                assert float(line.cost_usd) == exact / 10**9
                first = answer.events[0] if stream else answer.json
                assert first["service_tier"] == "flex"


async def test_a_cap_that_reasoning_uses_up_leaves_no_text() -> None:
    async with failing(ALL_TRAITS) as this:
        (choice,) = (await this.ask(asked(max_completion_tokens=1))).json["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
        assert (this.line().completion_tokens, this.line().reasoning_tokens) == (1, 1)


async def test_without_a_cap_an_answer_still_has_a_bound() -> None:
    long = {"messages": [{"role": "user", "content": "a " * 5_000}]}
    async with failing() as this:
        for cap in (None, 4_000):
            answer = await this.ask({**asked(max_tokens=cap), **long})
            assert answer.json["choices"][0]["finish_reason"] == "length"
        assert [line.completion_tokens for line in this.bill.lines()] == [1_024, 1_024]


async def test_an_empty_prompt_has_no_cached_tokens() -> None:
    async with failing(ALL_TRAITS) as this:
        await this.ask({"model": "large", "messages": []})
        assert (this.line().model, this.line().prompt_tokens, this.line().cached_tokens) == ("large", 0, 0)


async def answers(seed: int, order: list[int]) -> dict[str | None, tuple[object, ...]]:
    """What requests with ids of their own meet under the default mix, by id."""
    mix: dict[Fault | Trait, float] = {**ALL_TRAITS, **dict.fromkeys(Fault, 0.1)}
    async with failing(mix, seed=seed) as this:
        for number in order:
            await this.ask_as(f"call-{number}", streamed() if number % 2 else asked())
        return {
            line.client_request_id: (line.fault, line.cost_usd, line.reported, line.reasoning_tokens)
            for line in this.bill.lines()
        }


async def test_a_seed_deals_by_what_a_request_is_and_not_by_when_it_comes() -> None:
    order = list(range(40))
    assert await answers(1, order) == await answers(1, order[::-1])
    assert await answers(1, order) != await answers(2, order)


async def test_without_an_id_a_request_is_known_by_its_body() -> None:
    def body(number: int) -> dict[str, Any]:
        return {**asked(), "messages": [{"role": "user", "content": f"{QUESTION} {number}"}]}

    async def faults(order: list[int]) -> dict[int, str | None]:
        async with failing({Fault.RATE_LIMITED: 0.5}) as this:
            for number in order:
                await this.ask(body(number))
            found = [line.fault for line in this.bill.lines()]
            return dict(zip(order, found, strict=True))

    order = list(range(20))
    found = await faults(order)
    assert found == await faults(order[::-1])
    assert set(found.values()) == {None, Fault.RATE_LIMITED}


async def test_clients_of_aiohttp_see_the_faults_as_their_own_errors() -> None:
    async with failing({Fault.DROPPED_BILLED: 1.0}) as this, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.post(f"{this.vendor.base_url}/chat/completions", json=asked())
    for fault, body in ((Fault.CUT_BODY, asked()), (Fault.BROKEN_EVENT, streamed())):
        async with failing({fault: 1.0}) as this, aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.ClientPayloadError):
                async with client.post(f"{this.vendor.base_url}/chat/completions", json=body) as answer:
                    await answer.read()
