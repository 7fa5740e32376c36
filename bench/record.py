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
        db.execute("DELETE FROM ledger WHERE seq > 1")
        db.execute(
            "CREATE TEMP TABLE copies AS"
            " WITH RECURSIVE times(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM times LIMIT ?)"
            " SELECT ledger.* FROM times JOIN ledger",
            (rows - 1,),
        )
        db.execute("UPDATE copies SET seq = rowid + 1000000, request_id = request_id || rowid")
        db.execute("INSERT INTO ledger SELECT * FROM copies")


if __name__ == "__main__":
    main()
