"""The ledger entry: one attempt of one request, the fact that everything else derives from.

Owns what a row holds; does not own how it is kept (`metering/journal.py`, `store/usage.py`).
Entries are never changed: a refund, a late end or an adjustment is an entry of its own kind.
"""

from enum import StrEnum

import msgspec

from tollway.domain.ids import AppId, KeyId, OrgId, RequestId
from tollway.domain.money import Nano
from tollway.domain.price import Cost
from tollway.domain.usage import Unit


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
    """A call that is about to be made: who makes it, and where it goes."""

    request_id: RequestId
    attempt: int = 1
    org_id: OrgId
    app_id: AppId
    app: str
    key_id: KeyId
    provider: str
    model: str
    streamed: bool
    started_us: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row to be. Times in microseconds since the epoch, money in nano-dollars.

    `cost` is what the organisation is charged, `vendor_cost` what the vendor asks: the same,
    unless a rate card says otherwise. `benchmark` prices the same units on the app's benchmark
    model at the same time; without one it is None, and the savings are 0.
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


Record = tuple[int, Entry]
"""An entry and its offset in a journal: rising by one from 0."""

NOTHING = Cost(version="", by_unit={}, prompt=Nano(0), completion=Nano(0))
"""The cost of a call that consumed nothing."""
