"""What recording costs: the same gateway with nothing recorded, with the journal, and with the folder too.

Run: `python -m bench.recording`.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench.load import in_turn, ratio, request, table
from bench.processes import gateway, vendor

_CONNECTIONS = 32
_SECONDS = 2.0
_ROUNDS = 7
_NAMES = {
    "none": "nothing recorded",
    "written": "with the journal",
    "folded": "with the journal and the folder",
}


def main() -> None:
    """Print the table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendor_port = stack.enter_context(vendor())
        sent = {}
        for mode, name in _NAMES.items():
            command = ("-m", "bench.gateway", mode)
            port, key, _ = stack.enter_context(gateway(folder / mode, vendor_port, *command))
            sent[name] = (port, request(port, key, "instant/model"))
        measured = uvloop.run(in_turn(sent, connections=_CONNECTIONS, seconds=_SECONDS, rounds=_ROUNDS))
    print(f"{_CONNECTIONS} connections, {_ROUNDS} rounds of {_SECONDS:g} s each, median of the rounds\n")
    print(table(measured))
    nothing, written, folded = measured.values()
    print(f"\nthe journal costs {1 - ratio(written, nothing):.1%}", end="")
    print(f", the journal and the folder {1 - ratio(folded, nothing):.1%} of the requests per second")


if __name__ == "__main__":
    main()
