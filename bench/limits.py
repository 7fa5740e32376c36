"""What limits cost: the same gateway without any, and with a limit of every kind, none of them near.

Run: `python -m bench.limits`.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench.load import Measured, in_turn, measure, ratio, request, table
from bench.processes import gateway, limit, vendor

_CONNECTIONS = 32
_SECONDS = 2.0
_ROUNDS = 7
_STEADY_S = 10.0


def main() -> None:
    """Print the table."""
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
        before = _counted(counts)
        steady: Measured = uvloop.run(
            measure(port, sent["with limits"][1], connections=_CONNECTIONS, seconds=_STEADY_S)
        )
        of_limits, of_all = (after - b for after, b in zip(_counted(counts), before, strict=True))
    print(f"{_CONNECTIONS} connections, {_ROUNDS} rounds of {_SECONDS:g} s each, median of the rounds\n")
    print(table(measured))
    without, limited = measured.values()
    requests = steady.per_s * _STEADY_S
    print(f"\nlimits cost {1 - ratio(limited, without):.1%} of the requests per second", end="; ")
    print(f"at steady load {1000 * of_limits / requests:.2f} SQL statements per 1,000 requests", end="")
    print(f" ({1000 * of_all / requests:.1f} with the folder's)")


def _counted(counts: Path) -> tuple[int, int]:
    """SQL statements of limits, and of all, as the gateway that was started last wrote them."""
    of_limits, of_all = counts.read_text().split()
    return int(of_limits), int(of_all)


if __name__ == "__main__":
    main()
