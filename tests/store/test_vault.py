"""Secrets at rest open for the use they were sealed for, with a key that is known, or not at all."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tollway.store.vault import Vault, VaultError

OLD, NEW = b"o" * 32, b"n" * 32
CONTEXT = ("org-1", "prom", "123456", "https://prometheus.example.com/api/v1/write")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
contexts = st.lists(texts, max_size=4)


@hypothesis_settings(max_examples=100, deadline=None)
@given(secret=texts, sealed_for=contexts, opened_for=contexts)
def test_a_secret_opens_in_its_own_context_only(
    secret: str, sealed_for: list[str], opened_for: list[str]
) -> None:
    vault = Vault([OLD])
    sealed = vault.seal(secret, sealed_for)
    assert vault.open(sealed, sealed_for).reveal() == secret
    if opened_for != sealed_for:
        with pytest.raises(VaultError):
            vault.open(sealed, opened_for)


@pytest.mark.parametrize(
    "other",
    [("ab", "c"), ("a", "b", "c"), ("a\0b\0c",), ("a\0b", "c"), ("a", "b\0c"), ("a\0b\0c", ""), ()],
)
def test_parts_of_a_context_do_not_run_into_each_other(other: tuple[str, ...]) -> None:
    vault = Vault([OLD])
    with pytest.raises(VaultError):
        vault.open(vault.seal("secret", ("a", "bc")), other)


def test_sealing_twice_looks_different_and_shows_nothing() -> None:
    vault = Vault([OLD])
    first, second = vault.seal("a secret", CONTEXT), vault.seal("a secret", CONTEXT)
    assert first != second
    assert "secret" not in first
    assert "a secret" not in repr(vault.open(first, CONTEXT))


def test_keys_are_rotated_the_newest_first() -> None:
    sealed_before = Vault([OLD]).seal("a secret", CONTEXT)
    both = Vault([NEW, OLD])
    assert both.open(sealed_before, CONTEXT).reveal() == "a secret"

    sealed_after = both.seal("a secret", CONTEXT)
    assert Vault([NEW]).open(sealed_after, CONTEXT).reveal() == "a secret"
    with pytest.raises(VaultError, match="not among the configured keys"):
        Vault([NEW]).open(sealed_before, CONTEXT)


def test_a_wrong_key_opens_nothing_even_under_the_right_id() -> None:
    sealed = Vault([OLD]).seal("a secret", CONTEXT)
    _, _, text = sealed.split(".")
    forged = ".".join(["v1", Vault([NEW]).seal("x", CONTEXT).split(".")[1], text])
    with pytest.raises(VaultError, match="not made for this use, or is damaged"):
        Vault([NEW]).open(forged, CONTEXT)


@pytest.mark.parametrize("version", ["v2", "", "V1"])
def test_another_version_does_not_open(version: str) -> None:
    vault = Vault([OLD])
    _, _, rest = vault.seal("a secret", CONTEXT).partition(".")
    with pytest.raises(VaultError):
        vault.open(f"{version}.{rest}", CONTEXT)


@pytest.mark.parametrize("sealed", ["", ".", "v1", "v1.", "v1..", "v1.abcdef01", "plain text"])
def test_what_was_never_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(VaultError):
        Vault([OLD]).open(sealed, CONTEXT)


@pytest.mark.parametrize("text", ["", "A", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAA", "é", "=", "A" * 200])
def test_a_value_cut_short_or_replaced_does_not_open(text: str) -> None:
    vault = Vault([OLD])
    key_id = vault.seal("a secret", CONTEXT).split(".")[1]
    with pytest.raises(VaultError):
        vault.open(f"v1.{key_id}.{text}", CONTEXT)


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_value_with_one_character_changed_or_missing_does_not_open(data: st.DataObject) -> None:
    vault = Vault([OLD])
    sealed = vault.seal("a secret of some length", CONTEXT)
    at = data.draw(st.integers(0, len(sealed) - 4))  # the last ones may carry padding only
    put = data.draw(st.sampled_from(["", "A", "b", "9", "_"]))
    damaged = sealed[:at] + put + sealed[at + 1 :]
    if damaged != sealed:
        with pytest.raises(VaultError):
            vault.open(damaged, CONTEXT)
