"""Answers on their way from the vendor to the client: what is passed on, hidden, replaced and recorded."""

from collections import UserList
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from tests.gateway.scripts import (
    DONE,
    EVENTS,
    NOT_JSON,
    USAGE,
    answer,
    delta,
    error,
    events,
    only_entry,
    stream,
    usage,
)
from tests.world.clock import TurningClock
from tests.world.stage import Stage
from tollway.demo.vendor import Scripted, sse
from tollway.domain.ledger import Outcome
from tollway.domain.usage import Unit
from tollway.settings import Settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

COUNTED = {Unit.INPUT: 100, Unit.OUTPUT: 50, Unit.REQUEST: 1}
COST = 100 * 400 + 50 * 1_600
WITH_USAGE = {"include_usage": True}


async def test_a_client_that_did_not_ask_for_usage_sees_none_and_is_charged_by_it(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hi"), delta(finish_reason="stop"), usage(), DONE))
    reply = await stage.chat(acme, stream=True)
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.body == delta("Hi") + delta(finish_reason="stop") + DONE
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.streamed) == (Outcome.SETTLED, 200, True)
    assert (entry.units, entry.cost.total) == (COUNTED, COST)
    assert stage.vendor.requests[-1]["stream_options"] == WITH_USAGE


async def test_a_client_that_asked_for_usage_gets_the_stream_as_it_came(stage: Stage) -> None:
    acme = await stage.tenant()
    parts = [delta("Hi"), delta(finish_reason="stop"), usage(), DONE]
    stage.vendor.scripted.append(stream(*parts))
    options = {"include_usage": True, "some_option": 7}
    reply = await stage.chat(acme, stream=True, stream_options=options)
    assert reply.body == b"".join(parts)
    assert (await only_entry(stage, acme)).units == COUNTED
    assert stage.vendor.requests[-1]["stream_options"] == options


async def test_a_client_that_refuses_usage_still_has_it_metered(stage: Stage) -> None:
    acme = await stage.tenant()
    reply = await stage.chat(acme, stream=True, stream_options={"include_usage": False})
    assert all(chunk["choices"] for chunk in events(reply.body)[:-1])
    assert stage.vendor.requests[-1]["stream_options"] == WITH_USAGE
    assert (await only_entry(stage, acme)).outcome is Outcome.SETTLED


async def test_events_cut_anywhere_arrive_whole(stage: Stage) -> None:
    acme = await stage.tenant()
    whole = delta("Hi") + delta(finish_reason="stop") + usage() + DONE
    parts = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    stage.vendor.scripted.append(stream(*parts))
    reply = await stage.chat(acme, stream=True, stream_options=WITH_USAGE)
    assert reply.body == whole
    assert (await only_entry(stage, acme)).units == COUNTED


CITES = {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com"}}]}


@pytest.mark.parametrize(
    ("counts", "searches"), [(USAGE, 1), ({**USAGE, "num_search_queries": 3}, 3)], ids=["none", "three"]
)
async def test_a_stream_that_cites_the_web_before_its_usage_was_searched_for(
    stage: Stage, counts: dict[str, object], searches: int
) -> None:
    acme = await stage.tenant()
    cited = sse({"choices": [{"index": 0, "delta": {"content": "So it is", **CITES}}]})
    stage.vendor.scripted.append(stream(cited, delta("", "stop"), usage(counts), DONE))
    assert (await stage.chat(acme, stream=True)).status == 200
    assert (await only_entry(stage, acme)).units[Unit.WEB_SEARCH] == searches


async def test_a_stream_that_cites_the_web_and_breaks_off_costs_nothing(stage: Stage) -> None:
    acme = await stage.tenant()
    cited = sse({"choices": [{"index": 0, "delta": {"content": "So", **CITES}}]})
    stage.vendor.scripted.append(stream(cited, breaks_off=True))
    await stage.chat(acme, stream=True)
    assert (await only_entry(stage, acme)).units == {}


async def test_a_stream_without_usage_is_estimated_and_says_so(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("12345678"), delta("9", "stop"), DONE))
    reply = await stage.chat(acme, "Hello!", stream=True)
    assert reply.body.endswith(DONE)
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.error_code) == (Outcome.ESTIMATED, 200, None)
    prompt = len(b'[{"role":"user","content":"Hello!"}]')
    assert entry.units == {Unit.INPUT: -(-prompt // 4), Unit.OUTPUT: 3, Unit.REQUEST: 1}
    assert entry.cost.total == -(-prompt // 4) * 400 + 3 * 1_600


async def test_a_stream_that_ends_without_done_but_was_finished_is_a_success(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hi"), delta(finish_reason="length"), usage()))
    reply = await stage.chat(acme, stream=True)
    assert reply.body == delta("Hi") + delta(finish_reason="length")
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.units) == (Outcome.SETTLED, 200, COUNTED)


@pytest.mark.parametrize("cut", [1, 2])
async def test_a_last_event_without_its_blank_line_is_read_and_hidden_like_any_other(
    stage: Stage, cut: int
) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hi"), delta(finish_reason="stop"), usage()[:-cut]))
    reply = await stage.chat(acme, stream=True)
    assert reply.body == delta("Hi") + delta(finish_reason="stop")
    assert (await only_entry(stage, acme)).units == COUNTED


async def test_a_done_without_its_blank_line_ends_the_stream(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hi"), usage(), DONE[:-1]))
    reply = await stage.chat(acme, stream=True)
    assert events(reply.body)[-1] == b"[DONE]"
    assert (await only_entry(stage, acme)).outcome is Outcome.SETTLED


@pytest.mark.parametrize("breaks_off", [False, True])
async def test_a_truncated_stream_is_a_failed_row_and_an_error_event(stage: Stage, breaks_off: bool) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hi"), b'data: {"choices": [{"in', breaks_off=breaks_off))
    reply = await stage.chat(acme, stream=True)
    first, last = events(reply.body)
    assert first["choices"][0]["delta"]["content"] == "Hi"
    code = "vendor_unreachable" if breaks_off else "vendor_stream_truncated"
    assert last["error"]["code"] == code
    assert last["error"]["type"] == "upstream_error"
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.error_code) == (Outcome.FAILED, 502, code)
    assert (entry.units, entry.cost.total) == ({}, 0)
    record = await stage.record(acme)
    assert (record["num_requests"], record["total_tokens_cost"]) == (1, 0)


async def test_a_stream_that_breaks_after_its_usage_costs_what_was_reported(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hi"), usage(), breaks_off=True))
    reply = await stage.chat(acme, stream=True)
    assert events(reply.body)[-1]["error"]["code"] == "vendor_unreachable"
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.cost.total) == (Outcome.FAILED, COST)


@pytest.mark.parametrize("ending", [(), (DONE,)])
async def test_an_error_in_midstream_is_passed_on_and_recorded(
    stage: Stage, ending: tuple[bytes, ...]
) -> None:
    acme = await stage.tenant()
    overloaded = sse({"error": {"message": "overloaded", "type": "server_error", "code": None}})
    stage.vendor.scripted.append(stream(delta("Hi"), overloaded, *ending))
    reply = await stage.chat(acme, stream=True)
    assert reply.body == delta("Hi") + overloaded + b"".join(ending)
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.error_code) == (Outcome.FAILED, 502, "vendor_stream_error")


async def test_events_that_nobody_understands_pass_through(stage: Stage) -> None:
    acme = await stage.tenant()
    odd = [b": a comment\n\n", b"data: {half\n\n", b"event: ping\ndata: 7\n\n", b"data: \xff\n\n"]
    stage.vendor.scripted.append(stream(*odd, delta("Hi", "stop"), usage(), DONE))
    reply = await stage.chat(acme, stream=True)
    assert reply.body == b"".join(odd) + delta("Hi", "stop") + DONE
    assert (await only_entry(stage, acme)).units == COUNTED


async def test_what_follows_the_end_of_a_stream_is_not_passed_on(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hi", "stop") + usage() + DONE + delta("more") + usage()))
    reply = await stage.chat(acme, stream=True)
    assert reply.body == delta("Hi", "stop") + DONE
    assert (await only_entry(stage, acme)).units == COUNTED


async def test_a_vendor_that_answers_json_to_a_stream_is_passed_on_and_settled(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(answer())
    reply = await stage.chat(acme, stream=True)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["usage"] == USAGE
    assert (await only_entry(stage, acme)).units == COUNTED


async def test_a_vendor_that_streams_unasked_is_passed_on_and_settled(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(stream(delta("Hi", "stop"), usage(), DONE))
    reply = await stage.chat(acme)
    assert reply.body == delta("Hi", "stop") + DONE
    assert (await only_entry(stage, acme)).units == COUNTED


class LateText(UserList[bytes]):
    """Parts of a stream; the clock moves on before the last."""

    def __init__(self, parts: list[bytes], clock: TurningClock) -> None:
        super().__init__(parts)
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        yield from self.data[:-1]
        self._clock.advance(1.5)
        yield self.data[-1]


async def test_the_time_to_the_first_token_counts_from_the_request_to_the_first_text(stage: Stage) -> None:
    acme = await stage.tenant()
    role = sse({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    parts = LateText([role, delta("Hi") + delta("!", "stop") + usage() + DONE], stage.clock)
    stage.vendor.scripted.append(Scripted(headers=EVENTS, parts=parts))
    await stage.chat(acme, stream=True)
    entry = await only_entry(stage, acme)
    assert entry.first_token_us == 1_500_000
    assert entry.ended_us - entry.started_us == 1_500_000


async def test_an_answer_in_one_piece_has_no_first_token(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.chat(acme)
    entry = await only_entry(stage, acme)
    assert entry.first_token_us is None
    assert not entry.streamed


async def test_credentials_refused_by_the_vendor_are_our_fault_and_its_words_stay_here(stage: Stage) -> None:
    acme = await stage.tenant()
    for status in (401, 403, 407):
        stage.vendor.scripted.append(error(status, f"Incorrect API key provided: {'sk-' + 'of-ours'}"))
        reply = await stage.chat(acme)
        assert reply.status == 502
        assert reply.json["error"]["code"] == "vendor_credentials_refused"
        assert b"sk-" not in reply.body


async def test_a_rate_limit_of_the_vendor_passes_with_its_headers(stage: Stage) -> None:
    acme = await stage.tenant()
    headers = {"Retry-After": "7", "Retry-After-Ms": "7000", "X-Vendor-Secret": "x", "Set-Cookie": "a=b"}
    stage.vendor.scripted.append(error(429, "Slow down.", headers))
    reply = await stage.chat(acme)
    assert (reply.status, reply.json["error"]["message"]) == (429, "Slow down.")
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("7", "7000")
    assert "x-vendor-secret" not in reply.headers
    assert "set-cookie" not in reply.headers
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.status, entry.error_code) == (Outcome.FAILED, 429, "vendor_refused")
    assert entry.cost.total == 0


@pytest.mark.parametrize("status", [204, 302, 404, 500])
async def test_an_answer_without_an_explanation_becomes_a_502(stage: Stage, status: int) -> None:
    acme = await stage.tenant()
    headers = {"Content-Type": "text/html", "Location": f"{stage.vendor.url}/elsewhere"}
    stage.vendor.scripted.append(Scripted(status=status, headers=headers, parts=[NOT_JSON]))
    reply = await stage.chat(acme)
    assert reply.status == 502
    assert reply.json["error"]["type"] == "upstream_error"
    assert b"teapot" not in reply.body
    assert len(stage.vendor.requests) == 1
    assert (await only_entry(stage, acme)).outcome is Outcome.FAILED


async def test_an_answer_that_is_not_json_becomes_a_502(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted.append(Scripted(parts=[NOT_JSON]))
    reply = await stage.chat(acme)
    assert (reply.status, reply.json["error"]["code"]) == (502, "vendor_answer_unreadable")
    assert (await only_entry(stage, acme)).outcome is Outcome.FAILED


@pytest.mark.parametrize(("more", "cost"), [({}, 0), ({"usage": USAGE}, COST)])
async def test_an_error_under_a_status_of_success_is_not_charged_as_an_answer(
    stage: Stage, more: dict[str, object], cost: int
) -> None:
    acme = await stage.tenant()
    body = {"error": {"message": "overloaded", "code": 502}, **more}
    stage.vendor.scripted.append(Scripted(parts=[sse(body).removeprefix(b"data: ")]))
    reply = await stage.chat(acme)
    assert (reply.status, reply.json) == (502, body)
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.error_code, entry.cost.total) == (
        Outcome.FAILED,
        "vendor_answer_error",
        cost,
    )


async def test_an_answer_that_breaks_off_becomes_a_502(stage: Stage) -> None:
    acme = await stage.tenant()
    headers = {"Content-Type": "application/json", "Content-Length": "1000"}
    stage.vendor.scripted.append(Scripted(headers=headers, parts=[b'{"choi'], breaks_off=True))
    reply = await stage.chat(acme)
    assert (reply.status, reply.json["error"]["code"]) == (502, "vendor_unreachable")
    assert (await only_entry(stage, acme)).outcome is Outcome.FAILED


class TestPatience:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, vendor_idle_s=0.05, vendor_answer_max_bytes=4_000)

    async def test_a_vendor_that_falls_silent_is_a_504(self, stage: Stage) -> None:
        acme = await stage.tenant()
        stage.vendor.scripted.append(Scripted(parts=[b"{}"], pause_s=0.2))
        reply = await stage.chat(acme)
        assert (reply.status, reply.json["error"]["code"]) == (504, "vendor_timeout")
        entry = await only_entry(stage, acme)
        assert (entry.outcome, entry.status, entry.error_code) == (Outcome.FAILED, 504, "vendor_timeout")

    async def test_an_answer_beyond_all_bounds_is_refused(self, stage: Stage) -> None:
        acme = await stage.tenant()
        for streamed in (False, True):
            script = stream(delta("x" * 5_000)) if streamed else answer(content="x" * 5_000)
            stage.vendor.scripted.append(script)
            reply = await stage.chat(acme, stream=streamed)
            told = events(reply.body)[-1] if streamed else reply.json
            assert told["error"]["code"] == "vendor_answer_cut_off"
