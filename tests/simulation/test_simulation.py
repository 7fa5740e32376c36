"""A thousand seeds without a violation, and each planted bug found by some seed."""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import get_args

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.disk import SimulatedDisk, SimulatedLock, SimulatedSegment
from tests.simulation.faults import Fault
from tests.simulation.history import Violation, simulate
from tests.simulation.plan import EVENTS
from tests.simulation.process import Parts
from tests.simulation.soak import main
from tollway.domain.ledger import Outcome
from tollway.metering.disk import Disk, Lock, Segment

_SEEDS = range(1_000)
_PER_TEST = 50
_SEEDS_FOR_A_BUG = 200


def _simulate_all(seeds: Iterable[int], parts: Parts | None = None, likely: Collection[str] = ()) -> None:
    for seed in seeds:
        simulate(seed, parts, likely)


@pytest.mark.parametrize("first", _SEEDS[::_PER_TEST])
def test_whatever_happens_each_call_is_explained_once_and_all_totals_agree(first: int) -> None:
    _simulate_all(_SEEDS[first : first + _PER_TEST])


@pytest.mark.parametrize("what", BUGS)
def test_a_planted_bug_is_found(what: str) -> None:
    with pytest.raises(Violation, match="SIMULATION_SEED="):
        _simulate_all(range(_SEEDS_FOR_A_BUG), *BUGS[what])


def test_the_same_seed_lets_the_same_happen_again() -> None:
    for seed in range(10):
        first, again = simulate(seed), simulate(seed)
        assert first.notes == again.notes
        assert first.seen_rows == again.seen_rows
        assert first.random.getstate() == again.random.getstate()


def test_all_that_may_go_wrong_does_and_most_calls_are_settled_all_the_same() -> None:
    faults: Counter[Fault] = Counter()
    events: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for seed in range(100):
        history = simulate(seed)
        faults += history.faults.happened
        events += history.befallen
        outcomes.update(outcome for (outcome,) in history.server.rows("SELECT outcome FROM ledger"))
    assert set(faults) == set(get_args(Fault))
    assert set(events) == set(EVENTS)
    assert set(outcomes) == {outcome.value for outcome in Outcome}
    assert outcomes[Outcome.SETTLED] > sum(outcomes.values()) / 2


@pytest.mark.parametrize(
    ("real", "simulated"), [(Disk, SimulatedDisk), (Segment, SimulatedSegment), (Lock, SimulatedLock)]
)
def test_nothing_simulated_reaches_the_real_disk(real: type[object], simulated: type[object]) -> None:
    public = {name for name in vars(real) if not name.startswith("_")}
    assert public <= vars(simulated).keys()


def test_a_violation_ends_the_soak_with_status_1_and_says_how_to_replay_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bug = next(iter(BUGS))
    assert main(["--seeds", "20", "--jobs", "1", "--bug", bug]) == 1
    told = capsys.readouterr().out
    found = re.search(r"SIMULATION_SEED=(\d+):", told)
    assert found is not None
    assert f"python -m tests.simulation --seed {found[1]}" in told
    assert main(["--seed", found[1], "--jobs", "1", "--bug", bug]) == 1
    capsys.readouterr()
    assert main(["--seed", found[1], "--jobs", "1"]) == 0
    assert "1 seeds, 0 with a violation" in capsys.readouterr().out
