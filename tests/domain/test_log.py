"""A request's rows, put together as people look at them."""

import msgspec

from tests.world.clock import NOON_US
from tests.world.entries import cost, entry, lost
from tollway.domain.body import Part
from tollway.domain.ledger import correction
from tollway.domain.log import UNRATED, Log, Rating, has_text, log_of

BODIES = {
    Part.REQUEST: b'{"messages": [{"content": "Who is There?"}]}',
    Part.RESPONSE: b'{"choices": [{"message": {"content": "Nobody"}}]}',
}


def log(*rows: object, **changes: object) -> Log:
    made = log_of(rows, UNRATED, {}, **changes)  # type: ignore[arg-type]  # as the callers below give them
    assert made is not None
    return made


def test_a_settled_request_has_its_row_s_numbers() -> None:
    made = log(entry(benchmark=cost(4_000, 50_000), first_token_us=1_500))
    assert (made.prompt_tokens, made.completion_tokens, made.total_tokens) == (6, 25, 31)
    assert (made.prompt_tokens_cost, made.completion_tokens_cost, made.total_tokens_cost) == (
        2_400,
        40_000,
        42_400,
    )
    assert (made.prompt_tokens_cost_savings, made.total_tokens_cost_savings) == (1_600, 11_600)
    assert (made.latency, made.first_token_latency) == (1_000.0, 1.5)
    assert (made.timestamp, made.created) == (NOON_US // 1_000, NOON_US // 1_000 - 1_000)
    assert (made.owner, made.provider) == ("demo", "demo")


def test_a_model_without_an_owner_is_of_its_provider() -> None:
    assert log(entry(model="small", provider="other")).owner == "other"


def test_what_a_request_of_unknown_end_costs_is_not_known() -> None:
    made = log(lost(entry()))
    assert (made.outcome, made.status_code, made.total_tokens) == ("unsettled", 500, 0)
    assert (made.prompt_tokens_cost, made.total_tokens_cost, made.total_tokens_cost_savings) == (
        None,
        None,
        None,
    )


def test_a_late_end_is_in_its_request_s_log() -> None:
    ended = entry()
    made = log(lost(ended, found_us=NOON_US + 9_000_000), correction(ended))
    assert (made.outcome, made.status_code, made.total_tokens_cost) == ("settled", 200, 42_400)
    assert made.latency == 1_000.0
    assert made.timestamp == NOON_US // 1_000 + 9_000


def test_without_a_request_there_is_no_log() -> None:
    assert log_of([], UNRATED, {}) is None
    assert log_of([correction(entry())], UNRATED, {}) is None


def test_prompt_and_answer_are_shown_where_they_are_kept() -> None:
    made = log_of([entry()], Rating(good_answer=True, feedback="fine"), BODIES)
    assert made is not None
    assert (made.content, made.privacy_level) == ("shown", 1)
    assert (made.prompt, made.response_text) == ("Who is There?", "Nobody")
    assert (made.good_answer, made.feedback) == (True, "fine")
    assert msgspec.json.encode(made.payload) == b'{"messages":[{"content":"Who is There?"}]}'
    large = log(entry(), is_large=True)
    assert (large.content, large.privacy_level, large.prompt, large.payload) == ("large", 1, None, None)
    assert (log(entry()).content, log(entry()).privacy_level) == ("none", 2)


def test_text_is_looked_for_in_what_is_shown() -> None:
    assert has_text(BODIES, "is there")
    assert has_text(BODIES, "nobody")
    assert not has_text(BODIES, "messages")
    assert not has_text({}, "nobody")
