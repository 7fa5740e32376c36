"""What the organisation record costs to read with 1,000,000 rows in the ledger, and with 100.

Run: `python -m bench.record`.
"""

import sqlite3
import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench.load import get, in_turn, measure, ratio, request, table
from bench.processes import gateway, vendor

_CONNECTIONS = 4
_SECONDS = 2.0
_ROUNDS = 5
_FEW, _MANY = 100, 1_000_000


def main() -> None:
    """Print the table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vendor_port = stack.enter_context(vendor())
        sent = {}
        for rows in (_FEW, _MANY):
            place = folder / str(rows)
            command = ("-m", "tollway", "serve")
            port, key, token = stack.enter_context(gateway(place, vendor_port, *command))
            uvloop.run(measure(port, request(port, key, "instant/model"), connections=1, seconds=0.5))
            _multiply(place / "data" / "tollway.db", rows)
            sent[f"{rows:,} rows"] = (port, get(port, "/v1/orgs/current", token))
        measured = uvloop.run(in_turn(sent, connections=_CONNECTIONS, seconds=_SECONDS, rounds=_ROUNDS))
    print(f"{_CONNECTIONS} connections, {_ROUNDS} rounds of {_SECONDS:g} s each, median of the rounds\n")
    print(table(measured))
    few, many = measured.values()
    print(f"\nwith {_MANY:,} rows the record costs {ratio(few, many):.2f} times what it costs with {_FEW}")


def _multiply(database: Path, rows: int) -> None:
    """Copies of the first row, up to so many; totals stay as they are: nothing reads them from rows."""
    with sqlite3.connect(database, timeout=60) as db:
        kept = [row[1] for row in db.execute("PRAGMA table_info(ledger)")]
        values = ["seq.value + 1000000" if name == "seq" else name for name in kept]
        values = ["request_id || seq.value" if name == "request_id" else name for name in values]
        db.execute("DELETE FROM ledger WHERE seq > 1")
        db.execute(
            "WITH RECURSIVE seq(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM seq LIMIT ?)"  # noqa: S608 - our own columns
            f" INSERT INTO ledger ({', '.join(kept)}) SELECT {', '.join(values)}"
            " FROM seq JOIN (SELECT * FROM ledger LIMIT 1) AS one",
            (rows - 1,),
        )


if __name__ == "__main__":
    main()
