"""A ledger row as a log line: its stream, its text and its structured metadata.

Owns what a line says at each privacy level, and its size: Loki takes every line made here, whatever
is in the row. Does not own when Loki is told that it was, or what is sent together (`push/streams.py`).
At level 1 the line has prompt and answer, where they were kept; at level 2 all but these; at level 3
nothing that a caller typed or that leads to a person: no end user, no labels, no key.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from tollway.domain.body import KEEPS_BODIES, Part, PrivacyLevel
from tollway.domain.clock import US_PER_MS, moment
from tollway.domain.ids import RequestId
from tollway.domain.ledger import Entry
from tollway.domain.money import usd
from tollway.domain.usage import completion_tokens, prompt_tokens
from tollway.push.samples import JOB
from tollway.store.usage import StoredEntry

MAX_LINE_BYTES = 256 * 1024 - 1
MAX_LABEL_BYTES = 2_047
MAX_METADATA_VALUE_BYTES = 2_048
"""Ten of them stay far below the 64 KiB that Loki takes with a line."""

NUMBERS_ONLY: PrivacyLevel = 3

Bodies = Mapping[tuple[RequestId, int, Part], bytes]
"""What was kept of prompts and answers, by request, attempt and part."""

_FIRST_ERROR_STATUS = 400
_ROOM_FOR_MARK_BYTES = 1_024
_EMPTY_STRING_BYTES = 2


class Stream(NamedTuple):
    """What Loki keeps together and in order; few of them, so few labels."""

    org: str
    app: str
    level: Literal["info", "error"]

    @property
    def labels(self) -> dict[str, str]:
        """As Loki gets them."""
        return {"job": JOB, "org": self.org, "app": self.app, "level": self.level}


class Line(NamedTuple):
    """One row as it is sent; `at_us` is the time that Loki is told, the row's own is in `text`."""

    seq: int
    stream: Stream
    at_us: int
    text: bytes
    metadata: Mapping[str, str]
    size_bytes: int
    """What Loki counts: text and metadata, before any compression."""


def stream_of(entry: Entry, org: str) -> Stream:
    """The stream that a row belongs to; `org` is the organisation's name."""
    level: Literal["info", "error"] = "error" if entry.status >= _FIRST_ERROR_STATUS else "info"
    return Stream(_cut_bytes(org, MAX_LABEL_BYTES), _cut_bytes(entry.app, MAX_LABEL_BYTES), level)


def line_of(
    row: StoredEntry, stream: Stream, at_us: int, *, privacy_level: PrivacyLevel, bodies: Bodies
) -> Line:
    """The row as a line of its stream; `bodies` are looked at only at level 1."""
    entry = row.entry
    tokens_in, tokens_out = prompt_tokens(entry.units), completion_tokens(entry.units)
    cost = usd(entry.cost.total) if entry.is_known else None
    savings = usd(entry.savings) if entry.is_known else None
    duration_ms = _ms(entry.ended_us - entry.started_us)
    record = {
        "request_id": entry.request_id,
        "attempt": entry.attempt,
        "final": entry.final,
        "time": moment(entry.ended_us),
        "seq": row.seq,
        "org": stream.org,
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
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "units": entry.units,
        "cost_usd": _number(cost),
        "savings_usd": _number(savings),
        "benchmark_model": entry.benchmark_model,
        "price_version": entry.cost.version or None,
        "service_tier": entry.service_tier,
        "end_user": entry.end_user,
        "labels": entry.labels,
        "duration_ms": duration_ms,
        "first_token_ms": None if entry.first_token_us is None else _ms(entry.first_token_us),
    }
    metadata = {
        "request_id": entry.request_id,
        "app_id": entry.app_id,
        "key_id": entry.key_id,
        "model": entry.model,
        "provider": entry.provider,
        "status": str(entry.status),
        "prompt_tokens": str(tokens_in),
        "completion_tokens": str(tokens_out),
        "duration_ms": f"{duration_ms:g}",
    }
    if cost is not None and savings is not None:
        metadata |= {"cost_usd": cost, "savings_usd": savings}
    if privacy_level == KEEPS_BODIES:
        record |= _bodies_of(entry, bodies)
    elif privacy_level == NUMBERS_ONLY:
        for name in ("key_id", "end_user", "labels"):
            del record[name]
        del metadata["key_id"]
    text = _fit(record)
    if _metadata_bytes(metadata) > MAX_METADATA_VALUE_BYTES:
        metadata = {name: _cut_bytes(value, MAX_METADATA_VALUE_BYTES) for name, value in metadata.items()}
    return Line(row.seq, stream, at_us, text, metadata, len(text) + _metadata_bytes(metadata))


def _metadata_bytes(metadata: Mapping[str, str]) -> int:
    return len("".join([*metadata, *metadata.values()]).encode())


def _bodies_of(entry: Entry, bodies: Bodies) -> dict[str, str]:
    """Prompt and answer as text, as far as they were kept."""
    return {
        part.value: bodies[entry.request_id, entry.attempt, part].decode("utf-8", "replace")
        for part in Part
        if (entry.request_id, entry.attempt, part) in bodies
    }


def _fit(record: dict[str, Any]) -> bytes:
    """The record as JSON that is not too long: its longest texts are cut, all to the same length."""
    whole = msgspec.json.encode(record)
    if len(whole) <= MAX_LINE_BYTES:
        return whole
    sizes = sorted(_size(text) for value in record.values() for text in _texts(value))
    room = MAX_LINE_BYTES - _ROOM_FOR_MARK_BYTES - (len(whole) - sum(sizes))
    most = _fair_share(sizes, room)
    cut = {name: _cut(value, most) for name, value in record.items()}
    original = {
        name: sum(len(text.encode()) for text in _texts(value))
        for name, value in record.items()
        if cut[name] != value
    }
    return msgspec.json.encode(cut | {"truncated": True, "original_bytes": original})


def _texts(value: object) -> Iterator[str]:
    """What can be cut of a value: itself, or the names and values in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(name)
            yield from _texts(inner)


def _fair_share(sizes: list[int], room: int) -> int:
    """The most that each of these, ascending, may keep, so that together they take up no more than `room`.

    They do take up more: at least the largest is above its share.
    """
    index = 0
    while sizes[index] * (len(sizes) - index) <= room:
        room -= sizes[index]
        index += 1
    return max(room // (len(sizes) - index), _EMPTY_STRING_BYTES)


def _cut(value: Any, most: int) -> Any:  # noqa: ANN401 - any value of a record
    """The value with no text in it above that many bytes of JSON. Names that become equal become one."""
    if isinstance(value, dict):
        return {_cut(name, most): _cut(inner, most) for name, inner in value.items()}
    if not isinstance(value, str) or _size(value) <= most:
        return value
    text = value[:most]
    while (size := _size(text)) > most:
        text = text[: len(text) * most // size]
    return text


def _size(text: str) -> int:
    """Bytes that a text takes up in JSON."""
    return len(msgspec.json.encode(text))


def _cut_bytes(text: str, most: int) -> str:
    """At most that many bytes of a text, cut between two characters."""
    if len(text) * 4 <= most:
        return text
    return text.encode()[:most].decode("utf-8", "ignore")


def _number(dollars: str | None) -> msgspec.Raw | None:
    """Exact dollars as a JSON number."""
    return None if dollars is None else msgspec.Raw(dollars.encode())


def _ms(us: int) -> float:
    return us / US_PER_MS
