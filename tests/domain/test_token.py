"""Bearer tokens and secrets: junk is told apart, and nothing shows itself."""

import copy
import logging
import traceback
from dataclasses import dataclass
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.token import MASK, Bearer, Secret, digest, ending, is_minted, masked, mint


@pytest.mark.parametrize("bearer", Bearer)
def test_a_minted_token_is_recognised_by_its_own_kind_only(bearer: Bearer) -> None:
    token = mint(bearer)
    assert token.startswith(bearer)
    assert len(token) == 42
    assert [kind for kind in Bearer if is_minted(token, kind)] == [bearer]


def test_tokens_are_never_alike() -> None:
    assert len({mint(Bearer.APP) for _ in range(200)}) == 200


@given(st.data())
@settings(deadline=None)
def test_one_wrong_character_is_noticed(data: st.DataObject) -> None:
    token = mint(Bearer.APP)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda char: char != token[place]))
    assert not is_minted(token[:place] + other + token[place + 1 :], Bearer.APP)


@given(st.text(max_size=60))
@settings(deadline=None)
def test_junk_is_no_token(junk: str) -> None:
    assert not any(is_minted(junk, bearer) or is_minted(bearer + junk, bearer) for bearer in Bearer)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_bytes_that_are_no_text_are_no_token_and_have_a_digest(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    assert not is_minted(Bearer.APP + text, Bearer.APP)
    assert digest(text) == sha256(raw).hexdigest()


@pytest.mark.parametrize("cut", [0, 1, 4, 41])
def test_a_part_of_a_token_is_none(cut: int) -> None:
    token = mint(Bearer.USER)
    assert not is_minted(token[:cut], Bearer.USER)
    assert not is_minted(token + token[:1], Bearer.USER)
    assert not is_minted(f" {token}", Bearer.USER)


def test_a_checksum_of_another_prefix_does_not_pass() -> None:
    app = mint(Bearer.APP)
    assert not is_minted(Bearer.USER + app.removeprefix(Bearer.APP), Bearer.USER)


def test_what_is_stored_is_the_sha256_and_what_is_shown_the_last_four() -> None:
    token = mint(Bearer.APP)
    assert digest(token) == sha256(token.encode()).hexdigest()
    assert ending(token) == token[38:]


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("", "••••"),
        ("abcd", "••••"),
        ("elevenchars", "••••"),
        ("twelve_chars", "••••hars"),
        ("glc_eyJvIjoiMTIzNDU2Nzg5MCJ9", "••••MCJ9"),
        ("ÄÖÜäöüßéèàçñ", "••••èàçñ"),
    ],
)
def test_a_secret_is_masked_as_the_contract_says(secret: str, shown: str) -> None:
    assert masked(secret) == shown
    assert MASK == "••••"


@given(st.text(min_size=5, max_size=80))
@settings(deadline=None)
def test_a_mask_never_holds_more_than_the_last_four_characters(secret: str) -> None:
    shown = masked(secret).removeprefix(MASK)
    assert len(shown) <= 4
    assert len(shown) * 3 <= len(secret)


@dataclass(frozen=True)
class Holder:
    """Something that has a secret."""

    name: str
    token: Secret


SENSITIVE = "glc_do-not-show-this-1234"


def test_a_secret_is_never_shown_by_any_way_of_writing_it() -> None:
    secret = Secret(SENSITIVE)
    holder = Holder("prom", secret)
    ways = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        f"{secret!s:>40}",
        "%s %r" % (secret, secret),  # noqa: UP031 - one of the ways
        repr([secret]),
        repr({"token": secret}),
        repr(holder),
        repr(copy.deepcopy(holder)),
    ]
    for text in ways:
        assert SENSITIVE[:-4] not in text
        assert "••••1234" in text
    assert secret.reveal() == SENSITIVE


def test_a_secret_is_shown_neither_by_a_log_line_nor_by_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(SENSITIVE)
    logging.getLogger("test").warning("with %s and %r", secret, secret)
    try:
        raise ValueError(secret)
    except ValueError:
        shown = traceback.format_exc()
    assert SENSITIVE[:-4] not in caplog.text + shown


def test_a_short_secret_shows_nothing_at_all() -> None:
    assert repr(Secret("short")) == "Secret('••••')"


def test_a_secret_has_no_dictionary_to_look_into() -> None:
    assert not hasattr(Secret(SENSITIVE), "__dict__")
