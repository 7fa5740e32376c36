"""Usage that we count ourselves: a token for every four bytes, rounded up."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tollway.domain.usage import Unit
from tollway.metering.estimate import estimate

sizes = st.integers(0, 2**40)


@hypothesis_settings(max_examples=100, deadline=None)
@given(prompt=sizes, completion=sizes)
def test_four_bytes_are_a_token_and_the_rest_is_one_more(prompt: int, completion: int) -> None:
    found = estimate(prompt, completion, completion)
    for unit, size in ((Unit.INPUT, prompt), (Unit.OUTPUT, completion)):
        count = found.get(unit, 0)
        assert 4 * count - 3 <= size <= 4 * count or size == count == 0
    assert found[Unit.REQUEST] == 1


def test_what_is_nothing_is_left_out() -> None:
    assert estimate(0, 0, 9) == {Unit.REQUEST: 1}
    assert estimate(1, 0, 9) == {Unit.INPUT: 1, Unit.REQUEST: 1}
    assert estimate(0, 5, 9) == {Unit.OUTPUT: 2, Unit.REQUEST: 1}


def test_a_completion_is_not_taken_for_longer_than_it_may_have_been() -> None:
    assert estimate(0, 400, 10) == {Unit.OUTPUT: 10, Unit.REQUEST: 1}
    assert estimate(0, 400, 0) == {Unit.REQUEST: 1}
