"""The operator's own metrics: what there is to say of this process, and of what all of them share.

Owns names, labels, units and sentences, as docs/operations.md lists them, and where each value is
taken from; does not own how they are written (`exposition.py`) or who may ask (`web/`). They bear no
tenant's name, but for those of `BY_ORG`, which are told only where they are asked for. Each name has
PREFIX, which no metric of a tenant has.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tollway import __version__
from tollway.domain.clock import US_PER_S
from tollway.domain.destination import DestinationKind
from tollway.domain.limit import Kind
from tollway.domain.money import NANO_PER_USD
from tollway.domain.traffic import Histogram, Traffic
from tollway.store.gauges import NEW, Installation, Pushed

PREFIX = "tollway_gateway_"

KINDS: Sequence[str] = get_args(DestinationKind)
STATES = ("ok", "retrying", "refused", NEW)

_VENDOR_ERROR = "vendor_"
"""How the codes of what a vendor did wrong begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One moment's view. `installation` is None while the database does not answer.

    `read_s` is how long it took to answer. Sizes are bytes, `in_hand` is in whole units by kind.
    """

    now_us: int
    process: str
    traffic: Traffic
    journal_bytes: int
    journal_max_bytes: int
    journal_segments: int
    journal_open: int
    journal_unwritten: int
    journal_is_troubled: bool
    journal_is_damaged: bool
    syncs: int
    failed_syncs: int
    sync_s: float
    waiting_records: int
    waiting_bytes: int
    lag_us: int
    folded_rows: int
    unreadable_journals: int
    refusals: Counter[str]
    orders: int
    failed_orders: int
    organisations: int
    in_hand: Counter[Kind]
    limits_are_troubled: bool
    installation: Installation | None
    read_s: float


Value = tuple[tuple[str, ...], float]
"""Values of the labels, and the number."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name without PREFIX, the names of its labels, and where its values come from."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...]
    values: Callable[[Seen], Iterable[Value]]


@dataclass(frozen=True, slots=True)
class Distribution:
    """The same, of histograms; in seconds."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Callable[[Seen], Iterable[tuple[tuple[str, ...], Histogram]]]


def _gauge(name: str, help_: str, value: Callable[[Seen], float]) -> Metric:
    return Metric(name, "gauge", help_, (), lambda seen: [((), value(seen))])


def _counter(name: str, help_: str, value: Callable[[Seen], float]) -> Metric:
    return Metric(name, "counter", help_, (), lambda seen: [((), value(seen))])


def _requests(seen: Seen) -> Iterable[Value]:
    """2xx, 4xx and 5xx are there from the start, so that a first one is seen as a rise."""
    return [
        ((route, f"{class_}xx"), count)
        for route, each in seen.traffic.passages.items()
        for class_, count in enumerate(each.answered)
        if count or class_ in (2, 4, 5)
    ]


def _vendor_calls(seen: Seen) -> Iterable[Value]:
    calls: Counter[str] = Counter()
    for (vendor, _, _), count in seen.traffic.vendor_calls.items():
        calls[vendor] += count
    return [((vendor,), count) for vendor, count in calls.items()]


def _vendor_errors(seen: Seen) -> Iterable[Value]:
    return [
        ((vendor, code, str(status)), count)
        for (vendor, status, code), count in seen.traffic.vendor_calls.items()
        if code is not None and code.startswith(_VENDOR_ERROR)
    ]


def _by_state(value: Callable[[Pushed, int], float]) -> Callable[[Seen], Iterable[Value]]:
    """Of each kind and state, 0 where there is no such receiver; nothing without the database."""

    def values(seen: Seen) -> Iterable[Value]:
        if seen.installation is None:
            return []
        told = {(kind, state): 0.0 for kind in KINDS for state in STATES}
        told.update(((each.kind, each.state), value(each, seen.now_us)) for each in seen.installation.pushed)
        return list(told.items())

    return values


def _by_org(value: Callable[[Pushed, int], float]) -> Callable[[Seen], Iterable[Value]]:
    def values(seen: Seen) -> Iterable[Value]:
        each_one = seen.installation.pushed_by_org if seen.installation else ()
        return [((each.org or "", each.kind, each.state), value(each, seen.now_us)) for each in each_one]

    return values


def _dropped(seen: Seen) -> Iterable[Value]:
    if seen.installation is None:
        return []
    dropped: Counter[tuple[str, ...]] = Counter(
        {(kind, reason): 0 for kind in KINDS for reason in ("refused", "too_old")}
    )
    for each in seen.installation.pushed:
        dropped[each.kind, "refused"] += each.refused
        dropped[each.kind, "too_old"] += each.too_old
    return list(dropped.items())


def _letters(seen: Seen) -> Iterable[Value]:
    if seen.installation is None:
        return []
    each = seen.installation
    return [(("waiting",), each.letters_waiting), (("given_up",), each.letters_given_up)]


def _lag_s(each: Pushed, now_us: int) -> float:
    return 0.0 if each.since_us is None else max(0, now_us - each.since_us) / US_PER_S


METRICS: Sequence[Metric | Distribution] = (
    Metric(
        "build_info",
        "gauge",
        "1; `process` is the id of the process's journal, as `tollway journal list` shows it.",
        ("version", "process"),
        lambda seen: [((__version__, seen.process), 1)],
    ),
    Metric(
        "requests_total",
        "counter",
        "Requests that ended, by route (`chat`, `models`, `control`: all others) and class of HTTP status.",
        ("route", "status"),
        _requests,
    ),
    Metric(
        "requests_in_flight",
        "gauge",
        "Requests that have begun and not ended.",
        ("route",),
        lambda seen: [((route,), each.in_flight) for route, each in seen.traffic.passages.items()],
    ),
    Distribution(
        "request_duration_seconds",
        "From a request's head to the end of its answer, the vendor's time included.",
        ("route",),
        lambda seen: [((route,), each.duration) for route, each in seen.traffic.passages.items()],
    ),
    Distribution(
        "overhead_seconds",
        "From a chat request's last byte to the vendor being asked: what Tollway itself adds.",
        (),
        lambda seen: [((), seen.traffic.overhead)],
    ),
    Metric(
        "vendor_calls_total", "counter", "Calls to a vendor that ended, however.", ("vendor",), _vendor_calls
    ),
    Metric(
        "vendor_errors_total",
        "counter",
        "Calls that a vendor failed or refused, by our error code; `status` is what the client got.",
        ("vendor", "code", "status"),
        _vendor_errors,
    ),
    _gauge("journal_size_bytes", "What this process's journal takes.", lambda seen: seen.journal_bytes),
    _gauge("journal_max_bytes", "What this process's journal may take.", lambda seen: seen.journal_max_bytes),
    _gauge("journal_segments", "Files of this process's journal.", lambda seen: seen.journal_segments),
    _gauge("journal_open_calls", "Calls that have started and not ended.", lambda seen: seen.journal_open),
    _gauge(
        "journal_unwritten_ends",
        "Ends of calls that no disk took yet; a stop of the process loses them.",
        lambda seen: seen.journal_unwritten,
    ),
    _gauge(
        "journal_trouble",
        "1 while calls cannot be recorded and new ones are refused.",
        lambda seen: seen.journal_is_troubled,
    ),
    _gauge(
        "journal_damaged",
        "1 if some of this process's journal cannot be read back.",
        lambda seen: seen.journal_is_damaged,
    ),
    _counter(
        "journal_syncs_total", "Synchronisations of the journal with the disk.", lambda seen: seen.syncs
    ),
    _counter(
        "journal_sync_failures_total",
        "Synchronisations of the journal that failed.",
        lambda seen: seen.failed_syncs,
    ),
    _counter(
        "journal_sync_seconds_total",
        "What synchronisations of the journal took in all.",
        lambda seen: seen.sync_s,
    ),
    _gauge(
        "fold_waiting_records",
        "Records of the journal that are not in the ledger yet; starts of open calls are among them.",
        lambda seen: seen.waiting_records,
    ),
    _gauge(
        "fold_waiting_bytes",
        "What the records take that are not in the ledger yet.",
        lambda seen: seen.waiting_bytes,
    ),
    _gauge(
        "fold_lag_seconds",
        "How long the oldest ended call has waited to be stored.",
        lambda seen: seen.lag_us / US_PER_S,
    ),
    _counter(
        "folded_rows_total", "Rows that this process brought into the ledger.", lambda seen: seen.folded_rows
    ),
    _gauge(
        "unreadable_journals",
        "Journals of dead processes on this disk that cannot be read.",
        lambda seen: seen.unreadable_journals,
    ),
    Metric(
        "limit_refusals_total",
        "counter",
        "Calls that limits refused, by the error's code.",
        ("code",),
        lambda seen: [((code,), count) for code, count in seen.refusals.items()],
    ),
    _gauge(
        "limit_trouble",
        "1 while limits do without the database.",
        lambda seen: seen.limits_are_troubled,
    ),
    _counter(
        "lease_orders_total",
        "Orders to the database to lend some of a limit, or to take it back.",
        lambda seen: seen.orders,
    ),
    _counter(
        "lease_order_failures_total",
        "Orders that were not answered, or not carried out.",
        lambda seen: seen.failed_orders,
    ),
    _gauge(
        "lease_organisations",
        "Organisations of whose limits this process has something.",
        lambda seen: seen.organisations,
    ),
    _gauge(
        "lease_requests",
        "Requests of this minute that this process may let through without asking the database.",
        lambda seen: seen.in_hand[Kind.REQUESTS],
    ),
    Metric(
        "lease_tokens",
        "gauge",
        "Tokens that it may let through: of this minute (`tokens`), of the plan (`plan`).",
        ("limit",),
        lambda seen: [((kind,), seen.in_hand[kind]) for kind in (Kind.TOKENS, Kind.PLAN)],
    ),
    Metric(
        "lease_usd",
        "gauge",
        "Dollars that it may let through: of spending limits (`spend`), of trials (`trial`).",
        ("limit",),
        lambda seen: [((kind,), seen.in_hand[kind] / NANO_PER_USD) for kind in (Kind.SPEND, Kind.TRIAL)],
    ),
    _gauge(
        "database_up",
        "1 if the database answered this scrape in time; else the metrics below are left out.",
        lambda seen: seen.installation is not None,
    ),
    Metric(
        "database_read_seconds",
        "gauge",
        "How long the database took to answer this scrape.",
        (),
        lambda seen: [((), seen.read_s)] if seen.installation else [],
    ),
    Metric(
        "open_journals",
        "gauge",
        "Processes of all machines that live, or died and are not folded yet.",
        (),
        lambda seen: [((), seen.installation.open_journals)] if seen.installation else [],
    ),
    Metric(
        "letters",
        "gauge",
        "Letters that wait to be mailed, and those that were given up within 30 days (`given_up`).",
        ("state",),
        _letters,
    ),
    Metric(
        "push_receivers",
        "gauge",
        "Receivers by kind (`prom`, `loki`) and state (`new`: nothing was pushed yet).",
        ("kind", "state"),
        _by_state(lambda each, _: each.count),
    ),
    Metric(
        "push_lag_seconds",
        "gauge",
        "Since the last success, of the receiver for which that is longest.",
        ("kind", "state"),
        _by_state(_lag_s),
    ),
    Metric(
        "push_lag_rows",
        "gauge",
        "Rows of the ledger that are not lines yet, of all these receivers; samples have no backlog.",
        ("kind", "state"),
        _by_state(lambda each, _: each.behind_rows),
    ),
    Metric(
        "push_dropped",
        "gauge",
        "Lines, or pictures, that were given up, of receivers as they are now: `refused` for their content, "
        "or `too_old` to be taken. It falls when a receiver is removed.",
        ("kind", "reason"),
        _dropped,
    ),
)

BY_ORG: Sequence[Metric] = (
    Metric(
        "org_push_lag_seconds",
        "gauge",
        "Since the last success of one organisation's receiver.",
        ("org", "kind", "state"),
        _by_org(_lag_s),
    ),
    Metric(
        "org_push_lag_rows",
        "gauge",
        "Rows of one organisation that are not lines yet.",
        ("org", "kind", "state"),
        _by_org(lambda each, _: each.behind_rows),
    ),
    Metric(
        "org_push_dropped",
        "gauge",
        "Lines, or pictures, of one organisation that were given up.",
        ("org", "kind", "state"),
        _by_org(lambda each, _: each.refused + each.too_old),
    ),
)
