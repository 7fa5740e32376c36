"""The vendor's own ledger: what it would bill, a line for each request, as JSON Lines.

Owns the file, its columns and the vendor's arithmetic, which is not the gateway's; does not own
what is billed when (`demo/faulty.py`).
Promise: a line is with the operating system, whole, when `write` returns; what is read back are
whole lines; memory does not grow with them.
"""

import errno
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tollway.demo.offer import PRICES
from tollway.domain.money import Nano, half_even, parse_usd, usd

_READ_BYTES = 256 * 1024
_PRICED_TOKENS = 1_000_000
"""What a listed price is for."""

_NANO = {
    model: tuple(parse_usd(text) for text in (price.input, price.cached_input or price.input, price.output))
    for model, price in PRICES.items()
}


class Line(msgspec.Struct, kw_only=True):
    """One request. Cached tokens lie inside the prompt's, reasoning tokens inside the completion's."""

    number: int
    client_request_id: str | None = None
    user: str | None = None
    model: str | None = None
    fault: str | None = None
    status: int | None = None
    """None: no byte of an answer was sent."""
    streamed: bool = False
    service_tier: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    reported: bool = False
    """Whether the usage was sent in full, on a connection that was open."""
    billed: bool = False
    cost_usd: str = "0"
    time_us: int = 0
    """When the line was written; microseconds since the epoch."""


class Bill:
    """Lines in a file of its own; a temporary one without a path. OSError; ValueError if it has lines."""

    def __init__(self, path: Path | None = None) -> None:
        # Unbuffered: what write() returns from is written. It is closed by `close`.
        self._file = (
            tempfile.TemporaryFile(buffering=0) if path is None else path.open("a+b", buffering=0)  # noqa: SIM115
        )
        self._bytes = 0
        self._counts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._cost = 0
        if self._file.seek(0, os.SEEK_END):
            self._file.close()
            raise ValueError(f"{path} has lines of another run already")

    def write(self, line: Line) -> None:
        """Append a line; OSError, and nothing appended, if the disk does not take it."""
        data = msgspec.json.encode(line) + b"\n"
        if self._file.write(data) != len(data):
            self._file.truncate(self._bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._bytes += len(data)
        self._sum_up(line)

    def parts(self) -> Iterator[bytes]:
        """The file as it is now, in pieces; they end with the last whole line."""
        end = self._bytes  # now, not when the first piece is taken
        return (
            os.pread(self._file.fileno(), min(_READ_BYTES, end - start), start)
            for start in range(0, end, _READ_BYTES)
        )

    def lines(self) -> list[Line]:
        """All lines so far, in the order in which they were written."""
        return msgspec.json.Decoder(Line).decode_lines(b"".join(self.parts()))

    @property
    def size_bytes(self) -> int:
        """What `parts` add up to."""
        return self._bytes

    def summary(self) -> dict[str, Any]:
        """Counts and sums over the lines: of all requests, and of what was billed."""
        counts = ("requests", "billed", "reported")
        tokens = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
        return {
            **{name: self._counts[name] for name in (*counts, *tokens)},
            "cost_usd": usd(self._cost),
            "faults": dict(sorted(self._faults.items())),
        }

    def close(self) -> None:
        """Close the file; a temporary one is gone then."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sum_up(self, line: Line) -> None:
        self._counts.update(
            requests=1,
            billed=line.billed,
            reported=line.reported,
            prompt_tokens=line.prompt_tokens,
            cached_tokens=line.cached_tokens,
            completion_tokens=line.completion_tokens,
            reasoning_tokens=line.reasoning_tokens,
        )
        if line.fault is not None:
            self._faults[line.fault] += 1
        self._cost += parse_usd(line.cost_usd)


def asked_price(model: str, *, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> Nano:
    """What the vendor asks for a call, nano-dollars, rounded once, half to even."""
    uncached, cached, output = _NANO[model]
    exact = (prompt_tokens - cached_tokens) * uncached + cached_tokens * cached + completion_tokens * output
    return Nano(half_even(exact, _PRICED_TOKENS))
