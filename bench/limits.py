"""What limits cost: the same gateway without any, and with a limit of every kind, none of them near.

Run: `python -m bench.limits`.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench.load import Measured, afresh, in_turn, measure, ratio, request, table
from bench.processes import gateway, limit, vendor

_CONNECTIONS = 32
_SECONDS = 1.0
_ROUNDS = 6
_STARTS = 3
_STEADY_S = 10.0


class _Steady:
    """How many statements there were, and how many requests, at steady load."""

    def __init__(self) -> None:
        self.requests = 0.0
        self.of_limits = 0
        self.of_all = 0


def main() -> None:
    """Print the table."""
    steady = _Steady()
    measured = afresh(_STARTS, lambda start: _once(steady if start == 0 else None))
    print(f"{_CONNECTIONS} connections, {_STARTS} times {_ROUNDS} rounds of {_SECONDS:g} s each, medians\n")
    print(table(measured))
    without, limited = measured.values()
    print(f"\nlimits cost {1 - ratio(limited, without):.1%} of the requests per second", end="; ")
    thousands = steady.requests / 1000
    print(f"at steady load {steady.of_limits / thousands:.2f} SQL statements per 1,000 requests", end="")
    print(f" ({steady.of_all / thousands:.1f} with the folder's)")


def _once(steady: _Steady | None) -> dict[str, list[Measured]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendor_port = stack.enter_context(vendor())
        sent = {}
        counts = folder / "counts"
        for mode, name in (("unlimited", "without limits"), ("folded", "with limits")):
            command = ("-m", "bench.gateway", mode, str(counts))
            port, key, token = stack.enter_context(gateway(folder / mode, vendor_port, *command))
            sent[name] = (port, request(port, key, "instant/model"))
        limit(port, token)
        measured = uvloop.run(in_turn(sent, connections=_CONNECTIONS, seconds=_SECONDS, rounds=_ROUNDS))
        if steady is not None:
            _measure_steady(steady, counts, *sent["with limits"])
        return measured


def _measure_steady(steady: _Steady, counts: Path, port: int, sent: bytes) -> None:
    before = _counted(counts)
    measured = uvloop.run(measure(port, sent, connections=_CONNECTIONS, seconds=_STEADY_S))
    steady.of_limits, steady.of_all = (after - b for after, b in zip(_counted(counts), before, strict=True))
    steady.requests = measured.per_s * _STEADY_S


def _counted(counts: Path) -> tuple[int, int]:
    """SQL statements of limits, and of all, as the gateway that was started last wrote them."""
    of_limits, of_all = counts.read_text().split()
    return int(of_limits), int(of_all)


if __name__ == "__main__":
    main()
