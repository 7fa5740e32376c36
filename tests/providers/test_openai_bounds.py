"""What a vendor may not bring into the ledger by way of its usage."""

import pytest

from tollway.domain.usage import Unit
from tollway.providers.openai import read


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [], "usage": {"prompt_tokens": 9223372036854775808, "completion_tokens": 1}}',
        b'{"choices": [], "usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1e30}}}',
    ],
)
def test_a_count_that_no_ledger_could_hold_is_no_report(body: bytes) -> None:
    reading = read(body)
    assert reading.is_readable
    assert reading.usage is None


@pytest.mark.parametrize("tier", [r"de\u0000fault", "x" * 65, "a b", ""])
def test_a_service_tier_that_is_no_word_is_left_out(tier: str) -> None:
    body = b'{"choices": [], "usage": {"prompt_tokens": 3}, "service_tier": "%s"}' % tier.encode()
    reading = read(body)
    assert reading.service_tier is None
    assert reading.usage == {Unit.INPUT: 3, Unit.REQUEST: 1}
