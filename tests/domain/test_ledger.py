"""A ledger entry, and what was saved by it."""

import msgspec
import pytest

from tollway.domain.ids import AppId, JournalId, KeyId, OrgId, RequestId
from tollway.domain.ledger import (
    NOTHING,
    Batch,
    Entry,
    EntryKind,
    Outcome,
    Start,
    correction,
    unsettled,
)
from tollway.domain.money import Nano
from tollway.domain.price import Cost
from tollway.domain.usage import Unit


def cost(prompt: int, completion: int) -> Cost:
    by_unit = {Unit.INPUT: Nano(prompt), Unit.OUTPUT: Nano(completion)}
    return Cost(version="test@1", by_unit=by_unit, prompt=Nano(prompt), completion=Nano(completion))


def an_entry(benchmark: Cost | None) -> Entry:
    return Entry(
        request_id=RequestId("r"),
        outcome=Outcome.SETTLED,
        status=200,
        org_id=OrgId("o"),
        app_id=AppId("a"),
        app="app",
        key_id=KeyId("k"),
        provider="openai",
        model="openai/gpt-4o",
        units={Unit.INPUT: 10, Unit.OUTPUT: 5},
        cost=cost(100, 50),
        vendor_cost=cost(100, 50),
        benchmark=benchmark,
        started_us=1,
        ended_us=2,
    )


START = Start(
    request_id=RequestId("r"),
    attempt=2,
    org_id=OrgId("o"),
    app_id=AppId("a"),
    app="app",
    key_id=KeyId("k"),
    provider="openai",
    model="openai/gpt-4o",
    streamed=True,
    end_user="user-7",
    labels={"team": "a"},
    held=Nano(70),
    started_us=1,
)


@pytest.mark.parametrize(
    ("benchmark", "prompt", "completion"),
    [
        (None, 0, 0),
        (cost(500, 250), 400, 200),
        (cost(40, 50), -60, 0),
        (NOTHING, -100, -50),
    ],
)
def test_savings_are_what_the_benchmark_would_have_cost_minus_the_cost(
    benchmark: Cost | None, prompt: int, completion: int
) -> None:
    entry = an_entry(benchmark)
    assert (entry.prompt_savings, entry.completion_savings) == (prompt, completion)
    assert entry.savings == prompt + completion


def test_without_a_benchmark_the_benchmark_cost_is_the_cost() -> None:
    entry = an_entry(None)
    assert entry.benchmark_cost is entry.cost
    assert entry.benchmark is None


def test_an_entry_survives_the_journal_s_encoding() -> None:
    entry = an_entry(cost(2**70, 0))
    assert msgspec.json.decode(msgspec.json.encode(entry), type=Entry) == entry


def test_an_entry_is_the_final_use_of_its_first_attempt_unless_it_says_otherwise() -> None:
    entry = an_entry(None)
    assert (entry.attempt, entry.final, entry.kind) == (1, True, EntryKind.USAGE)
    with pytest.raises(AttributeError):
        entry.final = False  # type: ignore[misc]  # frozen: that is what is tested


def test_a_start_survives_the_journal_s_encoding() -> None:
    assert msgspec.json.decode(msgspec.json.encode(START), type=Start) == START


def test_a_start_of_before_holds_were_written_holds_nothing() -> None:
    written = msgspec.json.decode(msgspec.json.encode(START))
    for name in ("held", "end_user", "labels"):
        del written[name]
    old = msgspec.convert(written, type=Start)
    assert (old.held, old.end_user, old.labels) == (0, None, {})


def test_an_attempt_is_named_by_its_request_and_its_number_at_its_start_and_its_end() -> None:
    assert START.key == ("r", 2)
    assert unsettled(START, 9).key == START.key
    assert an_entry(None).key == ("r", 1)


def test_what_becomes_of_a_lost_call_is_all_that_its_start_said_and_nothing_of_money() -> None:
    made = unsettled(START, 9)
    for name in Start.__struct_fields__:
        assert getattr(made, name) == getattr(START, name), name
    assert (made.outcome, made.kind, made.final) == (Outcome.UNSETTLED, EntryKind.USAGE, True)
    assert (made.status, made.error_code) == (500, "end_unknown")
    assert (made.units, made.cost, made.vendor_cost, made.benchmark) == ({}, NOTHING, NOTHING, None)
    assert (made.ended_us, made.held, made.savings) == (9, 70, 0)


@pytest.mark.parametrize(("now_us", "ended_us"), [(-5, 1), (0, 1), (1, 1), (2, 2), (10**18, 10**18)])
def test_a_lost_call_ends_when_it_is_found_but_never_before_it_started(now_us: int, ended_us: int) -> None:
    assert unsettled(START, now_us).ended_us == ended_us


@pytest.mark.parametrize("outcome", Outcome)
def test_only_of_an_unsettled_call_it_is_not_known_what_it_cost(outcome: Outcome) -> None:
    made = msgspec.structs.replace(an_entry(None), outcome=outcome)
    assert made.is_known == (outcome != "unsettled")


def test_an_attempt_takes_its_cost_from_limits_and_while_that_is_not_known_what_is_held() -> None:
    ended = msgspec.structs.replace(an_entry(None), units={Unit.INPUT: 10, Unit.OUTPUT: 5, Unit.REQUEST: 1})
    assert (ended.charged, ended.consumed) == (150, 15)
    lost = unsettled(msgspec.structs.replace(START, held_tokens=40), 2)
    assert (lost.charged, lost.consumed) == (70, 40)
    of_before = msgspec.structs.replace(lost, held=None, held_tokens=None)
    assert (of_before.charged, of_before.consumed) == (0, 0)


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("kind", EntryKind)
def test_a_request_is_what_answered_and_no_correction_of_it(final: bool, kind: EntryKind) -> None:
    made = msgspec.structs.replace(an_entry(None), final=final, kind=kind)
    assert made.is_request == (final and kind == "usage")


def test_a_correction_is_the_late_end_by_another_name() -> None:
    late = msgspec.structs.replace(an_entry(cost(500, 250)), status=502, error_code="vendor_error")
    made = correction(late)
    assert (made.kind, made.outcome) == (EntryKind.CORRECTION, Outcome.CORRECTION)
    assert msgspec.structs.replace(made, kind=late.kind, outcome=late.outcome) == late
    assert (made.is_known, made.is_request, made.key) == (True, False, late.key)
    assert correction(made) == made
    assert late.kind is EntryKind.USAGE


def test_a_batch_may_have_records_that_become_no_row() -> None:
    only_starts = Batch(journal=JournalId("j"), first=3, upto=9)
    assert (len(only_starts.entries), len(only_starts.prices)) == (0, 0)


def test_nothing_costs_nothing() -> None:
    assert (NOTHING.total, NOTHING.prompt, NOTHING.completion, NOTHING.by_unit) == (0, 0, 0, {})
