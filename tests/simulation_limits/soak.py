"""Many seeds, or one again: `python -m tests.simulation_limits --seeds 100000 --jobs 2`, `… --seed 17`."""

from collections.abc import Sequence

from tests.simulation.soak import soak, violation_of
from tests.simulation_limits.bugs import BUGS
from tests.simulation_limits.history import simulate


def outcome(seed: int, bug: str | None) -> str | None:
    """What goes wrong under a seed; None if nothing does."""
    return violation_of(simulate, seed, *(BUGS[bug] if bug else ()))


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 1 if something that may never happen has happened."""
    return soak("tests.simulation_limits", outcome, BUGS, argv)
