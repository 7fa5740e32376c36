"""Ten thousand seeds without a violation, and each planted bug found by some seed."""

from collections import Counter
from collections.abc import Collection, Sequence

import pytest

from tests.simulation.history import Violation
from tests.simulation_limits.bugs import BUGS
from tests.simulation_limits.history import simulate
from tests.simulation_limits.plan import EVENTS, FAULTS
from tests.simulation_limits.process import Parts
from tests.simulation_limits.soak import main

_SEEDS = 10_000
_PER_TEST = 2_000
_SEEDS_FOR_A_BUG = 400


def _simulate_all(parts: Parts, likely: Collection[str]) -> None:
    for seed in range(_SEEDS_FOR_A_BUG):
        simulate(seed, parts, likely)


@pytest.mark.timeout(900)  # there are many, and nothing of it waits
@pytest.mark.parametrize("first", range(0, _SEEDS, _PER_TEST))
def test_whatever_happens_no_limit_is_exceeded_and_all_that_was_lent_comes_back(first: int) -> None:
    assert main(["--first", str(first), "--seeds", str(_PER_TEST), "--jobs", "2"]) == 0


@pytest.mark.timeout(600)  # likewise
@pytest.mark.parametrize("what", BUGS)
def test_a_planted_bug_is_found(what: str) -> None:
    with pytest.raises(Violation, match="SIMULATION_SEED="):
        _simulate_all(*BUGS[what])


@pytest.mark.parametrize("likely", [[], ["kill", "limit"], ["use"], ["rate"]])
def test_the_same_seed_lets_the_same_happen_again(likely: Sequence[str]) -> None:
    for seed in range(5):
        first, again = simulate(seed, None, likely), simulate(seed, None, likely)
        assert first.notes == again.notes
        assert first.book.charged == again.book.charged
        assert first.random.getstate() == again.random.getstate()


def test_all_that_may_go_wrong_does_and_most_calls_are_let_through_all_the_same() -> None:
    counts: Counter[str] = Counter()
    befallen: Counter[str] = Counter()
    for seed in range(150):
        history = simulate(seed)
        counts += history.book.counts
        befallen += history.befallen
    assert set(befallen) == {*EVENTS, *FAULTS}
    assert set(counts) == {
        "ended",
        "unsettled",
        "invalid_request",
        "limits_unavailable",
        "rate_limit_exceeded",
        "too_many_in_flight",
        "plan_exhausted",
        "trial_exhausted",
        "spending_limit_reached",
    }
    assert counts["ended"] > sum(counts.values()) / 2


def test_a_violation_ends_the_soak_with_status_1_and_says_how_to_replay_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "1", "--jobs", "1", "--bug", "a call is settled twice"]) == 1
    told = capsys.readouterr().out
    assert "SIMULATION_SEED=0:" in told
    assert "python -m tests.simulation_limits --seed 0" in told
    assert main(["--seed", "0", "--jobs", "1"]) == 0
    assert "1 seeds, 0 with a violation" in capsys.readouterr().out
