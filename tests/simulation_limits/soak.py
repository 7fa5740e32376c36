"""Many seeds, or one again: `python -m tests.simulation_limits --seeds 100000 --jobs 2`, `… --seed 17`."""

from collections.abc import Sequence

from tests.simulation.history import Violation
from tests.simulation.soak import soak
from tests.simulation_limits.bugs import BUGS
from tests.simulation_limits.history import simulate


def outcome(seed: int, bug: str | None) -> str | None:
    """What goes wrong under a seed; None if nothing does."""
    try:
        simulate(seed, *(BUGS[bug] if bug else ()))
    except Violation as violation:
        return str(violation)
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 1 if something that may never happen has happened."""
    return soak("tests.simulation_limits", outcome, BUGS, argv)
