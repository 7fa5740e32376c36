"""What the gateway adds: the same requests straight to an instant vendor and through Tollway.

Everything is metered, priced and folded into SQLite while it runs. Run: `python -m bench.through`.
"""

import tempfile
from pathlib import Path
from statistics import median

import uvloop

from bench.load import in_turn, ratio, request, table
from bench.processes import gateway, vendor

_CONNECTIONS = 32
_SECONDS = 2.0
_ROUNDS = 4


def main() -> None:
    """Print the table."""
    with (
        tempfile.TemporaryDirectory() as folder,
        vendor() as vendor_port,
        gateway(Path(folder) / "gateway", vendor_port, "-m", "tollway", "serve") as (port, key, _),
    ):
        sent = {
            "straight to the vendor": (vendor_port, request(vendor_port, "none", "instant")),
            "through Tollway": (port, request(port, key, "instant/model")),
        }
        measured = uvloop.run(in_turn(sent, connections=_CONNECTIONS, seconds=_SECONDS, rounds=_ROUNDS))
    print(f"{_CONNECTIONS} connections, {_ROUNDS} rounds of {_SECONDS:g} s each, median of the rounds\n")
    print(table(measured))
    direct, through = measured.values()
    added = median(t.p50_ms - d.p50_ms for d, t in zip(direct, through, strict=True)) / _CONNECTIONS
    print(
        f"\nratio {ratio(through, direct):.3f}; one request costs {1000 * added:.0f} µs of the gateway's core"
    )


if __name__ == "__main__":
    main()
