"""Vendors and models as they are written down: a key from a variable, and mistakes named by their place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.provider import (
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    api_key_of,
    check_models,
    check_providers,
    fits_a_header,
    key_variables,
)

OPENAI = ProviderSettings(dialect="openai", base_url="https://api.openai.com/v1")
KEY = "sk-not-to-be-shown"

toml = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
tables = st.fixed_dictionaries({}, optional={"api_key_env": toml | st.just("KEY"), "api_key": st.just(KEY)})


def model(name: str = "fast", price: PriceSettings | None = None) -> ModelSettings:
    return ModelSettings(name=name, provider="openai", upstream="gpt-4o-mini", price=price)


@given(toml | tables, st.sampled_from(["", KEY, KEY + " ", KEY + "\n", KEY + "é"]))
@settings(deadline=None)
def test_whatever_a_table_is_it_has_a_key_or_none_or_a_reason_that_shows_none(
    table: object, key: str
) -> None:
    found, reason = None, None
    try:
        found = api_key_of("openai", table, {"KEY": key})
    except ValueError as error:
        reason = str(error)
    if found is not None:
        assert found.reveal() == key == KEY
    elif reason is not None:
        assert reason.startswith("providers.openai.api_key")
        assert KEY not in reason
    else:
        assert not isinstance(table, dict) or not isinstance(table.get("api_key_env"), str)


@given(toml | st.dictionaries(st.text(max_size=8), toml | tables, max_size=3))
@settings(deadline=None)
def test_the_variables_of_keys_are_found_in_tables_of_any_form(written: object) -> None:
    found = key_variables(written)
    assert found == set() or isinstance(written, dict)
    assert key_variables({"openai": {"api_key_env": "KEY"}, "other": written}) >= {"KEY"}


@pytest.mark.parametrize("secret", ["a b", "a\tb", "a\r\nX: y", "\x00", "\x7f", "ä", "\u2028"])
def test_what_would_break_a_header_fits_none(secret: str) -> None:
    assert not fits_a_header(secret)
    assert fits_a_header("sk-A_b.c~/+=9")


@pytest.mark.parametrize("name", ["", ".", "a.", "-a", "a--b", "A", "a b", "ä", "demo", "a\n"])
def test_a_provider_s_name_can_be_a_label_and_a_part_of_a_path(name: str) -> None:
    check_providers({"openai": OPENAI, "a.b-c_2": OPENAI})
    with pytest.raises(ValueError, match=r"a name is lower-case|built-in demo") as refused:
        check_providers({"openai": OPENAI, name: OPENAI})
    assert str(refused.value).startswith(f"providers.{name}: ")


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://example.com", "https://user:password@example.com", "https://e?x"]
)
def test_a_provider_s_address_is_an_endpoint_that_paths_are_put_behind(url: str) -> None:
    with pytest.raises(ValueError, match=r"providers\.openai\.base_url: ") as refused:
        check_providers({"openai": ProviderSettings(dialect="openai", base_url=url)})
    assert "password" not in str(refused.value)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([model(), model()], "models[1].name: fast is there twice"),
        ([model(), model("")], "models[1]: name and upstream are not empty"),
        ([model(price=PriceSettings(input="1", output="x"))], "models[0].price.output: 'x' is not a decimal"),
        ([model(price=PriceSettings(input="100000.01", output="1"))], "models[0].price.input: a price is"),
        ([model(price=PriceSettings(input="1", output="1", cached_input="-1"))], "models[0].price.cached_"),
    ],
)
def test_a_model_s_mistake_is_named_by_its_place(models: list[ModelSettings], said: str) -> None:
    with pytest.raises(ValueError, match=r"^models") as refused:
        check_models(models, {"openai": OPENAI})
    assert str(refused.value).startswith(said)


def test_a_model_has_a_provider_and_its_price_may_be_the_greatest_or_none() -> None:
    greatest = PriceSettings(input="100000", output="0", cached_input="0.5")
    check_models([model(), model("dear", greatest)], {"openai": OPENAI})
    with pytest.raises(ValueError, match=r"^models\[0\]\.provider: there is no \[providers\.openai\]$"):
        check_models([model()], {})
