"""Ids are UUIDs of version 7, in order of time."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.ids import is_id, new_id

NOW_US = 1_773_144_000_123_456


@given(st.integers(0, (1 << 48) * 1_000 - 1))
@settings(deadline=None)
def test_an_id_is_a_uuid_of_version_7_that_holds_its_millisecond(now_us: int) -> None:
    made = UUID(new_id(now_us))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == now_us // 1_000


@given(st.integers(0, 10**15), st.integers(1_000, 10**15))
@settings(deadline=None)
def test_a_later_millisecond_sorts_later(now_us: int, later_us: int) -> None:
    assert new_id(now_us) < new_id(now_us + later_us)


def test_ids_of_one_moment_differ() -> None:
    made = {new_id(NOW_US) for _ in range(1_000)}
    assert len(made) == 1_000
    # Every bit that is neither time, version nor variant takes both values.
    ints = [UUID(each).int for each in made]
    always, ever = ints[0], 0
    for value in ints:
        always &= value
        ever |= value
    free = (1 << 12) - 1 << 64 | (1 << 62) - 1
    assert (always & free, ever & free) == (0, free)


def test_an_id_is_recognised() -> None:
    assert is_id(new_id(NOW_US))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "0192F0C4-7B3A-7CC1-8A6B-0123456789AB",
        "0192f0c47b3a7cc18a6b0123456789ab",
        "{0192f0c4-7b3a-7cc1-8a6b-0123456789ab}",
        "urn:uuid:0192f0c4-7b3a-7cc1-8a6b-0123456789ab",
        "0192f0c4-7b3a-7cc1-8a6b-0123456789ab ",
        "0192f0c4-7b3a-7cc1-8a6b-0123456789a",
        "' OR 1=1 --",
    ],
)
def test_any_other_way_of_writing_one_is_none(text: str) -> None:
    assert not is_id(text)
