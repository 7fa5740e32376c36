"""What a call may consume at most: nothing that a vendor may bill within its bounds costs more."""

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.test_price import flat, prices
from tests.providers.test_catalog import NOW_US, OPENAI, catalog
from tollway.domain.caller import Caller
from tollway.domain.errors import BadRequest, NotPriced
from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.price import Price, Steps, compile_price, cost_of, scaled
from tollway.domain.rate_card import RateCard, rate_card
from tollway.domain.usage import COMPLETION_TOKENS, PROMPT_TOKENS, Unit
from tollway.gateway.ceiling import FILE_AUDIO_SECONDS, IMAGE_TOKENS, UNSEEN_TOKENS
from tollway.gateway.need import LEAST_TOKENS, RESEARCH_SEARCHES, SEARCHES, Need, need_of
from tollway.gateway.wire import read_chat
from tollway.providers.catalog import Catalog, Route, Vendor
from tollway.providers.openai import request_body
from tollway.providers.prices import FixedPrice, ImportedPrice

WINDOW = 8_192
ALL_UNITS = compile_price("test", {unit: ((-1, Fraction(1, 1_000)),) for unit in Unit})


def caller(*cards: RateCard) -> Caller:
    return Caller(
        org_id=OrgId("o"),
        org="acme",
        org_is_active=True,
        app_id=AppId("a"),
        app="app",
        app_is_active=True,
        key_id=KeyId("k"),
        key_is_active=True,
        benchmark_model=None,
        rate_cards=cards,
    )


def body(**fields: object) -> bytes:
    return msgspec.json.encode({"model": "own/model", "messages": [], **fields})


def route(price: Price = ALL_UNITS, upstream: str = "model", window: int | None = WINDOW) -> Route:
    return Route(
        provider="own",
        model="own/model",
        upstream=upstream,
        prices=FixedPrice(price),
        context_window=window,
        cap_field="max_completion_tokens",
    )


def need(to: Route, *cards: RateCard, **fields: object) -> Need:
    return need_of(read_chat(body(**fields)), to, caller(*cards), NOW_US)


def nano(count: int) -> int:
    """What so many units cost at ALL_UNITS."""
    return count * 1_000_000


def test_a_call_needs_its_bytes_its_cap_and_the_fees() -> None:
    found = need(route(), max_tokens=100, n=2)
    prompt = UNSEEN_TOKENS + len(body(max_tokens=100, n=2))
    assert (found.prompt_tokens, found.completion_tokens, found.choices) == (prompt, 200, 2)
    assert found.is_stated
    # The call itself, and the one search that an answer which cites the web counts as.
    assert [found.price.of(tokens) for tokens in (0, 200)] == [nano(prompt + 2), nano(prompt + 202)]


def test_a_call_without_a_cap_needs_the_context_window_and_may_be_shortened_to_a_minimal_answer() -> None:
    found = need(route(), n=3)
    assert (found.completion_tokens, found.least_tokens) == (3 * WINDOW, 3 * LEAST_TOKENS)
    assert not found.is_stated
    assert need(route(), max_tokens=5, n=3).least_tokens == 15
    assert need(route(), max_tokens=500).least_tokens == LEAST_TOKENS


@pytest.mark.parametrize("odd", [0, -1, "7", 7.0, True, []])
def test_a_call_whose_cap_is_none_cannot_be_shortened(odd: object) -> None:
    found = need(route(), max_tokens=odd)
    assert (found.completion_tokens, found.least_tokens, found.is_stated) == (WINDOW, WINDOW, False)


def test_a_call_needs_the_dearest_service_tier_s_price() -> None:
    listed = catalog(OPENAI).resolve("openai/gpt-5-mini")
    found = need(listed, max_tokens=1_000)
    usage = {Unit.INPUT: found.prompt_tokens, Unit.OUTPUT: 1_000}
    costs = {
        tier: cost_of(usage, listed.prices.at(NOW_US, tier)).total for tier in (None, "flex", "priority")
    }
    assert costs["flex"] is not None
    assert costs["priority"] > costs["flex"]
    assert max(costs.values()) <= found.price.of(1_000)


def test_a_call_needs_what_the_organisation_pays_and_not_what_the_vendor_asks() -> None:
    plain, marked = need(route()), need(route(), rate_card("c", 0, "2.5", None))
    assert 2 * marked.price.of(10) == 5 * plain.price.of(10)
    own = rate_card("c", 0, None, {"own/model": {"input": "3.00", "output": "6.00"}})
    assert need(route(), own).price.of(10) == plain.prompt_tokens * 3_000 + 10 * 6_000
    later = rate_card("c", NOW_US + 1, "2.5", None)
    assert need(route(), later).price == plain.price


def test_a_price_that_is_still_to_come_is_none() -> None:
    later = ImportedPrice("own/model", ((NOW_US + 1, ALL_UNITS),), None)
    to = Route(provider="own", model="own/model", upstream="model", prices=later)
    with pytest.raises(NotPriced):
        need_of(read_chat(body()), to, caller(), NOW_US)


def test_choices_that_are_no_number_are_refused_before_anything_is_reserved() -> None:
    with pytest.raises(BadRequest):
        need(route(), n="many")


def test_a_call_without_a_price_needs_tokens_and_no_money() -> None:
    free = Catalog([Vendor(name="lab", listed_as="lab")], [], allows_unpriced=True).resolve("lab/x")
    found = need(free, tools=[{"type": "web_search"}])
    assert found.price.of(10**9) == 0
    assert found.prompt_tokens > 1_000_000


def test_an_image_a_file_and_audio_are_in_what_the_call_costs() -> None:
    def base(*parts: object) -> int:
        found = need(route(), messages=[{"role": "user", "content": list(parts)}])
        return found.price.of(0) - nano(found.prompt_tokens)

    image = {"type": "image_url", "image_url": {"url": "https://example.com/i.png"}}
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 1_000, "format": "mp3"}}
    fees = nano(2)
    assert base(image) == fees
    assert base(audio) == fees + nano(2)
    assert base({"type": "file", "file": {"file_id": "f"}}) == fees + nano(FILE_AUDIO_SECONDS)
    shown = need(route(), messages=[{"content": [image]}])
    assert shown.prompt_tokens == UNSEEN_TOKENS + len(body(messages=[{"content": [image]}])) + IMAGE_TOKENS


@pytest.mark.parametrize(
    "fields",
    [{"web_search_options": {}}, {"tools": [{"type": "web_search"}]}, {"tools": [{"google_search": {}}]}],
)
def test_a_search_that_is_asked_for_may_fill_the_window_once_more(fields: dict[str, object]) -> None:
    found = need(route(), **fields)
    assert found.prompt_tokens == UNSEEN_TOKENS + len(body(**fields)) + WINDOW
    assert found.price.of(0) == nano(found.prompt_tokens + SEARCHES + 1)


@pytest.mark.parametrize(
    ("upstream", "searches", "windows"),
    [
        ("gpt-4o", 1, 0),
        ("gpt-4o-mini-search-preview", SEARCHES, 1),
        ("sonar-pro", SEARCHES, 1),
        ("groq/compound-mini", SEARCHES, 1),
        ("openai/gpt-4o:online", SEARCHES, 1),
        ("Sonar", SEARCHES, 1),
        ("sonar-deep-research", RESEARCH_SEARCHES, 2),
        ("o3-deep-research", RESEARCH_SEARCHES, 2),
    ],
)
def test_a_model_that_searches_by_itself_needs_it_unasked(upstream: str, searches: int, windows: int) -> None:
    found = need(route(upstream=upstream))
    assert found.prompt_tokens == UNSEEN_TOKENS + len(body()) + windows * WINDOW
    assert found.price.of(0) == nano(found.prompt_tokens + searches + 1)
    asked = need(route(upstream=upstream), web_search_options={})
    assert asked.price.of(0) >= nano(asked.prompt_tokens + max(searches, SEARCHES) + 1)


def test_what_a_search_reads_costs_what_is_dearer_of_both_sides() -> None:
    for dear, cheap in ((Unit.INPUT, Unit.OUTPUT), (Unit.OUTPUT, Unit.INPUT)):
        price = compile_price("test", {dear: flat("5"), cheap: flat("1")})
        plain, searched = need(route(price)), need(route(price), web_search_options=None, plugins=[{}])
        added = len(body(web_search_options=None, plugins=[{}])) - len(body())
        sent = added * (5_000 if dear is Unit.INPUT else 1_000)
        assert searched.price.of(0) - plain.price.of(0) == sent + WINDOW * 5_000


def test_a_wrong_prediction_is_paid_as_completion_beside_the_cap() -> None:
    price = compile_price("test", {Unit.OUTPUT: flat("2")})
    prediction = {"type": "content", "content": "x" * 500}
    found = need(route(price), max_tokens=10, n=2, prediction=prediction)
    assert found.price.of(20) == (20 + 2 * len(msgspec.json.encode(prediction))) * 2_000


requests = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 500),
        "max_completion_tokens": st.integers(1, 500),
        "n": st.integers(1, 4),
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "content": st.text(max_size=20)
                    | st.lists(
                        st.fixed_dictionaries(
                            {"type": st.sampled_from(["text", "image_url", "file", "input_audio"])}
                        ),
                        max_size=3,
                    )
                }
            ),
            max_size=3,
        ),
        "tools": st.just([{"type": "web_search"}]),
        "prediction": st.just({"type": "content", "content": "x" * 50}),
    },
)
upstreams = st.sampled_from(["model", "sonar", "sonar-deep-research"])
factors = st.decimals(0, 10, places=2)


@st.composite
def shares(draw: st.DrawFn, units: frozenset[Unit], total: int) -> dict[Unit, int]:
    """At most `total` tokens, of any of these units."""
    left = draw(st.sampled_from([total, total // 2, 0]))
    found: dict[Unit, int] = {}
    for unit in draw(st.permutations(sorted(units)))[:3]:
        found[unit] = draw(st.sampled_from([left, left // 3, min(left, 1)]))
        left -= found[unit]
    return found


@given(requests, upstreams, prices, factors, st.data())
@settings(deadline=None, max_examples=100)
def test_nothing_within_its_bounds_costs_more_than_a_call_needs(
    fields: dict[str, object],
    upstream: str,
    dollars: dict[Unit, Steps],
    factor: Decimal,
    data: st.DataObject,
) -> None:
    price = compile_price("test", dollars)
    found = need(route(price, upstream), rate_card("c", 0, str(factor), None), **fields)
    searched = "tools" in fields or upstream != "model"
    usage = {
        **data.draw(shares(PROMPT_TOKENS, found.prompt_tokens)),
        **data.draw(shares(COMPLETION_TOKENS, found.completion_tokens)),
        Unit.REQUEST: 1,
        Unit.WEB_SEARCH: SEARCHES if searched else 1,
    }
    paid = scaled(price, factor)
    assert cost_of(usage, paid).total <= found.price.of(found.completion_tokens)

    budget = data.draw(st.integers(0, found.price.of(found.completion_tokens)))
    within = min(found.price.tokens_within(budget), found.completion_tokens)
    if within < found.choices:
        return
    cap = within // found.choices
    sent = msgspec.json.decode(
        request_body(
            read_chat(body(**fields)).fields, "m", stream=False, cap=cap, cap_field="max_completion_tokens"
        )
    )
    said = [sent[name] for name in ("max_tokens", "max_completion_tokens") if name in sent]
    assert said
    assert max(said) <= cap
    short = {**usage, **data.draw(shares(COMPLETION_TOKENS, cap * found.choices))}
    for unit in COMPLETION_TOKENS & usage.keys() - short.keys():
        short[unit] = 0
    assert cost_of({**short, **dict.fromkeys(COMPLETION_TOKENS - short.keys(), 0)}, paid).total <= budget
