"""What recording costs: the same gateway with nothing recorded, with the journal, and with the folder too.

Run: `python -m bench.recording`.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench.load import Measured, afresh, in_turn, ratio, request, table
from bench.processes import gateway, vendor

_CONNECTIONS = 32
_SECONDS = 1.0
_ROUNDS = 6
_STARTS = 3
_NAMES = {
    "none": "nothing recorded",
    "written": "with the journal",
    "folded": "with the journal and the folder",
}


def main() -> None:
    """Print the table."""
    measured = afresh(_STARTS, _once)
    print(f"{_CONNECTIONS} connections, {_STARTS} times {_ROUNDS} rounds of {_SECONDS:g} s each, medians\n")
    print(table(measured))
    nothing, written, folded = measured.values()
    print(f"\nthe journal costs {1 - ratio(written, nothing):.1%}", end="")
    print(f", the journal and the folder {1 - ratio(folded, nothing):.1%} of the requests per second")


def _once(_start: int) -> dict[str, list[Measured]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendor_port = stack.enter_context(vendor())
        sent = {}
        for mode, name in _NAMES.items():
            command = ("-m", "bench.gateway", mode)
            port, key, _ = stack.enter_context(gateway(folder / mode, vendor_port, *command))
            sent[name] = (port, request(port, key, "instant/model"))
        return uvloop.run(in_turn(sent, connections=_CONNECTIONS, seconds=_SECONDS, rounds=_ROUNDS))


if __name__ == "__main__":
    main()
