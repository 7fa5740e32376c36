"""Any batches in any order, compared after each with a plain model of what the ledger promises."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.folds import check, moved, numbered, position, series_of
from tests.world.clock import NOON_US
from tests.world.entries import cost, entry, lost
from tollway.domain.clock import US_PER_S, next_month_start_us
from tollway.domain.ids import JournalId, OrgId, RequestId, new_id
from tollway.domain.ledger import Batch, Entry, EntryKind, Outcome
from tollway.domain.usage import Unit
from tollway.store.database import Database

ORGS = [OrgId("a"), OrgId("b")]
EDGE_US = next_month_start_us(NOON_US)
BEGUN_US = EDGE_US - US_PER_S


class Step(NamedTuple):
    """A batch as a folder may send it: `gaps[i]` records that become no row before entry i."""

    journal: int
    first: int
    gaps: Sequence[int]
    entries: Sequence[Entry]


@dataclass
class Model:
    """The ledger as a list."""

    positions: dict[JournalId, int] = field(default_factory=dict)
    rows: list[Entry] = field(default_factory=list)

    def fold(self, batch: Batch) -> int:
        at = self.positions.setdefault(batch.journal, 0)
        if batch.first <= at < batch.upto:
            for offset, each in batch.entries:
                if offset >= at:
                    self._add(each)
            self.positions[batch.journal] = batch.upto
        return self.positions[batch.journal]

    def _add(self, each: Entry) -> None:
        same = [row for row in self.rows if row.org_id == each.org_id and row.key == each.key]
        if not same:
            self.rows.append(each)
        elif each.is_known and not any(row.is_known for row in same):
            late = {"kind": EntryKind.CORRECTION, "outcome": Outcome.CORRECTION}
            self.rows.append(msgspec.structs.replace(each, **late))


@st.composite
def told(draw: st.DrawFn) -> Entry:
    """What a journal says of one of few calls: an end, or that there is none. Two orgs share ids."""
    org = draw(st.integers(0, 1))
    paid = cost(draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6)))
    end = entry(
        request_id=RequestId(f"request {draw(st.integers(0, 3))}"),
        attempt=draw(st.integers(1, 2)),
        final=draw(st.booleans()),
        org_id=ORGS[org],
        app=draw(st.sampled_from(["one", "two"])),
        units=draw(st.dictionaries(st.sampled_from(Unit), st.integers(0, 1000), max_size=3)),
        cost=paid,
        benchmark=draw(st.none() | st.just(cost(7, 7))),
        started_us=BEGUN_US,
        # The odd microsecond keeps organisations apart where the database does not.
        ended_us=EDGE_US + draw(st.integers(-5, 5)) * 2 + org,
    )
    return lost(end, held=draw(st.integers(0, 10**6))) if draw(st.booleans()) else end


steps = st.lists(
    st.builds(
        Step,
        journal=st.integers(0, 1),
        first=st.integers(0, 8),
        gaps=st.lists(st.integers(0, 2), min_size=6, max_size=6),
        entries=st.lists(told(), max_size=5),
    ),
    max_size=8,
)


def own(each: Entry, example: str) -> Entry:
    """The same call of the same organisation as only this example has them."""
    names = {"org_id": each.org_id + example, "request_id": each.request_id + example}
    return msgspec.structs.replace(each, **names)


def batch_of(step: Step, example: str) -> Batch:
    records = []
    at = step.first
    for gap, each in zip(step.gaps, step.entries, strict=False):
        records.append((at + gap, own(each, example)))
        at += gap + 1
    upto = at + step.gaps[-1]
    journal = JournalId(f"{step.journal} {example}")
    return Batch(journal=journal, first=step.first, upto=upto, entries=records)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_after_any_batches_the_ledger_is_what_the_model_says(database: Database, taken: list[Step]) -> None:
    example = new_id(NOON_US)  # examples share a database, and must not meet in it
    model = Model()
    orgs = [OrgId(org + example) for org in ORGS]
    before = {org: dict[object, int]() for org in orgs}
    for step in taken:
        batch = batch_of(step, example)
        assert moved(database, batch) == model.fold(batch) == position(database, batch.journal)
        for org in orgs:
            assert check(database, org) == [row for row in model.rows if row.org_id == org]
            after = dict(series_of(database, org))
            assert all(after[series] >= value for series, value in before[org].items())
            before[org] = after


def rows_after(
    database: Database, said: Sequence[Entry], jumps: Sequence[tuple[int, int]]
) -> list[list[Entry]]:
    """The rows of both organisations after jumps to and fro, and then on from where it is told to."""
    example = new_id(NOON_US)
    records = numbered(own(each, example) for each in said)

    def send(first: int, upto: int) -> int:
        batch = Batch(journal=JournalId(example), first=first, upto=upto, entries=records[first:upto])
        return moved(database, batch)

    for first, length in jumps:
        send(first, min(first + length, len(said)))
    at = send(0, 1)
    while at < len(said):
        at = send(at, min(at + 4, len(said)))
    return [
        [msgspec.structs.replace(row, org_id=org, request_id=row.request_id[: -len(example)]) for row in rows]
        for org in ORGS
        for rows in [check(database, OrgId(org + example))]
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(told(), min_size=1, max_size=15),
    st.lists(st.tuples(st.integers(0, 15), st.integers(1, 8)), max_size=8),
)
def test_a_folder_that_repeats_and_reorders_its_batches_ends_where_an_orderly_one_does(
    database: Database, said: list[Entry], jumps: list[tuple[int, int]]
) -> None:
    orderly = rows_after(database, said, [])
    assert rows_after(database, said, jumps) == orderly
    assert any(orderly)
