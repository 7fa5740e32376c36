"""Counts of refused calls."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.ids import OrgId
from tollway.domain.refusal import Refused

counts = st.builds(
    Refused,
    org_id=st.text(max_size=40),
    app=st.text(max_size=70),
    code=st.text(max_size=40),
    count=st.integers(0, 2**63 - 1),
    at_us=st.integers(-(2**63), 2**63 - 1),
)


@settings(deadline=None, max_examples=100)
@given(counts)
def test_a_count_comes_back_from_its_bytes_as_it_was(written: Refused) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(written), type=Refused) == written


def test_a_count_is_small() -> None:
    written = Refused(
        org_id=OrgId("o" * 36), app="a" * 64, code="spending_limit_reached", count=10**6, at_us=2 * 10**15
    )
    assert len(msgspec.msgpack.encode(written)) < 256
