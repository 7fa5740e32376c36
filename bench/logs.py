"""What a search for logs costs with 10,000,000 rows in the ledger, and with 10,000.

Builds both databases as the fold would have left them, in a folder under TMPDIR, and asks each for the
newest logs by time, by labels and by app. Run: `python -m bench.logs [ROWS]`.
"""

import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

from sqlalchemy import Connection

from tests.world.entries import JOURNAL, batch, entry, make_app, make_org
from tollway.control import logs
from tollway.control.logs import Page
from tollway.domain.caller import Person
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import AppId, OrgId, UserId
from tollway.domain.log import Search, label_facet
from tollway.domain.org import EVERY_PERMISSION
from tollway.store.database import Database
from tollway.store.migrate import migrate
from tollway.store.usage import fold

_FEW, _MANY = 10_000, 10_000_000
_BEGIN_US = 1_767_225_600 * US_PER_S
_SPAN_US = 30 * 86_400 * US_PER_S
_APPS = 8
_TEAMS, _CUSTOMERS = 10, 1_000
_SEARCHES = 300
_GOAL = 5

_ROWS = """
CREATE TEMP TABLE template AS SELECT * FROM ledger;
DELETE FROM ledger;
UPDATE template SET labels = '{{}}';
INSERT INTO ledger ({columns})
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
SELECT {values} FROM numbers CROSS JOIN template
"""
_VALUES = {
    "seq": "n",
    "ended_us": f"{_BEGIN_US} + n * {_SPAN_US} / {{rows}}",
    "started_us": f"{_BEGIN_US} + n * {_SPAN_US} / {{rows}} - 500000",
    "request_id": "printf('%08x-0000-7000-8000-%012x', n / 1000, n)",
    "app_id": f"(SELECT id FROM apps WHERE slug = 'app-' || (n % {_APPS}))",  # noqa: S608 - our own
    "labels": "CASE WHEN n % 2 THEN json_object("
    "'team', 'team-' || ({team}), 'customer', 'customer-' || ({customer})) ELSE '{{}}' END",
}
_OF = {"team": f"n / 2 % {_TEAMS}", "customer": f"n / {2 * _TEAMS} % {_CUSTOMERS}"}
_FACETS = """
INSERT INTO log_facets
SELECT org_id, 'label:{name}', '{name}-' || ({of}), ended_us, n, app_id
FROM (SELECT org_id, app_id, ended_us, seq AS n FROM ledger WHERE seq % 2) ORDER BY 3, 4
"""


def main() -> None:
    """Print the table."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else _MANY
    with tempfile.TemporaryDirectory() as folder:
        few, lots = (asyncio.run(_measured(Path(folder) / f"{rows}.db", rows)) for rows in (_FEW, many))
    print(f"\n{_SEARCHES} searches each, a page of 50; milliseconds\n")
    print(f"| search | p50, {_FEW:,} rows | p99 | p50, {many:,} rows | p99 | ratio of p50 | of p99 |")
    print("|---|---|---|---|---|---|---|")
    for name, (p50, p99) in few.items():
        more50, more99 = lots[name]
        print(
            f"| {name} | {p50:.2f} | {p99:.2f} | {more50:.2f} | {more99:.2f}"
            f" | {more50 / p50:.2f} | {more99 / p99:.2f} |"
        )
    print(f"\nthe goal is at most {_GOAL}")


async def _measured(path: Path, rows: int) -> dict[str, tuple[float, float]]:
    """By search: median and 99th percentile, milliseconds."""
    began = time.perf_counter()
    database = Database(f"sqlite:///{path}")
    org, apps = await asyncio.to_thread(_built, database, path, rows)
    print(f"{rows:,} rows: built in {time.perf_counter() - began:.0f} s", flush=True)
    reader = Person(id=UserId(""), email="", name="", org_id=org, permissions=EVERY_PERMISSION)
    turn = random.Random(1)  # noqa: S311 - not about secrets

    async def search(app: AppId | None, **labels: int) -> float:
        """The newest logs before some moment, of this app or all, with these labels."""
        wanted = Search(
            from_us=_BEGIN_US,
            to_us=_BEGIN_US + turn.randrange(_SPAN_US // 10, _SPAN_US),
            facets=tuple((label_facet(name), f"{name}-{value}") for name, value in labels.items()),
        )
        of, page = [] if app is None else [app], Page(limit=50)
        began = time.perf_counter()
        await database.read(logs.list_logs, reader, wanted, of, page, _BEGIN_US + _SPAN_US)
        return 1_000 * (time.perf_counter() - began)

    taken: dict[str, list[float]] = {}
    for _ in range(_SEARCHES):
        app, team, customer = turn.choice(apps), turn.randrange(_TEAMS), turn.randrange(_CUSTOMERS)
        for name, took in (
            ("time", await search(None)),
            ("app and time", await search(app)),
            ("common label and time", await search(None, team=team)),
            ("rare label and time", await search(None, customer=customer)),
            ("both labels and time", await search(None, team=team, customer=customer)),
            ("common label, app and time", await search(app, team=team)),
        ):
            taken.setdefault(name, []).append(took)
    database.close()
    cuts = {name: quantiles(all_, n=100) for name, all_ in taken.items()}
    return {name: (cut[49], cut[98]) for name, cut in cuts.items()}


def _built(database: Database, path: Path, rows: int) -> tuple[OrgId, list[AppId]]:
    """An organisation with apps and so many rows, every second one with labels."""

    def tenant(db: Connection) -> tuple[OrgId, list[AppId]]:
        org = make_org(db)
        return org, [make_app(db, org, f"app-{number}") for number in range(_APPS)]

    migrate(database, _BEGIN_US)
    org, apps = database.write_here(tenant)
    first = batch([(0, entry(org_id=org, app_id=apps[0]))], JOURNAL)
    database.write_here(lambda db: fold(db, first, _BEGIN_US))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA synchronous = OFF")
        columns = [row[1] for row in db.execute("PRAGMA table_info(ledger)")]
        values = [_VALUES.get(name, name).format(rows=rows, **_OF) for name in columns]
        statements = _ROWS.format(columns=", ".join(columns), values=", ".join(values), rows=rows)
        for statement in statements.split(";"):
            db.execute(statement)
        for name, of in _OF.items():
            db.execute(_FACETS.format(name=name, of=of))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return org, apps


if __name__ == "__main__":
    main()
