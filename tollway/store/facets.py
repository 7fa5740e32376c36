"""What the fold tells logs and graphs of new rows: by what to find them, and what their hours came to.

Owns the writing, in the fold's transaction; a row of which nothing was said adds to one sum only. Does
not own reading (`store/logs.py`, `store/stats.py`).
"""

from collections import defaultdict
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

Amounts = list[int]
"""By the columns of an hour that are no part of its key."""

_ADD_FACETS = insert(log_facets)
_ADD_HOURS = adding(usage_hours)
_HOUR_KEYS = usage_hours.primary_key.columns.keys()
_SUMS = [column.name for column in usage_hours.columns if not column.primary_key]


@all_orgs
def tell_logs(db: Connection, rows: Iterable[tuple[int, Entry]]) -> None:
    """Add what these rows, at least one, each with its number, say to facets and hours."""
    found = []
    sums: defaultdict[tuple[str | int, ...], Amounts] = defaultdict(lambda: [0] * len(_SUMS))
    for seq, entry in rows:
        hour_us = entry.ended_us - entry.ended_us % HOUR_US
        amounts = amounts_of(entry)
        _add(sums[entry.org_id, "", hour_us, "", entry.app_id, entry.key_id, entry.model], amounts)
        for facet, value in facets_of(entry):
            if facet != HIDDEN:
                _add(sums[entry.org_id, facet, hour_us, value, entry.app_id, "", ""], amounts)
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
        dict(zip((*_HOUR_KEYS, *_SUMS), (*key, *amounts), strict=True))
        for key, amounts in sorted(sums.items())
    ]
    db.execute(_ADD_HOURS[db.dialect.name], told)


def facets_of(entry: Entry) -> Iterator[tuple[str, str]]:
    """What was said of a call, as facet and value."""
    if entry.is_private:
        yield HIDDEN, ""
    if entry.end_user is not None:
        yield USER, entry.end_user
    for name, value in entry.labels.items():
        yield label_facet(name), value


def amounts_of(entry: Entry) -> Amounts:
    """What a row adds to its hour, as the hour's columns; money in nano-dollars."""
    is_timed = entry.is_request and entry.is_known
    return [
        int(entry.is_request),
        total_tokens(entry.units),
        entry.cost.total,
        entry.savings,
        int(is_timed),
        max(0, entry.ended_us - entry.started_us) if is_timed else 0,
    ]


def _add(sums: Amounts, amounts: Amounts) -> None:
    for at, amount in enumerate(amounts):
        sums[at] += amount
