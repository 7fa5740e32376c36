"""The audit: does each organisation's ledger explain itself, to the nano-dollar?

Every cost is worked out again from its units and its stored price version, every total is added
up again from the rows, and both are compared with what is stored; numbers must have no gaps, and
no attempt may be there twice. Owns the comparisons; does not own the reading
(`store/audit.py`). Bounded in memory, in short reads, so it may run beside anything.
"""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection

from tollway.domain.cycle import amounts, cycle_among
from tollway.domain.ids import OrgId
from tollway.domain.ledger import NOTHING, Entry, EntryKind
from tollway.domain.moment import iso
from tollway.domain.money import Nano
from tollway.domain.price import Cost, Price, cost_of
from tollway.domain.series import increments, place_of
from tollway.domain.standing import TRIAL_FUNDING
from tollway.domain.usage import completion_tokens, prompt_tokens
from tollway.store.audit import AuditedRow, SeriesKey, Totals, next_org, read_page, read_totals
from tollway.store.database import Database

ROWS_PER_PAGE = 500
SHOWN_PER_ORG = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it should be. Money in nano-dollars, times in microseconds."""

    where: str
    what: str
    expected: int | str | None
    found: int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfolded:
    """What is metered and not in the ledger yet; it is in no total either."""

    rows: int
    cost: Nano


def unfolded_of(entries: Iterable[Entry]) -> dict[OrgId, Unfolded]:
    """Count and cost of what journals still hold, by organisation."""
    rows: Counter[OrgId] = Counter()
    costs: Counter[OrgId] = Counter()
    for entry in entries:
        rows[entry.org_id] += 1
        costs[entry.org_id] += entry.cost.total
    return {org: Unfolded(rows=rows[org], cost=Nano(costs[org])) for org in sorted(rows)}


async def audit(database: Database, only: OrgId | None = None) -> AsyncIterator["Check"]:
    """Check every organisation, or one; yields the running check after each page of its rows."""
    org = only or await database.read(next_org, "")
    while org is not None:
        check = Check(org, await database.read(read_totals, org))
        while not check.is_done:
            await database.read(check.turn_page)
            yield check
        org = None if only else await database.read(next_org, org)


class Check:
    """One organisation's audit, as far as it has come. Of its differences the first few are kept."""

    def __init__(self, org: OrgId, totals: Totals) -> None:
        self.org = org
        self.org_name = totals.org_name
        self.rows = 0
        self.num_differences = 0
        self.differences: list[Difference] = []
        self.is_done = False
        self._totals = totals
        self._cursor: tuple[int, int] | None = None
        self._last_seq = 0
        self._by_cycle: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._by_series: Counter[SeriesKey] = Counter()
        self._places = {(app, model, provider) for app, model, provider, *_ in totals.by_series}
        self._by_spender: Counter[tuple[str, int]] = Counter()
        self._trial = 0

    def turn_page(self, db: Connection) -> None:
        """Check the next rows; after the last ones, the totals."""
        upto = self._totals.last_seq
        page = read_page(db, self.org, after=self._cursor, upto=upto, limit=ROWS_PER_PAGE)
        for row in page.rows:
            self._check_row(row, page.prices)
            self._cursor = row.seq, row.ended_us
        self.rows += len(page.rows)
        if len(page.rows) < ROWS_PER_PAGE:
            self._check_totals()
            self.is_done = True

    def _compare(self, where: str, what: str, expected: int | str | None, found: int | str | None) -> None:
        if expected == found:
            return
        self.num_differences += 1
        if len(self.differences) < SHOWN_PER_ORG:
            self.differences.append(Difference(where=where, what=what, expected=expected, found=found))

    def _check_row(self, row: AuditedRow, prices: Mapping[str, Price]) -> None:
        where = f"row {row.seq} (request {row.request_id}, attempt {row.attempt})"
        self._check_seq(row.seq, where)
        entry = row.entry
        if entry is None:
            self._compare(where, "row", "one that can be read", row.fault)
            return
        self._compare(where, "prompt_tokens", prompt_tokens(entry.units), row.prompt_tokens)
        self._compare(where, "completion_tokens", completion_tokens(entry.units), row.completion_tokens)
        expected = "known" if entry.is_known else "not known"
        self._compare(where, "cost", expected, "known" if row.has_cost else "not known")
        if row.has_cost:
            self._check_cost(where, "price_version", "cost", entry.cost, entry, prices)
            self._check_cost(where, "vendor_price_version", "vendor_cost", entry.vendor_cost, entry, prices)
        if entry.benchmark is not None:
            self._check_cost(where, "benchmark_price_version", "benchmark", entry.benchmark, entry, prices)
        self._check_earlier(row, entry, where)
        self._add(entry)

    def _check_seq(self, seq: int, where: str) -> None:
        """Numbers rise by one."""
        self._compare_missing(self._last_seq, seq)
        if seq <= self._last_seq:
            self._compare(where, "seq", self._last_seq + 1, seq)
        self._last_seq = max(seq, self._last_seq)

    def _compare_missing(self, seq: int, following: int) -> None:
        missing = following - seq - 1
        if missing > 0:
            span = f"row {seq + 1}" if missing == 1 else f"rows {seq + 1} to {following - 1}"
            self._compare(span, "number of rows", missing, 0)

    def _check_cost(
        self, where: str, version: str, name: str, cost: Cost, entry: Entry, prices: Mapping[str, Price]
    ) -> None:
        """The same units at the same price cost the same again."""
        price = prices.get(cost.version)
        if not any(entry.units.values()):
            expected = NOTHING
        elif price is not None:
            expected = cost_of(entry.units, price)
        else:
            self._compare(where, version, "a price version that is stored", cost.version or None)
            self._compare(where, f"{name}_by_unit", cost.total, sum(cost.by_unit.values()))
            return
        self._compare(where, f"{name}_prompt_nano", expected.prompt, cost.prompt)
        self._compare(where, f"{name}_completion_nano", expected.completion, cost.completion)
        if expected.by_unit != cost.by_unit:
            self._compare(where, f"{name}_by_unit", json.dumps(expected.by_unit), json.dumps(cost.by_unit))

    def _check_earlier(self, row: AuditedRow, entry: Entry, where: str) -> None:
        """An attempt has one row, and one correction at most, of an end that was not known."""
        doubled = [earlier for earlier in row.earlier if earlier.kind == entry.kind]
        if doubled:
            self._compare(where, "row", "one for each attempt", f"the same attempt as row {doubled[0].seq}")
        elif entry.kind is EntryKind.CORRECTION:
            settled = [earlier for earlier in row.earlier if earlier.is_unsettled]
            self._compare(where, "unsettled rows that it corrects", 1, len(settled))
            for earlier in settled[:1]:
                held = {
                    "num_unsettled": -1,
                    "held_nano": -earlier.held_nano,
                    "held_tokens": -earlier.held_tokens,
                }
                self._by_cycle[self._cycle_start_us(earlier.ended_us)].update(held)
                self._spend(entry, earlier.ended_us, -earlier.held_nano)

    def _add(self, entry: Entry) -> None:
        self._by_cycle[self._cycle_start_us(entry.ended_us)].update(amounts(entry))
        self._spend(entry, entry.ended_us, entry.charged)
        for series, amount in increments(entry):
            place = place_of(series[:3], self._places)
            self._by_series[*place, series.metric, series.label] += amount

    def _spend(self, entry: Entry, ended_us: int, amount: int) -> None:
        for spender in (entry.app_id, entry.key_id):
            self._by_spender[spender, self._cycle_start_us(ended_us)] += amount
        self._trial += amount * (entry.funding == TRIAL_FUNDING)

    def _cycle_start_us(self, at_us: int) -> int:
        return cycle_among(self._totals.cycles, at_us).start_us

    def _check_totals(self) -> None:
        totals = self._totals
        self._compare_missing(self._last_seq, totals.seq + 1)
        if totals.seq < self._last_seq:
            self._compare("org_totals", "seq", self._last_seq, totals.seq)
        for cycle, following in pairwise(totals.cycles):
            end_us = min(cycle.end_us, following.start_us)
            self._compare(_cycle_named(cycle.start_us), "end_us", end_us, cycle.end_us)
        for start_us in sorted({*self._by_cycle, *totals.by_cycle}):
            where = _cycle_named(start_us)
            expected, found = self._by_cycle[start_us], totals.by_cycle.get(start_us, {})
            for name in sorted({*expected, *found}):
                self._compare(where, name, expected[name], found.get(name, 0))
        for spender, start_us in sorted({*self._by_spender, *totals.by_spender}):
            where = f"{_cycle_named(start_us)} of app or key {spender}"
            found_nano = totals.by_spender.get((spender, start_us), 0)
            self._compare(where, "cost_nano", self._by_spender[spender, start_us], found_nano)
        self._compare("org_totals", "trial_nano", self._trial, totals.trial_nano)
        for series in sorted({*self._by_series, *totals.by_series}):
            app, model, provider, metric, label = series
            where = f"series {app}, {model}, {provider}"
            value = totals.by_series.get(series, 0)
            self._compare(where, f"{metric} {label}".rstrip(), self._by_series[series], value)


def _cycle_named(start_us: int) -> str:
    try:
        return f"cycle {iso(start_us)}"
    except (OSError, OverflowError, ValueError):  # no time that a calendar has
        return f"cycle {start_us}"
