"""Plans: where calls are refused."""

import pytest

from tollway.domain.plan import NO_PLAN, UNLIMITED, Plan


@pytest.mark.parametrize(
    ("plan", "cap"),
    [
        (NO_PLAN, None),
        (Plan(max_tokens=UNLIMITED), None),
        (Plan(max_tokens=1_000), 1_000),
        (Plan(max_tokens=0), 0),
        (Plan(max_tokens=1_000, overage="refuse"), 1_000),
        (Plan(max_tokens=1_000, overage="allow"), None),
        (Plan(max_tokens=0, overage="allow"), None),
    ],
)
def test_a_plan_caps_tokens_unless_it_has_no_limit_or_allows_overage(plan: Plan, cap: int | None) -> None:
    assert plan.tokens_cap == cap
