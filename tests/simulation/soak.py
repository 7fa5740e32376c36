"""Many seeds, or one again: `python -m tests.simulation --seeds 100000 --jobs 2`, `… --seed 17`."""

import argparse
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context

from tqdm import tqdm

from tests.simulation.bugs import BUGS
from tests.simulation.history import Violation, simulate

_CHUNK = 20


def outcome(seed: int, bug: str | None) -> str | None:
    """What goes wrong under a seed; None if nothing does."""
    return violation_of(simulate, seed, *(BUGS[bug] if bug else ()))


def violation_of(simulate: Callable[..., object], *asked: object) -> str | None:
    """What a simulation of this has violated; None if nothing."""
    try:
        simulate(*asked)
    except Violation as violation:
        return str(violation)
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 1 if something that may never happen has happened."""
    return soak("tests.simulation", outcome, BUGS, argv)


def soak(
    package: str,
    outcome_of: Callable[..., str | None],
    bugs: Collection[str],
    argv: Sequence[str] | None,
) -> int:
    """The command of a simulation: `outcome_of(seed, bug=…)`, with one of these bugs planted or none."""
    what = f"Many seeds, or one again: `python -m {package} --seeds 100000 --jobs 2`, `… --seed 17`."
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=what)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=os.environ.get("SIMULATION_SEED"), help="this one alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--bug", choices=bugs, metavar="WHAT", help="plant one: " + "; ".join(bugs))
    asked = parser.parse_args(argv)
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else [asked.seed]
    one = partial(outcome_of, bug=asked.bug)
    bad = 0
    with ExitStack() as stack:
        outcomes: Iterable[str | None] = map(one, seeds)
        if min(asked.jobs, len(seeds)) > 1:
            pool = stack.enter_context(get_context("spawn").Pool(asked.jobs))
            outcomes = pool.imap_unordered(one, seeds, chunksize=_CHUNK)
        for violation in tqdm(outcomes, total=len(seeds), unit=" seeds", mininterval=1):
            if violation is not None:
                bad += 1
                tqdm.write(violation)
    tqdm.write(f"{len(seeds)} seeds, {bad} with a violation")
    return int(bad > 0)
