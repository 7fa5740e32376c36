"""Which vendor serves a name, and that labels are never what a caller typed."""

from itertools import islice, product

import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.world.clock import NOON_US
from tollway.domain.clock import US_PER_S
from tollway.domain.errors import ModelNotFound, NotPriced
from tollway.domain.price import cost_of
from tollway.domain.usage import Unit
from tollway.providers.catalog import Catalog, Configured, Route, Vendor
from tollway.providers.prices import compile_configured

NOW_US = NOON_US + 250 * 86_400 * US_PER_S

OPENAI = Vendor(name="openai", listed_as="openai")
AZURE = Vendor(name="azure", listed_as="azure")
GROQ = Vendor(name="groq", listed_as="groq")
OWN = Vendor(name="own", listed_as="own", models_only=True)
HIDDEN = Vendor(name="deepseek", listed_as="deepseek", models_only=True)
EUROPE = Vendor(name="europe", listed_as="openai")
UNLISTED = Vendor(name="lab", listed_as="no-such-vendor")


def priced(model: str, provider: str, upstream: str = "upstream") -> Configured:
    price = compile_configured(input_usd="1", output_usd="2", cached_input_usd=None)
    return Configured(provider=provider, name=model, upstream=upstream, price=price)


def catalog(*vendors: Vendor, models: tuple[Configured, ...] = ()) -> Catalog:
    return Catalog(vendors, models)


def found(catalog: Catalog, name: str) -> tuple[str, str, str]:
    route = catalog.resolve(name)
    return route.provider, route.model, route.upstream


def dollars_per_million(route: Route, tier: str | None = None) -> int:
    return cost_of({Unit.INPUT: 1_000_000}, route.prices.at(NOW_US, tier)).total


def test_a_listed_model_is_found_by_its_vendor_and_name() -> None:
    assert found(catalog(OPENAI), "openai/gpt-4o") == ("openai", "openai/gpt-4o", "gpt-4o")


def test_a_bare_name_is_the_first_vendor_s_that_has_it() -> None:
    both = catalog(GROQ, OPENAI)
    assert found(both, "gpt-4o") == ("openai", "openai/gpt-4o", "gpt-4o")
    assert found(both, "llama-3.1-8b-instant")[0] == "groq"
    assert found(catalog(OPENAI, EUROPE), "gpt-4o")[0] == "openai"
    assert found(catalog(EUROPE, OPENAI), "gpt-4o")[0] == "europe"


def test_a_dated_name_is_asked_for_as_typed_and_labelled_as_the_model() -> None:
    expected = ("openai", "openai/gpt-4o", "gpt-4o-2024-08-06")
    assert found(catalog(OPENAI), "openai/gpt-4o-2024-08-06") == expected
    assert found(catalog(OPENAI), "gpt-4o-2024-08-06") == expected


def test_a_name_with_a_slash_that_is_no_vendor_s_is_a_bare_one() -> None:
    assert found(catalog(OPENAI, GROQ), "meta-llama/llama-4-scout-17b-16e-instruct")[0] == "groq"


def test_a_vendor_may_have_a_name_of_its_own_here() -> None:
    assert found(catalog(EUROPE), "europe/gpt-4o") == ("europe", "europe/gpt-4o", "gpt-4o")
    with pytest.raises(ModelNotFound):
        catalog(EUROPE).resolve("openai/gpt-4o")


def test_a_configured_model_wins_over_a_listed_one() -> None:
    mine = priced("openai/gpt-4o", "openai", "my-deployment")
    one = catalog(OPENAI, models=(mine,))
    route = one.resolve("openai/gpt-4o")
    assert (route.model, route.upstream, dollars_per_million(route)) == (mine.name, mine.upstream, 10**9)
    assert one.resolve("gpt-4o") is route
    assert one.benchmark("openai/gpt-4o") is route


def test_a_configured_model_may_have_any_name() -> None:
    mine = priced("fast", "openai")
    one = catalog(OPENAI, models=(mine,))
    assert found(one, "fast") == ("openai", "fast", "upstream")
    with pytest.raises(NotPriced):
        one.resolve("openai/fast")


@pytest.mark.parametrize(
    "name", ["", "/", "//", "gpt-99", "gpt-4o/", "nobody/gpt-4o", "OpenAI/gpt-4o", "\x00"]
)
def test_an_unknown_name_is_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalog(OPENAI, OWN).resolve(name)
    assert (caught.value.status, caught.value.param) == (404, "model")


@pytest.mark.parametrize("name", ["openai/gpt-99", "openai/", "openai//gpt-4o", "lab/anything"])
def test_a_vendor_s_model_without_a_price_is_refused_and_never_free(name: str) -> None:
    with pytest.raises(NotPriced, match="no known price") as caught:
        catalog(OPENAI, UNLISTED).resolve(name)
    assert (caught.value.status, caught.value.code, caught.value.param) == (402, "model_not_priced", "model")


def test_a_model_that_is_sold_in_units_not_counted_here_is_refused_and_not_listed() -> None:
    one = catalog(OPENAI)
    with pytest.raises(NotPriced):
        one.resolve("openai/whisper-1")
    with pytest.raises(ModelNotFound):
        one.resolve("whisper-1")
    assert ("openai/whisper-1", "openai") not in one.names.items()
    assert ("openai/gpt-4o", "openai") in one.names.items()


def test_a_vendor_of_configured_models_only_serves_no_listed_ones() -> None:
    one = catalog(HIDDEN, OWN, models=(priced("own/tiny", "own"), priced("deepseek/chat", "deepseek")))
    assert one.resolve("own/tiny").provider == "own"
    assert one.resolve("tiny").model == "own/tiny"
    for name in ("deepseek/deepseek-chat", "own/large", "deepseek-chat"):
        with pytest.raises(ModelNotFound):
            one.resolve(name)
    assert list(one.names.items()) == [("own/tiny", "own"), ("deepseek/chat", "deepseek")]


def test_names_are_each_model_once_configured_ones_first() -> None:
    names = list(catalog(OPENAI, GROQ, UNLISTED, models=(priced("openai/gpt-4o", "openai"),)).names.items())
    assert names[0] == ("openai/gpt-4o", "openai")
    assert len({name for name, _ in names}) == len(names)
    assert {vendor for _, vendor in names} == {"openai", "groq"}


def test_every_name_that_is_listed_can_be_asked_for() -> None:
    one = catalog(OPENAI, GROQ, models=(priced("fast", "openai"),))
    for name, vendor in one.names.items():
        assert one.resolve(name).provider == vendor


LABELS = {
    f"{provider.id}/{model.id}"
    for provider in get_snapshot().providers
    if provider.id in ("openai", "groq")
    for model in provider.models
}


@given(
    st.sampled_from(["", "openai/", "groq/"]),
    st.sampled_from(["", "gpt-4o", "GPT-4o-mini", "gpt-5", "llama-3.1-8b-instant", "o1", "ft:gpt-4o"]),
    st.text(max_size=12) | st.sampled_from(["-2024-08-06", ":evil", "-20251211", "-latest"]),
)
@settings(deadline=None, max_examples=200)
def test_a_label_is_never_what_a_caller_typed(vendor: str, model: str, rest: str) -> None:
    one = catalog(OPENAI, GROQ)
    try:
        route = one.resolve(vendor + model + rest)
    except (ModelNotFound, NotPriced):
        return
    assert route.model in LABELS
    assert route.provider in ("openai", "groq")
    assert (vendor + model + rest).endswith(route.upstream)


@pytest.mark.parametrize("name", ["OpenAI/gpt-4o", " openai /GPT-4O", "openai/gpt-4o-2024-08-06"])
def test_the_label_of_a_benchmark_is_not_either(name: str) -> None:
    assert catalog(GROQ).benchmark(name).model == "openai/gpt-4o"
    assert catalog(GROQ).benchmark(name).provider == "openai"


def test_a_benchmark_may_be_of_a_vendor_that_is_not_configured() -> None:
    one = catalog(GROQ, HIDDEN)
    theirs = catalog(OPENAI).resolve("openai/gpt-4o")
    assert dollars_per_million(one.benchmark("openai/gpt-4o")) == dollars_per_million(theirs) > 0
    assert one.benchmark("deepseek/deepseek-chat").model == "deepseek/deepseek-chat"
    with pytest.raises(ModelNotFound):
        one.resolve("openai/gpt-4o")


@pytest.mark.parametrize(
    "name", ["", "gpt-4o", "openai/gpt-99", "nobody/gpt-4o", "openai/", "openai/whisper-1"]
)
def test_a_benchmark_that_nobody_prices_is_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound):
        catalog(GROQ).benchmark(name)


def test_a_benchmark_of_a_configured_vendor_without_a_price_says_so() -> None:
    with pytest.raises(NotPriced):
        catalog(OPENAI).benchmark("openai/gpt-99")


def test_a_vendor_that_offers_another_s_model_has_not_the_other_s_service_tiers() -> None:
    name = "gpt-5-mini"
    own, resold = catalog(OPENAI).resolve(f"openai/{name}"), catalog(AZURE).resolve(f"azure/{name}")
    assert resold.model == f"azure/{name}"
    assert dollars_per_million(own) == dollars_per_million(resold)
    assert dollars_per_million(own, "priority") > dollars_per_million(own)
    assert dollars_per_million(resold, "priority") == dollars_per_million(resold)


def test_what_a_name_costs_does_not_depend_on_what_was_asked_for_before() -> None:
    names = list(catalog(OPENAI).names)
    forth, back = catalog(AZURE), catalog(AZURE)
    bare = [name.removeprefix("openai/") for name in names]

    def costs(one: Catalog, asked: list[str]) -> dict[str, int]:
        return {name: dollars_per_million(one.benchmark(f"azure/{name}")) for name in asked}

    offered = []
    for name in bare:
        try:
            catalog_route = forth.resolve(f"azure/{name}")
        except NotPriced:
            continue
        assert catalog_route.provider == "azure"
        offered.append(name)
    assert len(offered) > 20
    assert costs(forth, offered) == costs(back, offered[::-1])


def test_a_name_is_remembered_but_callers_cannot_fill_the_memory_with_names() -> None:
    one = catalog(Vendor(name="deepseek", listed_as="deepseek"))
    first = one.resolve("deepseek/deepseek-chat")
    assert one.resolve("deepseek/deepseek-chat") is first

    letters = [(char, char.upper()) for char in "deepseekchat"]
    spellings = ("".join(chars) for chars in product(*letters))
    asked = {
        f"{start}{word[:8]}-{word[8:]}" for word in islice(spellings, 1, None) for start in ("deepseek/", "")
    }
    assert len(asked) == 8_190
    labels = {one.resolve(name).model for name in asked}

    assert labels == {"deepseek/deepseek-chat"}
    assert one.resolve("deepseek/deepseek-chat") is not first
    assert one.resolve("deepseek/deepseek-chat") == first
