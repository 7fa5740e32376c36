"""What the fold tells logs and graphs of new rows: by what to find them, and what their hours came to.

Owns the writing, in the fold's transaction; a row of which nothing was said adds to one sum only. Does
not own reading (`store/logs.py`, `store/stats.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, insert

from tollway.domain.clock import US_PER_S
from tollway.domain.ledger import Entry
from tollway.domain.log import HIDDEN, USER, label_facet
from tollway.domain.usage import total_tokens
from tollway.store.database import all_orgs
from tollway.store.log_schema import log_facets, usage_hours
from tollway.store.upsert import adding

HOUR_US = 3_600 * US_PER_S

_ADD_FACETS = insert(log_facets)
_ADD_HOURS = adding(usage_hours)
_HOUR_KEYS = usage_hours.primary_key.columns.keys()
_SUMS = [column.name for column in usage_hours.columns if not column.primary_key]


@all_orgs
def tell_logs(db: Connection, rows: Iterable[tuple[int, Entry]]) -> None:
    """Add what these rows, each with its number, say to facets and hours."""
    found = []
    sums: defaultdict[tuple[str | int, ...], Counter[str]] = defaultdict(Counter)
    for seq, entry in rows:
        hour_us = entry.ended_us - entry.ended_us % HOUR_US
        amounts = amounts_of(entry)
        sums[entry.org_id, "", hour_us, "", entry.app_id, entry.key_id, entry.model].update(amounts)
        for facet, value in facets_of(entry):
            if facet != HIDDEN:
                sums[entry.org_id, facet, hour_us, value, entry.app_id, "", ""].update(amounts)
            if entry.is_request:
                found.append(
                    {
                        "org_id": entry.org_id,
                        "facet": facet,
                        "value": value,
                        "ended_us": entry.ended_us,
                        "seq": seq,
                        "app_id": entry.app_id,
                    }
                )
    if found:
        db.execute(_ADD_FACETS, found)
    told: list[dict[str, Any]] = [
        dict(zip(_HOUR_KEYS, key, strict=True)) | {name: amounts[name] for name in _SUMS}
        for key, amounts in sorted(sums.items())
    ]
    if told:
        db.execute(_ADD_HOURS[db.dialect.name], told)


def facets_of(entry: Entry) -> Iterator[tuple[str, str]]:
    """What was said of a call, as facet and value."""
    if entry.is_private:
        yield HIDDEN, ""
    if entry.end_user is not None:
        yield USER, entry.end_user
    for name, value in entry.labels.items():
        yield label_facet(name), value


def amounts_of(entry: Entry) -> dict[str, int]:
    """What a row adds to its hour; money in nano-dollars."""
    is_timed = entry.is_request and entry.is_known
    return {
        "num_requests": int(entry.is_request),
        "tokens": total_tokens(entry.units),
        "cost_nano": entry.cost.total,
        "savings_nano": entry.savings,
        "num_timed": int(is_timed),
        "duration_us": max(0, entry.ended_us - entry.started_us) if is_timed else 0,
    }
