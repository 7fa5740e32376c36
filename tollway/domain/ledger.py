"""The ledger entry: one attempt of one request, the fact that everything else derives from.

Owns what a row holds; does not own how it is kept (`metering/journal.py`, `store/usage.py`).
Entries are never changed: a refund, a late end or an adjustment is an entry of its own kind.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from tollway.domain.body import BodyPiece
from tollway.domain.ids import AppId, JournalId, KeyId, OrgId, RequestId
from tollway.domain.money import Nano
from tollway.domain.price import Cost, Price
from tollway.domain.refusal import Refused
from tollway.domain.usage import Unit, total_tokens


class EntryKind(StrEnum):
    """Why the entry exists."""

    USAGE = "usage"
    CORRECTION = "correction"
    """Settles or amends the entry that has the same request id and attempt."""


class Outcome(StrEnum):
    """How the attempt ended, as far as money is concerned."""

    SETTLED = "settled"
    """The vendor reported its usage."""
    ESTIMATED = "estimated"
    """The call was answered, but its usage had to be counted by us."""
    FAILED = "failed"
    """Not answered in full; it costs what the vendor reported, else nothing."""
    UNSETTLED = "unsettled"
    """Its end is not known: the process died. The cost is null."""
    CORRECTION = "correction"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is about to be made: who makes it, where it goes, and what it may cost at most."""

    request_id: RequestId
    attempt: int = 1
    org_id: OrgId
    app_id: AppId
    app: str
    key_id: KeyId
    provider: str
    model: str
    streamed: bool
    end_user: str | None = None
    labels: dict[str, str] = {}
    is_private: bool = False
    """Whether it makes a row, but no log (privacy level 3)."""
    held: Nano = Nano(0)
    """The most that it may cost, in nano-dollars; held against the limit if its end is never known."""
    held_tokens: int = 0
    """The most that it may consume, likewise."""
    leased: int = 0
    """The leases that this was taken from (`limit.Leased`)."""
    funding: str | None = None
    started_us: int

    @property
    def key(self) -> tuple[RequestId, int]:
        """What names the attempt."""
        return self.request_id, self.attempt


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row to be. Times in microseconds since the epoch, money in nano-dollars.

    `cost` is what the organisation is charged, `vendor_cost` what the vendor asks: the same,
    unless a rate card says otherwise. `benchmark` prices the same units on the app's benchmark
    model at the same time; without one it is None, and the savings are 0. Where the outcome is
    `unsettled` nothing of this is known, and the row's columns are null.
    """

    request_id: RequestId
    attempt: int = 1
    final: bool = True
    kind: EntryKind = EntryKind.USAGE
    outcome: Outcome
    status: int
    error_code: str | None = None

    org_id: OrgId
    app_id: AppId
    app: str
    key_id: KeyId
    provider: str
    model: str
    service_tier: str | None = None
    streamed: bool = False
    end_user: str | None = None
    labels: dict[str, str] = {}
    is_private: bool = False
    """Whether it makes a row, but no log (privacy level 3); not a column."""
    funding: str | None = None

    units: dict[Unit, int] = {}
    cost: Cost
    vendor_cost: Cost
    rate_card: str | None = None
    benchmark_model: str | None = None
    benchmark: Cost | None = None

    started_us: int
    ended_us: int
    first_token_us: int | None = None
    """Microseconds from the start to the first token of a stream."""
    held: Nano | None = None
    """Of an unsettled attempt: the most that it may cost."""
    held_tokens: int | None = None
    """Likewise: the most that it may consume."""
    leased: int = 0
    """The leases that it is taken from (`limit.Leased`); not kept in the row."""
    overrun: bool = False
    """Whether it cost more than was reserved: the vendor exceeded the cap that it was sent."""

    @property
    def key(self) -> tuple[RequestId, int]:
        """What names the attempt."""
        return self.request_id, self.attempt

    @property
    def is_request(self) -> bool:
        """Whether it counts as a request: the attempt that answered, once."""
        return self.final and self.kind is EntryKind.USAGE

    @property
    def is_known(self) -> bool:
        """Whether what it cost is known."""
        return self.outcome is not Outcome.UNSETTLED

    @property
    def charged(self) -> int:
        """What it takes from limits in dollars: its cost, or what is held while that is not known."""
        return self.cost.total if self.is_known else self.held or 0

    @property
    def consumed(self) -> int:
        """What it takes from limits in tokens: likewise."""
        return total_tokens(self.units) if self.is_known else self.held_tokens or 0

    @property
    def benchmark_cost(self) -> Cost:
        """What the units would have cost on the benchmark model; the cost itself without one."""
        return self.benchmark or self.cost

    @property
    def prompt_savings(self) -> Nano:
        """Benchmark cost minus cost of the prompt side; negative where the benchmark is cheaper."""
        return Nano(self.benchmark_cost.prompt - self.cost.prompt)

    @property
    def completion_savings(self) -> Nano:
        """The same of the completion side."""
        return Nano(self.benchmark_cost.completion - self.cost.completion)

    @property
    def savings(self) -> Nano:
        """The sum of both sides."""
        return Nano(self.prompt_savings + self.completion_savings)


Record = tuple[int, Entry]
"""An entry and its offset in a journal."""

NOTHING = Cost(version="", by_unit={}, prompt=Nano(0), completion=Nano(0))
"""The cost of a call that consumed nothing."""

UNSETTLED_STATUS = 500
UNSETTLED_CODE = "end_unknown"


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive records of one journal, at offsets from `first` up to but not including `upto`.

    Offsets that are not among `entries` belong to records that become no row.
    """

    journal: JournalId
    first: int
    upto: int
    entries: Sequence[Record] = ()
    prices: Sequence[Price] = ()
    """What entries of this batch, or of later ones, were priced at."""
    bodies: Sequence[BodyPiece] = ()
    refusals: Sequence[tuple[int, Refused]] = ()
    """Counts of refused calls, each with its offset: they become no row, and are added once."""


def unsettled(start: Start, now_us: int) -> Entry:
    """The entry of a call whose end will not be told: its process died before it wrote one."""
    return Entry(
        request_id=start.request_id,
        attempt=start.attempt,
        outcome=Outcome.UNSETTLED,
        status=UNSETTLED_STATUS,
        error_code=UNSETTLED_CODE,
        org_id=start.org_id,
        app_id=start.app_id,
        app=start.app,
        key_id=start.key_id,
        provider=start.provider,
        model=start.model,
        streamed=start.streamed,
        end_user=start.end_user,
        labels=start.labels,
        is_private=start.is_private,
        cost=NOTHING,
        vendor_cost=NOTHING,
        started_us=start.started_us,
        ended_us=max(now_us, start.started_us),
        held=start.held,
        held_tokens=start.held_tokens,
        leased=start.leased,
        funding=start.funding,
    )


def correction(late: Entry) -> Entry:
    """The entry that settles an unsettled one, made from the end that turned up late."""
    return msgspec.structs.replace(late, kind=EntryKind.CORRECTION, outcome=Outcome.CORRECTION)
