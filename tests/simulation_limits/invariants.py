"""What must hold once all is folded, and once all has been idle for a while; told by `violate`."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from tollway.domain.limit import minute_of

if TYPE_CHECKING:
    from tests.simulation_limits.history import History

_TOTALS = {
    "cost": "SELECT org_id, cycle_start_us, cost_prompt_nano + cost_completion_nano FROM cycle_totals",
    "held": "SELECT org_id, cycle_start_us, held_nano FROM cycle_totals",
    "held_tokens": "SELECT org_id, cycle_start_us, held_tokens FROM cycle_totals",
    "tokens": "SELECT org_id, cycle_start_us, prompt_tokens + completion_tokens FROM cycle_totals",
    "cost_nano": "SELECT org_id, spender_id, cycle_start_us, cost_nano FROM spender_totals",
    "trial_nano": "SELECT org_id, trial_nano FROM org_totals",
}
_LENT = "SELECT journal_id, spender_id, kind, sum(lent) FROM leases WHERE minute_us = 0 GROUP BY 1, 2, 3"


def check_lent(history: "History") -> None:
    """What is lent to a process is what it has in hand: nothing is in flight, and all is folded."""
    lent = {row[:3]: row[3] for row in history.server.rows(_LENT) if row[3]}
    held = _in_hand(history)
    if lent != held:
        history.violate(f"lent is {lent}, in hand {held}")


def check_leases(history: "History") -> None:
    """Whatever a process has taken or may take at once, it has a lease of."""
    query = "SELECT journal_id, spender_id, kind, minute_us, lent FROM leases"
    lent = {tuple(key): amount for *key, amount in history.server.rows(query)}
    minute_us = minute_of(history.loop.now_us())
    needed = history.book.taken.copy()
    for process in history.living:
        for desk in process.limits._desks.values():  # noqa: SLF001 - the simulation looks inside
            for purse in desk.purses.values():
                if process.accepts and not purse.is_share:
                    needed[process.journal.id, purse.pot, purse.minute_us] += purse.free + purse.owed
    for (journal, pot, window), amount in needed.items():
        is_now = window in (0, minute_us) and window not in history.book.inexact
        found = lent.get((journal, pot.id, pot.kind.value, window), 0)
        if amount > found and is_now:
            history.violate(f"{journal} has a lease of {found} and needs {amount} in {pot}")


def check_at_rest(history: "History") -> None:
    """Nothing is lent, nothing is in flight, and all totals are the sums of rows."""
    lent = [row for row in history.server.rows(_LENT) if row[3]]
    if lent:
        history.violate(f"after rest, {lent} is lent")
    held = _in_hand(history)
    if held:
        history.violate(f"after rest, {held} is in hand")
    for process in history.living:
        for desk in process.limits._desks.values():  # noqa: SLF001 - the simulation looks inside
            if desk.in_flight:
                history.violate(f"after rest, {desk.in_flight} calls are in flight")
    check_totals(history)


def check_totals(history: "History") -> None:
    """All totals are what calls have cost, or may have."""
    if any(call.is_open for call in history.book.calls.values()):
        history.violate("a call is not explained")
    found: Counter[tuple[Any, ...]] = Counter()
    for name, query in _TOTALS.items():
        for *key, amount in history.server.rows(query):
            found[*key, name] += amount
    wrong = {
        key: (found[key], history.book.charged[key])
        for key in found.keys() | history.book.charged.keys()
        if found[key] != history.book.charged[key]
    }
    if wrong:
        history.violate(f"totals are not the sums of rows: {wrong}")


def _in_hand(history: "History") -> dict[tuple[Any, ...], int]:
    return {
        (process.journal.id, purse.pot.id, purse.pot.kind.value): purse.free + purse.owed
        for process in history.living
        for desk in process.limits._desks.values()  # noqa: SLF001 - as above
        for purse in desk.purses.values()
        if purse.free + purse.owed and not purse.is_of_a_minute
    }
