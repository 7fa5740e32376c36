"""Random ledger entries and rows, consistent in themselves, for property tests."""

from collections.abc import Mapping

import msgspec
from hypothesis import strategies as st

from tests.world.clock import NOON_US
from tollway.domain.ids import AppId, KeyId, OrgId, RequestId, new_id
from tollway.domain.ledger import Entry, Outcome
from tollway.domain.money import Nano
from tollway.domain.price import Cost
from tollway.domain.series import Series, Totals
from tollway.domain.usage import PROMPT_SIDE, Unit
from tollway.store.usage import StoredEntry

ORG = OrgId(new_id(NOON_US))
MINUTE_US = 60_000_000

slugs = st.from_regex(r"[a-z0-9]{1,12}(-[a-z0-9]{1,12}){0,2}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
amounts = st.one_of(st.integers(0, 5), st.integers(0, 2**40))
units = st.dictionaries(st.sampled_from(Unit), amounts)


def totals_of(values: Mapping[Series, int]) -> Totals:
    """As the store reads them."""
    return Totals(named=msgspec.json.encode(list(values)).decode(), values=list(values.values()))


def cost_of_units(by_unit: Mapping[Unit, int], version: str = "test@1") -> Cost:
    """The cost that these nano-dollars by unit make up."""
    prompt = sum(nano for unit, nano in by_unit.items() if unit in PROMPT_SIDE)
    return Cost(
        version=version,
        by_unit={unit: Nano(nano) for unit, nano in by_unit.items()},
        prompt=Nano(prompt),
        completion=Nano(sum(by_unit.values()) - prompt),
    )


costs = st.builds(cost_of_units, units)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any entry that a call may leave."""
    ended_us = NOON_US + draw(st.integers(-MINUTE_US, MINUTE_US))
    cost = draw(costs)
    return Entry(
        request_id=RequestId(str(draw(st.uuids()))),
        final=draw(st.booleans()),
        outcome=draw(st.sampled_from([Outcome.SETTLED, Outcome.ESTIMATED, Outcome.FAILED])),
        status=draw(st.sampled_from([200, 206, 399, 400, 402, 429, 499, 500, 502])),
        error_code=draw(st.none() | st.just("vendor_error")),
        org_id=ORG,
        app_id=AppId(str(draw(st.uuids()))),
        app=draw(st.sampled_from(["shop", "chat-bot", "app-2"])),
        key_id=KeyId(str(draw(st.uuids()))),
        provider=draw(st.sampled_from(["demo", "openai"])),
        model=draw(st.sampled_from(["demo/small", "gpt-4o", "größer"])),
        streamed=draw(st.booleans()),
        end_user=draw(st.none() | texts),
        labels=draw(st.dictionaries(texts, texts, max_size=3)),
        units=draw(units),
        cost=cost,
        vendor_cost=cost,
        benchmark_model=None,
        benchmark=draw(st.none() | costs),
        started_us=ended_us - draw(st.integers(0, 300_000_000)),
        ended_us=ended_us,
        first_token_us=draw(st.none() | st.integers(0, 1_000_000)),
    )


@st.composite
def rows(draw: st.DrawFn) -> list[StoredEntry]:
    """Ledger rows of one organisation, in order."""
    drawn = draw(st.lists(entries(), min_size=1, max_size=12))
    first = draw(st.integers(1, 2**40))
    return [StoredEntry(seq=first + index, entry=entry) for index, entry in enumerate(drawn)]
