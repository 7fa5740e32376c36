"""Ledger rows as a file for others: CSV, JSON lines or Parquet, one column for each thing a row says.

Money is an exact decimal of dollars, a time is ISO 8601 in UTC; what is not known is null. Owns
columns and formats (the table in `docs/ledger.md`); does not own which rows (`store/export.py`).
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Any, BinaryIO, Protocol, assert_never

import msgspec

from tollway.domain.moment import iso
from tollway.domain.money import Nano, usd
from tollway.store.export import Row

_ROWS_PER_GROUP = 10_000
"""Of a Parquet file: what is held in memory before it is written."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")  # noqa: RUF001 - full width: some spreadsheets obey it


class Kind(Enum):
    """What a column holds."""

    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()
    MONEY = auto()
    """Nano-dollars."""
    TIME = auto()
    """Microseconds since the epoch."""
    COUNTS = auto()
    """Name to number."""
    WORDS = auto()
    """Name to text."""
    AMOUNTS = auto()
    """Name to nano-dollars."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it is called, what it holds, and how it comes from a ledger row."""

    name: str
    kind: Kind
    value: Callable[[Row], Any]


def _as_is(kind: Kind, *names: str) -> Iterator[Column]:
    for name in names:
        yield Column(name, kind, lambda row, name=name: row[name])  # type: ignore[misc]  # a default binds the name of this turn


def _time(name: str) -> Column:
    return Column(f"{name}_at", Kind.TIME, lambda row: row[f"{name}_us"])


def _sum(row: Row, name: str) -> int | None:
    prompt, completion = row[f"{name}_prompt_nano"], row[f"{name}_completion_nano"]
    return None if prompt is None or completion is None else prompt + completion


def _cost(total: str, name: str) -> Iterator[Column]:
    """The four columns of one cost."""
    yield Column(total, Kind.MONEY, lambda row: _sum(row, name))
    yield Column(f"{name}_prompt_usd", Kind.MONEY, lambda row: row[f"{name}_prompt_nano"])
    yield Column(f"{name}_completion_usd", Kind.MONEY, lambda row: row[f"{name}_completion_nano"])
    yield Column(f"{name}_by_unit_usd", Kind.AMOUNTS, lambda row: row[f"{name}_by_unit"])


def _savings(row: Row) -> int | None:
    cost, benchmark = _sum(row, "cost"), _sum(row, "benchmark")
    if cost is None:
        return None
    return 0 if benchmark is None else benchmark - cost


COLUMNS = (
    *_as_is(Kind.NUMBER, "seq"),
    *_as_is(Kind.TEXT, "request_id"),
    *_as_is(Kind.NUMBER, "attempt"),
    *_as_is(Kind.FLAG, "final"),
    *_as_is(Kind.TEXT, "kind", "outcome"),
    *_as_is(Kind.NUMBER, "status"),
    *_as_is(Kind.TEXT, "error_code", "org_id", "app_id", "app", "key_id"),
    *_as_is(Kind.TEXT, "provider", "model", "service_tier"),
    *_as_is(Kind.FLAG, "streamed"),
    *_as_is(Kind.TEXT, "end_user"),
    *_as_is(Kind.WORDS, "labels"),
    *_as_is(Kind.TEXT, "funding"),
    *_as_is(Kind.COUNTS, "units"),
    *_as_is(Kind.NUMBER, "prompt_tokens", "completion_tokens"),
    *_cost("cost_usd", "cost"),
    *_as_is(Kind.TEXT, "price_version", "rate_card"),
    *_cost("vendor_cost_usd", "vendor_cost"),
    *_as_is(Kind.TEXT, "vendor_price_version", "benchmark_model"),
    *_cost("benchmark_cost_usd", "benchmark"),
    *_as_is(Kind.TEXT, "benchmark_price_version"),
    Column("savings_usd", Kind.MONEY, _savings),
    Column("held_usd", Kind.MONEY, lambda row: row["held_nano"]),
    *_as_is(Kind.NUMBER, "held_tokens"),
    *_as_is(Kind.FLAG, "overrun"),
    *(_time(name) for name in ("started", "ended", "folded")),
    *_as_is(Kind.NUMBER, "first_token_us"),
    *_as_is(Kind.TEXT, "journal_id"),
    *_as_is(Kind.NUMBER, "journal_offset"),
)


class Writer(Protocol):
    """Writes rows in one format."""

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        ...

    def close(self) -> None:
        """Write what is still held; the file stays open."""
        ...


class CsvWriter:
    """RFC 4180, with a header. Null is an empty field, and text is guarded against spreadsheets.

    A caller chooses some of the text (`end_user`); a spreadsheet would run what begins like a
    formula. Such text has a `'` before it, also where it begins with one itself: to have the
    text as it was, take one `'` away.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="")
        self._csv = csv.writer(self._text)
        self._csv.writerow(column.name for column in COLUMNS)

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        self._csv.writerows([_cell(column.kind, column.value(row)) for column in COLUMNS] for row in rows)

    def close(self) -> None:
        """Write what is still held."""
        self._text.detach()


class JsonLinesWriter:
    """One object for each row; amounts are text, so that nobody reads them as floats."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        lines = ({column.name: _plain(column.kind, column.value(row)) for column in COLUMNS} for row in rows)
        self._file.write(self._encoder.encode_lines(lines))

    def close(self) -> None:
        """Nothing is held."""


class ParquetWriter:
    """Amounts as decimal128(38, 9), times as timestamps of microseconds in UTC, the rest as maps."""

    def __init__(self, file: BinaryIO) -> None:
        # Here, not above: half a second and 50 MB that `tollway serve` does without.
        import pyarrow as pa  # noqa: PLC0415 - see above
        import pyarrow.parquet as pq  # noqa: PLC0415 - the same

        money = pa.decimal128(38, 9)
        types = {
            Kind.TEXT: pa.string(),
            Kind.NUMBER: pa.int64(),
            Kind.FLAG: pa.bool_(),
            Kind.MONEY: money,
            Kind.TIME: pa.timestamp("us", tz="UTC"),
            Kind.COUNTS: pa.map_(pa.string(), pa.int64()),
            Kind.WORDS: pa.map_(pa.string(), pa.string()),
            Kind.AMOUNTS: pa.map_(pa.string(), money),
        }
        self._schema = pa.schema([(column.name, types[column.kind]) for column in COLUMNS])
        self._arrow = pa
        self._parquet = pq.ParquetWriter(file, self._schema)
        self._batches: list[Any] = []
        self._held = 0

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        values = zip(
            *([_arrow(column.kind, column.value(row)) for column in COLUMNS] for row in rows), strict=True
        )
        arrays = [
            self._arrow.array(list(column), field.type)
            for column, field in zip(values, self._schema, strict=True)
        ]
        self._batches.append(self._arrow.record_batch(arrays, schema=self._schema))
        self._held += len(self._batches[-1])
        if self._held >= _ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is still held, and the index at the file's end."""
        try:
            self._flush()
        finally:
            self._parquet.close()

    def _flush(self) -> None:
        if self._batches:
            self._parquet.write_table(self._arrow.Table.from_batches(self._batches))
        self._batches, self._held = [], 0


WRITERS: Mapping[str, Callable[[BinaryIO], Writer]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}


def _plain(kind: Kind, value: Any) -> Any:  # noqa: ANN401 - what JSON takes
    """A value as JSON has it."""
    if value is None:
        return None
    match kind:
        case Kind.MONEY:
            return usd(value)
        case Kind.TIME:
            return iso(value)
        case Kind.AMOUNTS:
            return {name: usd(nano) for name, nano in value.items()}
        case Kind.TEXT | Kind.NUMBER | Kind.FLAG | Kind.COUNTS | Kind.WORDS:
            return value
    assert_never(kind)


def _cell(kind: Kind, value: Any) -> str:  # noqa: ANN401 - as above
    """A value as a field of a CSV file."""
    plain = _plain(kind, value)
    if plain is None:
        return ""
    if kind is Kind.TEXT:
        return guarded(plain)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def guarded(text: str) -> str:
    """Text as a field that no spreadsheet runs: what begins like a formula has a `'` before it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _arrow(kind: Kind, value: Any) -> Any:  # noqa: ANN401 - what pyarrow takes
    """A value as pyarrow takes it for the column's type."""
    if value is None:
        return None
    match kind:
        case Kind.MONEY:
            return _decimal(value)
        case Kind.COUNTS | Kind.WORDS:
            return list(value.items())
        case Kind.AMOUNTS:
            return [(name, _decimal(nano)) for name, nano in value.items()]
        case Kind.TEXT | Kind.NUMBER | Kind.FLAG | Kind.TIME:
            return value
    assert_never(kind)


def _decimal(nano: Nano) -> Decimal:
    return Decimal(usd(nano))
