"""Which source of prices wins, from when on, and what is served without any."""

import pytest
from genai_prices.data_snapshot import get_snapshot

from tests.providers.test_catalog import GROQ, NOW_US, OPENAI, OWN, UNLISTED, catalog, priced
from tollway.domain.errors import ModelNotFound, NotPriced
from tollway.domain.price import History, cost_of, worst_case
from tollway.domain.tariff import compile_tariff
from tollway.domain.usage import Unit
from tollway.providers.catalog import Catalog, Configured, Route, Vendor

DAY_US = 86_400_000_000
GPT = "openai/gpt-4o"


def imported(*prices: tuple[int, str]) -> History:
    """Dollars per million tokens, each from its time on."""
    return tuple((at_us, compile_tariff("imported", {"input": usd, "output": usd})) for at_us, usd in prices)


def nano(route: Route, at_us: int = NOW_US, tier: str | None = None) -> int:
    """A million input tokens."""
    return cost_of({Unit.INPUT: 1_000_000}, route.prices.at(at_us, tier)).total


def of(prices: dict[str, History], *vendors: Vendor, models: tuple[Configured, ...] = ()) -> Catalog:
    return Catalog(vendors or (OPENAI,), models, prices)


def unpriced_too(
    *vendors: Vendor, models: tuple[Configured, ...] = (), prices: dict[str, History] | None = None
) -> Catalog:
    return Catalog(vendors, models, prices, allows_unpriced=True)


def alias(name: str, upstream: str, provider: str = "openai") -> Configured:
    return Configured(name=name, provider=provider, upstream=upstream, price=None)


def test_an_imported_price_wins_over_the_public_list_from_its_time_on() -> None:
    listed = catalog(OPENAI).resolve(GPT)
    route = of({GPT: imported((NOW_US - DAY_US, "3"), (NOW_US, "4"))}).resolve(GPT)
    times = (NOW_US - DAY_US - 1, NOW_US - DAY_US, NOW_US - 1, NOW_US, NOW_US + DAY_US)
    assert [nano(route, at_us) for at_us in times[1:]] == [3 * 10**9, 3 * 10**9, 4 * 10**9, 4 * 10**9]
    assert nano(route, times[0]) == nano(listed, times[0])
    assert route.prices.at(NOW_US, None).version.startswith("imported@")
    assert route.prices.at(times[0], None).version.startswith("genai-prices/")


def test_an_imported_price_is_the_same_for_all_service_tiers() -> None:
    route = of({"openai/gpt-5-mini": imported((NOW_US, "3"))}).resolve("openai/gpt-5-mini")
    assert nano(route, tier="priority") == nano(route) == 3 * 10**9
    assert nano(route, NOW_US - 1, "priority") > nano(route, NOW_US - 1)
    assert route.prices.dearest_at(NOW_US) is route.prices.at(NOW_US, None)
    most = worst_case(route.prices.dearest_at(NOW_US - 1), 10**6)
    assert most.of(0) == nano(route, NOW_US - 1, "priority")


def test_a_price_of_the_configuration_wins_over_an_imported_one() -> None:
    mine = priced(GPT, "openai")
    assert nano(of({GPT: imported((0, "3"))}, models=(mine,)).resolve(GPT)) == 10**9


def test_an_imported_price_makes_a_model_of_a_vendor_known() -> None:
    one = of({"openai/gpt-99": imported((0, "3")), "lab/x": imported((0, "4"))}, OPENAI, UNLISTED)
    for name, label in (("openai/gpt-99", "openai/gpt-99"), ("gpt-99", "openai/gpt-99"), ("x", "lab/x")):
        assert one.resolve(name).model == label
    assert one.resolve("lab/x").upstream == "x"
    assert {"openai/gpt-99": "openai", "lab/x": "lab"}.items() <= one.names.items()
    with pytest.raises(NotPriced):
        one.resolve("lab/y")


def test_an_imported_price_is_no_model_of_a_vendor_that_serves_configured_ones_only() -> None:
    one = of({"own/x": imported((0, "3")), "nobody/x": imported((0, "3"))}, OWN)
    for name in ("own/x", "nobody/x", "x"):
        with pytest.raises(ModelNotFound):
            one.resolve(name)
    assert dict(one.names) == {}
    assert nano(one.benchmark("own/x")) == nano(one.benchmark("nobody/x")) == 3 * 10**9


def test_a_price_for_a_dated_name_is_of_that_name_alone() -> None:
    dated = "openai/gpt-4o-2024-08-06"
    one = of({dated: imported((0, "3"))})
    assert (one.resolve(dated).model, nano(one.resolve(dated))) == (dated, 3 * 10**9)
    assert one.resolve(GPT).model == GPT
    assert nano(one.resolve(GPT)) != 3 * 10**9
    assert nano(of({GPT: imported((0, "3"))}).resolve(dated)) == 3 * 10**9


def test_a_price_that_is_still_to_come_is_none_where_nothing_else_is_known() -> None:
    route = of({"openai/gpt-99": imported((NOW_US, "3"))}).resolve("openai/gpt-99")
    with pytest.raises(NotPriced, match="later"):
        route.prices.at(NOW_US - 1, None)
    with pytest.raises(NotPriced):
        route.prices.dearest_at(NOW_US - 1)
    assert nano(route) == 3 * 10**9


def test_a_model_that_the_list_sells_by_the_hour_can_be_given_a_price() -> None:
    assert nano(of({"openai/whisper-1": imported((0, "3"))}).resolve("openai/whisper-1")) == 3 * 10**9


def test_a_configured_model_without_a_price_costs_what_it_stands_for() -> None:
    one = of({GPT: imported((NOW_US, "3"))}, models=(alias("fast", "gpt-4o"),))
    listed = catalog(OPENAI).resolve(GPT)
    assert (one.resolve("fast").model, one.resolve("fast").upstream) == ("fast", "gpt-4o")
    assert nano(one.resolve("fast")) == 3 * 10**9
    assert nano(one.resolve("fast"), NOW_US - 1) == nano(listed, NOW_US - 1)
    named = of({"fast": imported((0, "5")), GPT: imported((0, "3"))}, models=(alias("fast", "gpt-4o"),))
    assert nano(named.resolve("fast")) == 5 * 10**9


def test_a_configured_model_without_any_price_is_refused_and_not_listed() -> None:
    one = of({}, models=(alias("fast", "gpt-99"), alias("openai/mine", "gpt-99")))
    for name in ("fast", "openai/mine", "mine"):
        with pytest.raises(NotPriced):
            one.resolve(name)
        with pytest.raises((NotPriced, ModelNotFound)):
            one.benchmark(name)
    assert not {"fast", "openai/mine"} & set(one.names)


def test_new_prices_are_taken_over_whole_and_calls_in_flight_keep_theirs() -> None:
    one = of({}, OPENAI, GROQ)
    in_flight = one.resolve(GPT)
    before = nano(in_flight)
    benchmark, names = nano(one.benchmark(GPT)), set(one.names)
    one.reprice({GPT: imported((0, "3")), "openai/gpt-99": imported((0, "4"))})
    assert nano(one.resolve(GPT)) == nano(one.benchmark(GPT)) == 3 * 10**9
    assert nano(in_flight) == before == benchmark
    assert set(one.names) - names == {"openai/gpt-99"}
    one.reprice({})
    assert nano(one.resolve(GPT)) == before
    with pytest.raises(NotPriced):
        one.resolve("openai/gpt-99")


def test_where_it_is_allowed_a_vendor_s_model_without_a_price_is_served_under_no_name_of_the_caller() -> None:
    one = unpriced_too(OPENAI, UNLISTED)
    for name in ("openai/gpt-99", "lab/anything", "openai/whisper-1"):
        vendor, _, rest = name.partition("/")
        route = one.resolve(name)
        assert (route.provider, route.model, route.upstream) == (vendor, f"{vendor}/unpriced", rest)
        price = route.prices.at(NOW_US, "priority")
        assert (price.is_unpriced, price.version) == (True, f"unpriced/{name}")
        with pytest.raises(NotPriced):
            one.benchmark(name)
    assert not one.resolve(GPT).prices.at(NOW_US, None).is_unpriced
    assert not any(name.endswith("/unpriced") for name in one.names)


@pytest.mark.parametrize("name", ["openai/", "openai/a\x00b", "openai/\udc80", "openai/a\nb"])
def test_what_is_no_name_is_not_served_without_a_price_either(name: str) -> None:
    with pytest.raises(NotPriced):
        unpriced_too(OPENAI).resolve(name)


@pytest.mark.parametrize("name", ["gpt-99", "nobody/gpt-99", "own/x", ""])
def test_what_no_vendor_here_could_have_is_not_served_without_a_price_either(name: str) -> None:
    with pytest.raises(ModelNotFound):
        unpriced_too(OPENAI, OWN).resolve(name)


def test_a_configured_model_without_a_price_keeps_its_name_where_it_is_allowed() -> None:
    one = unpriced_too(OPENAI, models=(priced("dear", "openai"), alias("fast", "gpt-99")))
    assert (one.resolve("fast").model, one.resolve("fast").upstream) == ("fast", "gpt-99")
    assert one.resolve("fast").prices.at(NOW_US, None).version == "unpriced/fast"


def test_a_price_that_is_still_to_come_is_no_price_yet_where_that_is_allowed() -> None:
    route = unpriced_too(OPENAI, prices={"openai/gpt-99": imported((NOW_US, "3"))}).resolve("openai/gpt-99")
    assert route.prices.at(NOW_US - 1, None).is_unpriced
    assert nano(route) == 3 * 10**9


def test_the_context_window_is_the_list_s() -> None:
    (provider,) = (provider for provider in get_snapshot().providers if provider.id == "openai")
    listed = provider.find_model("gpt-4.1")
    assert listed is not None
    assert catalog(OPENAI).resolve("openai/gpt-4.1").context_window == listed.context_window
    assert (listed.context_window or 0) >= 1_000_000
    one = of({"openai/gpt-99": imported((0, "1"))}, models=(alias("fast", "gpt-4o"), priced("own", "openai")))
    windows = [one.resolve(name).context_window for name in ("fast", "own", "openai/gpt-99")]
    assert windows == [128_000, None, None]
