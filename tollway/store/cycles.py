"""Billing cycles: which stretch of time an organisation's row is counted in.

A row belongs to the cycle of its end. A cycle is stored when the first row is counted in it, and
stays as it is from then on. Owns the table `cycles`; does not own the rule (`domain/cycle.py`)
or totals.
"""

from collections import defaultdict

from sqlalchemy import Connection, Select, insert, select

from tollway.domain.cycle import Cycle, cycle_among
from tollway.domain.ids import OrgId
from tollway.store.schema import cycles


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
        before = _first(self._db, _before(org, at_us))
        cycle = cycle_among(before + _first(self._db, _after(org, at_us)), at_us)
        if not before or before[0].start_us != cycle.start_us:
            values = {"org_id": org, "start_us": cycle.start_us, "end_us": cycle.end_us}
            self._db.execute(insert(cycles).values(values))
        self._found[org].append(cycle)
        return cycle.start_us


def current_cycle(db: Connection, org: OrgId, now_us: int) -> Cycle:
    """The cycle that holds this moment, stored or not; nothing is written."""
    return cycle_among(_first(db, _before(org, now_us)) + _first(db, _after(org, now_us)), now_us)


def stored_cycles(db: Connection, org: OrgId) -> list[Cycle]:
    """Those that are stored, oldest first; a dozen a year or so."""
    return _cycles(db, _of(org).order_by(cycles.c.start_us))


def _of(org: OrgId) -> Select[tuple[int, int]]:
    return select(cycles.c.start_us, cycles.c.end_us).where(cycles.c.org_id == org)


def _before(org: OrgId, at_us: int) -> Select[tuple[int, int]]:
    return _of(org).where(cycles.c.start_us <= at_us).order_by(cycles.c.start_us.desc())


def _after(org: OrgId, at_us: int) -> Select[tuple[int, int]]:
    return _of(org).where(cycles.c.start_us > at_us).order_by(cycles.c.start_us)


def _first(db: Connection, query: Select[tuple[int, int]]) -> list[Cycle]:
    """The first that the query finds, or none."""
    return _cycles(db, query.limit(1))


def _cycles(db: Connection, query: Select[tuple[int, int]]) -> list[Cycle]:
    return [Cycle(start_us=row.start_us, end_us=row.end_us) for row in db.execute(query)]
