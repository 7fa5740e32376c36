"""Loki's push API: ledger rows to streams of log lines, as gzipped JSON.

Owns the line, the labels and the structured metadata of a row; does not own which rows are
sent. Few labels (job, org, app, level), so few streams; what tells requests apart is metadata.
A line has no prompt and no answer.
"""

import gzip
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from tollway.domain.clock import US_PER_MS, moment
from tollway.domain.ledger import Entry
from tollway.domain.money import usd
from tollway.domain.usage import completion_tokens, prompt_tokens
from tollway.push.samples import JOB
from tollway.store.usage import StoredEntry

MAX_LINES_PER_REQUEST = 1_000

HEADERS = {"Content-Encoding": "gzip", "Content-Type": "application/json"}

_FIRST_ERROR_STATUS = 400
_NS_PER_US = 1_000
_COMPRESSION = 3


def encode(rows: Sequence[StoredEntry], *, org: str) -> bytes:
    """A compressed push of these rows, oldest first in each stream; at least one row."""
    streams: defaultdict[tuple[str, str], list[tuple[int, list[Any]]]] = defaultdict(list)
    for row in rows:
        entry = row.entry
        at_ns = entry.ended_us * _NS_PER_US
        value = [str(at_ns), line(row, org).decode(), metadata(entry)]
        streams[entry.app, _level(entry)].append((at_ns, value))
    body = {
        "streams": [
            {
                "stream": {"job": JOB, "org": org, "app": app, "level": level},
                "values": [value for _, value in sorted(values, key=lambda timed: timed[0])],
            }
            for (app, level), values in streams.items()
        ]
    }
    return gzip.compress(msgspec.json.encode(body), _COMPRESSION)


def line(row: StoredEntry, org: str) -> bytes:
    """The row as one JSON object; money as exact decimal numbers."""
    entry = row.entry
    return msgspec.json.encode(
        {
            "request_id": entry.request_id,
            "attempt": entry.attempt,
            "final": entry.final,
            "time": moment(entry.ended_us),
            "seq": row.seq,
            "org": org,
            "app": entry.app,
            "app_id": entry.app_id,
            "key_id": entry.key_id,
            "provider": entry.provider,
            "model": entry.model,
            "kind": entry.kind,
            "outcome": entry.outcome,
            "status": entry.status,
            "error_code": entry.error_code,
            "streamed": entry.streamed,
            "prompt_tokens": prompt_tokens(entry.units),
            "completion_tokens": completion_tokens(entry.units),
            "units": entry.units,
            "cost_usd": _money(entry.cost.total) if entry.is_known else None,
            "savings_usd": _money(entry.prompt_savings + entry.completion_savings)
            if entry.is_known
            else None,
            "benchmark_model": entry.benchmark_model,
            "price_version": entry.cost.version or None,
            "service_tier": entry.service_tier,
            "end_user": entry.end_user,
            "labels": entry.labels,
            "duration_ms": _ms(entry.ended_us - entry.started_us),
            "first_token_ms": None if entry.first_token_us is None else _ms(entry.first_token_us),
        }
    )


def metadata(entry: Entry) -> dict[str, str]:
    """What tells a request apart without parsing its line; values are strings, as Loki wants."""
    money = {
        "cost_usd": usd(entry.cost.total),
        "savings_usd": usd(entry.savings),
    }
    return {
        "request_id": entry.request_id,
        "app_id": entry.app_id,
        "key_id": entry.key_id,
        "model": entry.model,
        "provider": entry.provider,
        "status": str(entry.status),
        "prompt_tokens": str(prompt_tokens(entry.units)),
        "completion_tokens": str(completion_tokens(entry.units)),
        **(money if entry.is_known else {}),
        "duration_ms": f"{_ms(entry.ended_us - entry.started_us):g}",
    }


def _level(entry: Entry) -> str:
    return "error" if entry.status >= _FIRST_ERROR_STATUS else "info"


def _money(nano: int) -> msgspec.Raw:
    return msgspec.Raw(usd(nano).encode())


def _ms(us: int) -> float:
    return us / US_PER_MS
