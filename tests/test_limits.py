"""Limits from end to end: what callers are told, and what the ledger says afterwards."""

from tests.refusals import limit, patch
from tests.world.stage import Stage

LEAST_CALL_USD = 0.0005
"""More than a small prompt and 16 tokens may cost at the demo vendor's prices."""


async def test_each_answer_says_what_is_left_of_the_minute(stage: Stage) -> None:
    acme = await stage.tenant()
    first = await stage.chat(acme)
    assert first.status == 200
    assert first.headers["x-ratelimit-limit-requests"] == "200"
    assert first.headers["x-ratelimit-remaining-requests"] == "199"
    assert first.headers["x-ratelimit-reset-requests"] == "60s"


async def test_the_request_beyond_the_rate_limit_is_refused_until_the_next_minute(stage: Stage) -> None:
    acme = await stage.tenant()
    await patch(stage, acme, rate_limit=5)
    answers = [await stage.chat(acme) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    refused = answers[-1]
    assert refused.json["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    stage.clock.advance(60)
    assert (await stage.chat(acme)).status == 200
    await stage.settled()
    assert (await stage.record(acme))["num_requests"] == 6


async def test_a_hard_limit_is_never_passed_and_hardly_wasted(stage: Stage) -> None:
    acme = await stage.tenant()
    await patch(stage, acme, rate_limit=1_000_000)
    await limit(stage, acme, spending_limit_hard=0.01)
    for _ in range(400):
        answer = await stage.chat(acme)
        if answer.status != 200:
            break
        assert int(answer.headers["tollway-max-tokens"]) >= 16
    assert (answer.status, answer.json["error"]["code"]) == (402, "spending_limit_reached")
    await stage.settled()
    record = await stage.record(acme)
    assert 0.01 - LEAST_CALL_USD < record["total_tokens_cost"] <= 0.01
