"""A ledger made by real folds, with a row of every sort, and what an audit of it finds."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, Executable, Update, update

from tests.world.clock import NOON_US
from tests.world.entries import batch, entry, lost, make_org
from tollway.control.audit import Check, audit
from tollway.domain.ids import JournalId, OrgId, RequestId
from tollway.domain.ledger import NOTHING, Entry, Outcome
from tollway.domain.moment import us_of
from tollway.domain.price import Price, compile_price, cost_of, scaled, unpriced
from tollway.domain.usage import Unit, Usage
from tollway.store.database import Database
from tollway.store.schema import ledger
from tollway.store.usage import fold

OTHER = OrgId("org-2")
APRIL_US = us_of(datetime(2026, 4, 2, tzinfo=UTC))

CHEAP = compile_price(
    "list",
    {
        Unit.INPUT: ((-1, Fraction("0.000000375")), (1_000, Fraction("0.0000005"))),
        Unit.CACHE_READ: ((-1, Fraction("0.00000003333")),),
        Unit.OUTPUT: ((-1, Fraction("0.0000015001")),),
        Unit.REQUEST: ((-1, Fraction("0.005")),),
    },
)
DEAR = compile_price(
    "list", {Unit.INPUT: ((-1, Fraction(3, 10**6)),), Unit.OUTPUT: ((-1, Fraction(9, 10**6)),)}
)
MARKED_UP = scaled(CHEAP, Decimal("1.2"))
UNPRICED = unpriced("new/model")
PRICES = (CHEAP, DEAR, MARKED_UP, UNPRICED)

UNITS = {Unit.REQUEST: 1, Unit.CACHE_READ: 1_023, Unit.INPUT: 87, Unit.OUTPUT: 25}


def priced(
    org: OrgId,
    name: str,
    *,
    price: Price = CHEAP,
    benchmark: Price | None = None,
    units: Usage = UNITS,
    **changes: object,
) -> Entry:
    """A call of `UNITS` at a price; its vendor asks the cheap one."""
    return entry(
        org_id=org,
        request_id=RequestId(f"{name} of {org}"),
        units=units,
        cost=cost_of(units, price),
        vendor_cost=cost_of(units, UNPRICED if price is UNPRICED else CHEAP),
        benchmark_model="demo/large" if benchmark else None,
        benchmark=cost_of(units, benchmark) if benchmark else None,
        **changes,
    )


def every_sort(org: OrgId) -> list[Entry]:
    """Entries that become nine rows of two months; the fourth's end turns up as the sixth."""
    late = priced(org, "request-4", ended_us=APRIL_US)
    return [
        priced(org, "request-1", benchmark=DEAR, streamed=True, first_token_us=250_000),
        priced(org, "request-2", price=MARKED_UP, rate_card="card-1"),
        entry(
            org_id=org,
            request_id=RequestId(f"request-3 of {org}"),
            outcome=Outcome.FAILED,
            status=429,
            units={},
            cost=NOTHING,
            vendor_cost=NOTHING,
            benchmark_model="demo/large",
            benchmark=NOTHING,
        ),
        lost(replace(late, ended_us=NOON_US)),
        priced(org, "request-5", price=UNPRICED, model="new/model"),
        late,
        lost(priced(org, "request-7", ended_us=APRIL_US)),
        priced(org, "request-8", final=False, status=502, ended_us=APRIL_US),
        priced(org, "request-8", attempt=2, units={Unit.INPUT: 1_001}, benchmark=DEAR, ended_us=APRIL_US),
    ]


def folded(database: Database, entries: Sequence[Entry], journal: str = "journal-1", first: int = 0) -> None:
    """Fold these, with the prices that they name."""
    moved = batch(list(enumerate(entries, first)), JournalId(journal), PRICES)
    assert database.write_here(lambda db: fold(db, moved, NOON_US)) == first + len(entries)


def tamper(database: Database, *statements: Executable) -> None:
    """Do to the database what no code of ours does; each statement changes something."""

    def work(db: Connection) -> None:
        for statement in statements:
            assert db.execute(statement).rowcount != 0  # -1 of an insert whose rows nobody counts

    database.write_here(work)


async def audited(database: Database, only: OrgId | None = None) -> dict[str, Check]:
    """Every organisation's finished audit."""
    return {check.org: check async for check in audit(database, only) if check.is_done}


async def named(database: Database, org: OrgId) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Where and what one organisation's differences are, each with what was expected and found."""
    found = (await audited(database, org))[org].differences
    return {(one.where.partition(" (")[0], one.what): (one.expected, one.found) for one in found}


def row_is(org: OrgId, seq: int, /, **values: object) -> Update:
    """A statement that changes one row of the ledger."""
    return update(ledger).where(ledger.c.org_id == org, ledger.c.seq == seq).values(**values)


def ledgers_of_two(database: Database) -> OrgId:
    """An organisation with a ledger of every sort of row; another one, OTHER, has the same."""
    made = database.write_here(make_org)
    folded(database, every_sort(made), "journal-1")
    folded(database, every_sort(OTHER), "journal-2")
    return made
