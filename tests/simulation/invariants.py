"""What must hold always, after each commit, and at the end; told through `History.violate`."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.simulation.calls import ORGS, Call, Key
from tests.simulation.disk import Folder
from tests.simulation.faults import Fault
from tollway.domain.ledger import Entry, EntryKind, Outcome, correction
from tollway.domain.series import increments
from tollway.domain.usage import completion_tokens, prompt_tokens
from tollway.metering.frames import frames, read_header
from tollway.store.journals import list_journals
from tollway.store.usage import StoredEntry, read_entries

if TYPE_CHECKING:
    from tests.simulation.history import History

_BROKEN: tuple[Fault, ...] = ("write_eio", "sync_eio", "add_eio")
_CYCLE = """
    SELECT org_id, cycle_start_us, num_requests, prompt_tokens, completion_tokens, cost_prompt_nano,
           cost_completion_nano, num_unsettled, held_nano
    FROM cycle_totals
"""
_REFUSED = "SELECT label, value FROM series_totals WHERE metric = 'refused'"


def check_always(history: "History") -> None:
    """Room for each end, bounds of memory and disk: of each journal that is being written."""
    for world in history.worlds:
        journal = world.journal
        if len(journal.open) != history.book.num_open[journal.id]:
            history.violate(f"{len(journal.open)} calls are open, not {history.book.num_open[journal.id]}")
        if journal.unwritten:
            if not any(history.faults.happened[fault] for fault in _BROKEN):
                history.violate("an admitted call has no room for its end")
            if journal.unwritten > len(history.book.ended[journal.id]):
                history.violate("more ends are kept than there were")
        folder = history.platter.folders.get(journal.id)
        if folder and sum(file.size for file in folder.files.values()) > history.plan.max_bytes:
            history.violate("a journal takes more than it may")


def check_commit(history: "History") -> None:
    """Rows are never changed or doubled; a journal's position never passes what has no row."""
    rows = {
        row[:2]: row
        for row in history.server.rows(
            "SELECT org_id, seq, request_id, attempt, kind, outcome, cost_prompt_nano, cost_completion_nano,"
            " held_nano, ended_us FROM ledger"
        )
    }
    if not history.seen_rows.items() <= rows.items():
        history.violate("rows were changed or removed")
    history.seen_rows = rows
    doubled = [key for key, count in Counter(row[2:5] for row in rows.values()).items() if count > 1]
    if doubled:
        history.violate(f"{doubled} have more than one row")
    for reason, count in history.server.rows(_REFUSED):
        if count != history.book.refusals[reason].count:
            history.violate(f"{reason} is counted {count} times: {history.book.refusals[reason]}")
    known = {row[2:4] for row in rows.values()}
    for journal, folded_to in history.server.rows("SELECT id, folded_to FROM journals"):
        if history.platter.has_failed(journal):
            continue
        for call in history.book.ended[journal]:
            is_passed = call.offset is not None and call.offset < folded_to
            is_safe = not (call.may_be_forgotten or call.is_lost)
            if is_passed and is_safe and call.start.key not in known:
                history.violate(f"{call.start.key} has no row, and its journal is folded beyond it")


def check_at_the_end(history: "History") -> None:
    """Every call has its explanation, and all totals agree with the rows."""
    rows: dict[Key, list[Entry]] = {}
    for org in ORGS:
        stored = history.server.transact_surely(read_entries, org, limit=10_000)
        _check_order(history, org, stored)
        for each in stored:
            rows.setdefault(each.entry.key, []).append(each.entry)
    for call in history.book.calls.values():
        _check_call(history, call, rows.pop(call.start.key, []))
    if rows:
        history.violate(f"{list(rows)} have rows and were never made")
    bodies = set(history.server.rows("SELECT request_id, attempt, part, at, data FROM bodies"))
    if not bodies <= history.book.bodies:
        history.violate("bodies are kept that nobody sent")
    counted = {reason for reason, _ in history.server.rows(_REFUSED)}
    for reason, refusal in history.book.refusals.items():
        if refusal.is_told and not refusal.is_lost and reason not in counted:
            history.violate(f"{reason} is not counted: {refusal}")
    _check_journals(history)
    _check_totals(history)


def _check_call(history: "History", call: Call, rows: list[Entry]) -> None:
    """Settled, unsettled, or unsettled and corrected; nothing only where a fault may cost it."""

    def violate(what: str) -> None:
        found = [f"{row.kind} {row.outcome}" for row in rows]
        history.violate(f"a call {what}: {call}; rows: {found}")

    usage = [row for row in rows if row.kind is EntryKind.USAGE]
    late = [row for row in rows if row.kind is EntryKind.CORRECTION]
    known = [row for row in rows if row.is_known]
    if len(usage) > 1 or len(late) > 1 or len(known) > 1:
        violate("is told more than once")
    if late and not usage:
        violate("is corrected without a row")
    for row in known:
        told = call.entry if row.kind is EntryKind.USAGE or call.entry is None else correction(call.entry)
        if row != told:
            violate("has a row that is not true")
        if row.outcome is Outcome.SETTLED and row.units != call.bill:
            violate("is settled otherwise than the vendor says")
    for row in usage:
        if not row.is_known and row.held != call.start.held:
            violate("holds another amount")
    if late and not call.has_verdict:
        violate("is corrected, and nobody had given it up")
    _check_explained(history, call, rows)


def _check_explained(history: "History", call: Call, rows: list[Entry]) -> None:
    """What must have a row has one, and what must be settled is."""
    if call.is_lost:
        return
    is_explained = call.is_admitted and (call.is_start_kept or not call.may_be_forgotten)
    is_settled = call.has_ended and (call.is_end_kept or not (call.may_be_forgotten or call.was_unwritten))
    if is_explained and not rows:
        history.violate(f"a call has no explanation: {call}")
    elif is_settled and not any(row.is_known for row in rows):
        history.violate(f"a call is not settled: {call}")


def _check_order(history: "History", org: str, rows: list[StoredEntry]) -> None:
    if [row.seq for row in rows] != list(range(1, len(rows) + 1)):
        history.violate(f"{org} has gaps in its rows")
    stored = [seq for id_, seq in history.server.rows("SELECT org_id, seq FROM org_totals") if id_ == org]
    if stored not in ([len(rows)], [] if not rows else None):
        history.violate(f"{org} has {len(rows)} rows, and {stored} are counted")


def _check_journals(history: "History") -> None:
    """Each journal of the dead is closed, unless nothing in it can be read."""
    states = {state.id: state for state in history.server.transact_surely(list_journals)}
    own = {world.journal.id for world in history.worlds}
    for journal, folder in history.platter.folders.items():
        if journal in own:
            continue
        state = states.get(journal)
        if (state is None or state.closed_us is None) and _is_readable(folder):
            history.violate(f"journal {journal} is not closed")


def _is_readable(folder: Folder) -> bool:
    salt = read_header(folder.note)[0].salt
    return any(found for file in folder.files.values() for found in frames(bytes(file.content), salt))


def _check_totals(history: "History") -> None:
    """Totals are the sums of the rows, whatever the order in which they came."""
    expected: dict[tuple[str, int], Counter[str]] = {}
    cycles: list[tuple[str, int, int]] = history.server.rows("SELECT org_id, start_us, end_us FROM cycles")
    series: Counter[tuple[Any, ...]] = Counter()
    names = ("requests", "prompt", "completion", "cost_prompt", "cost_completion", "unsettled", "held")

    def total(org: str, at_us: int) -> Counter[str]:
        found = [start for id_, start, end in cycles if id_ == org and start <= at_us < end]
        if len(found) != 1:
            history.violate(f"{org} has {len(found)} cycles at {at_us}")
        return expected.setdefault((org, found[0]), Counter())

    for org in ORGS:
        entries = [row.entry for row in history.server.transact_surely(read_entries, org, limit=10_000)]
        settled = {entry.key for entry in entries if entry.is_known}
        for entry in entries:
            is_held = not entry.is_known and entry.key not in settled
            total(org, entry.ended_us).update(
                requests=int(entry.final and entry.kind is EntryKind.USAGE),
                prompt=prompt_tokens(entry.units),
                completion=completion_tokens(entry.units),
                cost_prompt=entry.cost.prompt,
                cost_completion=entry.cost.completion,
                unsettled=int(is_held),
                held=(entry.held or 0) if is_held else 0,
            )
            for name, amount in increments(entry):
                series[org, *name] += amount
    found = {row[:2]: dict(zip(names, row[2:], strict=True)) for row in history.server.rows(_CYCLE)}
    wanted = {key: {name: counts[name] for name in names} for key, counts in expected.items()}
    if found != wanted:
        history.violate(f"the cycles' totals are {found}, the rows' {wanted}")
    stored = {
        row[:-1]: row[-1]
        for row in history.server.rows(
            "SELECT org_id, app, model, provider, metric, label, value FROM series_totals"
            " WHERE metric != 'refused'"
        )
    }
    if {key: value for key, value in stored.items() if value} != {k: v for k, v in series.items() if v}:
        history.violate("the series' totals are not the rows'")
