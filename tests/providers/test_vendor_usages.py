"""Each recorded usage, from the vendor's bytes to nano-dollars, against what was worked out by hand."""

import json
from datetime import datetime
from fractions import Fraction

import pytest

from tests.providers.oracle import PROVIDERS, charged_by_them
from tests.providers.recorded import Recorded
from tests.providers.vendor_usages import TABLE
from tollway.domain.clock import US_PER_S
from tollway.domain.price import Cost, cost_of
from tollway.domain.usage import PROMPT_SIDE, Unit, Usage, completion_tokens, prompt_tokens
from tollway.providers import openai
from tollway.providers.anthropic import UsageReader
from tollway.providers.catalog import Catalog, Vendor
from tollway.providers.prices import FixedPrice, PriceSource, compile_configured
from tollway.providers.sse import EventSplitter, data_of

every_recorded_usage = pytest.mark.parametrize("recorded", TABLE, ids=lambda row: f"{row.name} {row.note}")


def payloads(recorded: Recorded) -> list[bytes]:
    """What the gateway reads: the answer, or the events' payloads, cut out of the bytes of a stream."""
    said = [json.dumps(each).encode() for each in recorded.said]
    if not recorded.streamed:
        return said
    if recorded.dialect == "anthropic":
        names = [str(each["type"]).encode() for each in recorded.said]
        wire = b"".join(b"event: %s\r\ndata: %s\r\n\r\n" % pair for pair in zip(names, said, strict=True))
    else:
        wire = b"".join(b"data: %s\n\n" % payload for payload in (*said, b"[DONE]"))
    splitter = EventSplitter()
    parts = [wire[start : start + 7] for start in range(0, len(wire), 7)]
    return [data_of(event) for part in parts for event in splitter.feed(part)]


def read(recorded: Recorded) -> tuple[Usage | None, str | None]:
    usage: Usage | None = None
    tier: str | None = None
    if recorded.dialect == "anthropic":
        reader = UsageReader()
        for payload in payloads(recorded):
            reader.read(payload)
        assert reader.is_final
        return reader.usage, reader.service_tier
    for payload in payloads(recorded):
        reading = openai.read(payload)
        assert reading.is_readable
        usage, tier = reading.usage or usage, reading.service_tier or tier
    return usage, tier


def prices(recorded: Recorded) -> PriceSource:
    if recorded.configured is not None:
        configured = recorded.configured
        return FixedPrice(
            compile_configured(
                input_usd=configured["input"],
                output_usd=configured["output"],
                cached_input_usd=configured["cached_input"],
            )
        )
    vendor = recorded.model.partition("/")[0]
    return Catalog([Vendor(name=vendor, listed_as=vendor)], []).resolve(recorded.model).prices


def at_us(recorded: Recorded) -> int:
    return round(datetime.fromisoformat(recorded.at).timestamp()) * US_PER_S


def cost(recorded: Recorded) -> Cost:
    usage, tier = read(recorded)
    assert usage is not None
    return cost_of(usage, prices(recorded).at(at_us(recorded), tier))


@every_recorded_usage
def test_a_recorded_usage_is_taken_apart_into_its_units(recorded: Recorded) -> None:
    usage, _ = read(recorded)
    assert usage == {unit: line.count for unit, line in recorded.lines.items()}
    assert (prompt_tokens(usage), completion_tokens(usage)) == recorded.tokens


@every_recorded_usage
def test_a_recorded_usage_costs_what_was_worked_out_by_hand(recorded: Recorded) -> None:
    by_hand = {unit: line.nano for unit, line in recorded.lines.items() if line.rate is not None}
    charged = cost(recorded)
    assert charged.by_unit == by_hand
    assert charged.total == recorded.total
    assert charged.prompt == sum(nano for unit, nano in by_hand.items() if unit in PROMPT_SIDE)
    assert charged.completion == recorded.total - charged.prompt


@every_recorded_usage
def test_the_work_by_hand_adds_up(recorded: Recorded) -> None:
    exact = {
        unit: line.count * Fraction(line.rate)
        for unit, line in recorded.lines.items()
        if line.rate is not None
    }
    for unit, nano in exact.items():
        assert abs(recorded.lines[unit].nano - nano) < 1
    assert sum(line.nano for line in recorded.lines.values()) == recorded.total == round(sum(exact.values()))


@pytest.mark.parametrize(
    "recorded", [row for row in TABLE if row.configured is None], ids=lambda row: f"{row.name} {row.note}"
)
def test_genai_prices_itself_comes_to_the_same_sum(recorded: Recorded) -> None:
    usage, tier = read(recorded)
    assert usage is not None
    vendor, _, name = recorded.model.partition("/")
    model = PROVIDERS[vendor].find_model(name, all_providers=list(PROVIDERS.values()))
    assert model is not None
    known = {tuple(variant.when.items()) for variant in model.price_variants or ()}
    tier = tier if (("service_tier", tier),) in known else None
    assert charged_by_them(PROVIDERS[vendor], model, usage, at_us(recorded), tier) == recorded.total


def test_the_table_has_every_unit_there_is_and_each_row_once() -> None:
    assert {unit for row in TABLE for unit in row.lines} == set(Unit)
    assert len({(row.name, row.note) for row in TABLE}) == len(TABLE)
