"""Odd numbers cost their own field only."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.providers.counts import ABSENT, MAX_COUNT, at_least_0, decoded, extra


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b"12", 12),
        (b'"12"', 12),
        (b"12.0", 12),
        (b"0", 0),
        (b"-1", 0),
        (b"null", 0),
        (b"12.5", 0),
        (b"{}", 0),
        (b'"many"', 0),
        (b"1e300", 0),
        (b"%d" % MAX_COUNT, MAX_COUNT),
        (b"%d" % (MAX_COUNT + 1), 0),
        (b"9" * 5000, 0),
        (b"[" * 100_000 + b"]" * 100_000, 0),
        (b'"\xff"', 0),
    ],
    ids=lambda value: repr(value)[:16],
)
def test_a_count_of_a_vendor_s_own_is_read_if_it_is_one(raw: bytes, count: int) -> None:
    assert extra(msgspec.Raw(raw)) == count


def test_a_field_that_is_absent_counts_nothing() -> None:
    assert extra(ABSENT) == 0
    assert decoded(msgspec.json.decode, ABSENT, "otherwise") == "otherwise"


@given(st.none() | st.integers())
@settings(deadline=None)
def test_a_count_is_never_below_0(count: int | None) -> None:
    assert at_least_0(count) == (count if count is not None and count > 0 else 0)
