"""Which field a vendor heeds a cap in, as the catalogue knows it."""

from pathlib import Path

import pytest

from tests.providers.test_catalog import AZURE, EUROPE, GROQ, OPENAI, OWN, UNLISTED, catalog, priced
from tollway.parts import catalog_of
from tollway.providers.catalog import Catalog, Vendor
from tollway.settings import SettingsError, load

NEWER, OLDER = "max_completion_tokens", "max_tokens"

CONFIGURED = """
[providers.mistral]
dialect = "openai"
base_url = "https://api.mistral.ai/v1"

[providers.lab]
dialect = "openai"
base_url = "https://lab.example.com/v1"
cap_field = "max_completion_tokens"

[[models]]
name = "small"
provider = "lab"
upstream = "small"
price = { input = "1", output = "1" }
"""


@pytest.mark.parametrize(
    ("vendor", "model", "field"),
    [
        (OPENAI, "openai/gpt-4o", NEWER),
        (EUROPE, "europe/gpt-4o", NEWER),
        (AZURE, "azure/gpt-4o", NEWER),
        (GROQ, "groq/llama-3.1-8b-instant", NEWER),
        (Vendor(name="deepseek", listed_as="deepseek"), "deepseek/deepseek-chat", OLDER),
        (Vendor(name="mistral", listed_as="mistral"), "mistral/mistral-large-latest", OLDER),
    ],
)
def test_a_vendor_s_field_is_the_one_that_is_known_of_it(vendor: Vendor, model: str, field: str) -> None:
    assert catalog(vendor).resolve(model).cap_field == field


def test_a_vendor_s_field_holds_for_configured_and_unpriced_models_too() -> None:
    models = (priced("mine", "openai"), priced("own", "own"))
    one = catalog(OPENAI, OWN, models=models)
    assert [one.resolve(name).cap_field for name in ("mine", "own")] == [NEWER, OLDER]
    unpriced = Catalog([OPENAI, UNLISTED], [], allows_unpriced=True)
    names = ("openai/gpt-99", "lab/anything")
    assert [unpriced.resolve(name).cap_field for name in names] == [NEWER, OLDER]


def test_the_operator_s_word_wins() -> None:
    for listed_as in ("openai", "mistral", "lab"):
        vendor = Vendor(name="mine", listed_as=listed_as, cap_field="max_tokens")
        assert catalog(vendor, models=(priced("a", "mine"),)).resolve("a").cap_field == OLDER
    vendor = Vendor(name="deepseek", listed_as="deepseek", cap_field="max_completion_tokens")
    assert catalog(vendor).resolve("deepseek/deepseek-chat").cap_field == NEWER


def test_a_model_of_no_vendor_here_is_never_sent_a_cap() -> None:
    assert catalog(OPENAI).benchmark("anthropic/claude-3-5-haiku-latest").cap_field == OLDER


def test_the_setting_reaches_the_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "tollway.toml"
    file.write_text(CONFIGURED, "utf-8")
    settings, _ = load({"TOLLWAY_CONFIG": str(file)})
    found = catalog_of(settings, {})
    names = ("small", "mistral/mistral-large-latest")
    assert [found.resolve(name).cap_field for name in names] == [NEWER, OLDER]


def test_another_field_is_no_setting(tmp_path: Path) -> None:
    file = tmp_path / "tollway.toml"
    file.write_text(CONFIGURED.replace(NEWER, "num_predict"), "utf-8")
    with pytest.raises(SettingsError, match=r"providers\.lab\.cap_field"):
        load({"TOLLWAY_CONFIG": str(file)})
