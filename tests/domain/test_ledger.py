"""A ledger entry, and what was saved by it."""

import msgspec
import pytest

from tollway.domain.ids import AppId, KeyId, OrgId, RequestId
from tollway.domain.ledger import NOTHING, Entry, EntryKind, Outcome, Start
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
        entry.final = False  # type: ignore[misc] # frozen, which is the point


def test_a_start_survives_the_journal_s_encoding() -> None:
    start = Start(
        request_id=RequestId("r"),
        org_id=OrgId("o"),
        app_id=AppId("a"),
        app="app",
        key_id=KeyId("k"),
        provider="openai",
        model="openai/gpt-4o",
        streamed=True,
        started_us=1,
    )
    assert msgspec.json.decode(msgspec.json.encode(start), type=Start) == start


def test_nothing_costs_nothing() -> None:
    assert (NOTHING.total, NOTHING.prompt, NOTHING.completion, NOTHING.by_unit) == (0, 0, 0, {})
