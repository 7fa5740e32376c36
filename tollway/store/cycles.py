"""Billing cycles: which stretch of time an organisation's row is counted in.

A row belongs to the cycle of its end. A cycle is stored when the first row is counted in it, and
stays as it is from then on. Owns the table `cycles`; does not own the rule (`domain/cycle.py`)
or totals.
"""

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import Connection, bindparam, func, insert, select

from tollway.domain.clock import US_PER_S
from tollway.domain.cycle import Cycle, cycle_among
from tollway.domain.ids import OrgId
from tollway.store.database import all_orgs
from tollway.store.schema import cycle_totals, cycles

_OF_ORG = (
    select(cycles.c.start_us, cycles.c.end_us)
    .where(cycles.c.org_id == bindparam("org"))
    .order_by(cycles.c.start_us)
)
_began = cycles.alias()
_NEWEST_START = select(func.max(_began.c.start_us)).where(
    _began.c.org_id == bindparam("org"), _began.c.start_us <= bindparam("at_us")
)
_AROUND = _OF_ORG.where(
    cycles.c.start_us >= func.coalesce(_NEWEST_START.scalar_subquery(), bindparam("at_us"))
).limit(2)
"""The one that began last at a moment, and the next one: all that `cycle_among` looks at."""
_STORE = insert(cycles)
_NEAR_US = 40 * 86_400 * US_PER_S
"""A cycle that ended before that cuts no calendar month of now."""
_NEAR = (
    select(cycles.c.org_id, cycles.c.start_us, cycles.c.end_us)
    .where(cycles.c.org_id.in_(bindparam("wanted", expanding=True)), cycles.c.end_us > bindparam("near_us"))
    .order_by(cycles.c.start_us)
)
SPENT = cycle_totals.c.cost_prompt_nano + cycle_totals.c.cost_completion_nano
"""What was spent in a cycle, nano-dollars."""


class CountingCycles:
    """The cycles that rows are counted in, looked up once within a transaction.

    For one that has locked the organisations' totals: two at once would store a cycle twice.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._found: defaultdict[OrgId, list[Cycle]] = defaultdict(list)

    def start_us(self, org: OrgId, at_us: int) -> int:
        """The start of the cycle of `org` that holds this moment; it is stored if it was not."""
        for cycle in self._found[org]:
            if cycle.start_us <= at_us < cycle.end_us:
                return cycle.start_us
        stored = _around(self._db, org, at_us)
        cycle = cycle_among(stored, at_us)
        if cycle.start_us not in [each.start_us for each in stored]:
            values = {"org_id": org, "start_us": cycle.start_us, "end_us": cycle.end_us}
            self._db.execute(_STORE, values)
        self._found[org].append(cycle)
        return cycle.start_us


def current_cycle(db: Connection, org: OrgId, now_us: int) -> Cycle:
    """The cycle that holds this moment, stored or not; nothing is written."""
    return cycle_among(_around(db, org, now_us), now_us)


@all_orgs
def current_cycles(db: Connection, wanted: Collection[OrgId], now_us: int) -> dict[OrgId, Cycle]:
    """The same of many, in one query."""
    stored: defaultdict[str, list[Cycle]] = defaultdict(list)
    for row in db.execute(_NEAR, {"wanted": list(wanted), "near_us": now_us - _NEAR_US}):
        stored[row.org_id].append(Cycle(start_us=row.start_us, end_us=row.end_us))
    of_new = cycle_among([], now_us)
    return {org: cycle_among(stored[org], now_us) if org in stored else of_new for org in wanted}


def stored_cycles(db: Connection, org: OrgId) -> list[Cycle]:
    """Those that are stored, oldest first; a dozen a year or so."""
    return [Cycle(start_us=row.start_us, end_us=row.end_us) for row in db.execute(_OF_ORG, {"org": org})]


def _around(db: Connection, org: OrgId, at_us: int) -> list[Cycle]:
    rows = db.execute(_AROUND, {"org": org, "at_us": at_us})
    return [Cycle(start_us=row.start_us, end_us=row.end_us) for row in rows]
