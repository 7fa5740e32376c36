"""Billing cycles: the stretches of time that an organisation's rows are counted in.

A cycle is half-open, [start, end), UTC. Owns the rule that gives every moment exactly one,
whatever cycles are stored, and what is shown of one; does not own which are stored
(`store/cycles.py`).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from tollway.domain.clock import month_start_us, next_month_start_us
from tollway.domain.ledger import Entry
from tollway.domain.money import ZERO, Nano
from tollway.domain.usage import completion_tokens, prompt_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """From `start_us` up to but not including `end_us`, microseconds since the epoch."""

    start_us: int
    end_us: int


def cycle_among(stored: Sequence[Cycle], at_us: int) -> Cycle:
    """The cycle that holds `at_us`, where `stored` are sorted by their start.

    A stored cycle ends where the next one starts, if not before. Between them lies the calendar
    month, cut where the one before ends and where the next one starts.
    """
    after = bisect_right(stored, at_us, key=lambda cycle: cycle.start_us)
    start, end = month_start_us(at_us), next_month_start_us(at_us)
    if after > 0:
        before = stored[after - 1]
        if at_us < before.end_us:
            start, end = before.start_us, before.end_us
        else:
            start = max(start, before.end_us)
    if after < len(stored):
        end = min(end, stored[after].start_us)
    return Cycle(start_us=start, end_us=end)


def amounts(entry: Entry) -> dict[str, int]:
    """What a row adds to its cycle's totals, by their columns; money in nano-dollars."""
    return {
        "num_requests": int(entry.is_request),
        "prompt_tokens": prompt_tokens(entry.units),
        "completion_tokens": completion_tokens(entry.units),
        "cost_prompt_nano": entry.cost.prompt,
        "cost_completion_nano": entry.cost.completion,
        "savings_prompt_nano": entry.prompt_savings,
        "savings_completion_nano": entry.completion_savings,
        "num_unsettled": int(not entry.is_known),
        "held_nano": entry.held or 0,
        "held_tokens": entry.held_tokens or 0,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleTotals:
    """What a cycle came to. Money in nano-dollars here, dollars in JSON."""

    prompt_tokens: Annotated[int, "Tokens of the prompts of this cycle's charged requests"] = 0
    completion_tokens: Annotated[int, "Tokens of the completions of this cycle's charged requests"] = 0
    total_tokens: Annotated[int, "prompt_tokens + completion_tokens"] = 0
    prompt_tokens_cost: Annotated[Nano, "Cost (in $) of the prompts"] = ZERO
    completion_tokens_cost: Annotated[Nano, "Cost (in $) of the completions"] = ZERO
    total_tokens_cost: Annotated[Nano, "Their sum, and the sum of the cycle's ledger rows"] = ZERO
    prompt_tokens_cost_savings: Annotated[
        Nano, "Cost (in $) of the same prompts on the benchmark model, minus the cost; may be negative"
    ] = ZERO
    completion_tokens_cost_savings: Annotated[Nano, "The same of the completions"] = ZERO
    total_tokens_cost_savings: Annotated[Nano, "Their sum"] = ZERO
    num_requests: Annotated[int, "Requests of this cycle"] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRecord(CycleTotals):
    """One cycle, in the organisation record's words."""

    start: Annotated[datetime, "Its first moment"]
    end: Annotated[datetime, "The first moment after it"]
    is_current: Annotated[bool, "Whether it is the one that the record shows"]
    num_unsettled: Annotated[int, "Calls whose end is not known, so that their cost is not in the totals"] = 0
    held: Annotated[Nano, "The most that those may cost ($)"] = ZERO
