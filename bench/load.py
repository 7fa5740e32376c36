"""A load generator that costs little: prepared bytes over kept connections.

Owns sending, counting and comparing; does not own what is measured.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "

REST_S = 0.5
"""After each measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Requests per second, and the latency's percentiles in milliseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float


def request(port: int, key: str, model: str) -> bytes:
    """A chat request, ready to be sent."""
    body = b'{"model":"%s","messages":[{"role":"user","content":"Hello!"}]}' % model.encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %s\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (port, key.encode(), len(body), body)
    )


def get(port: int, path: str, token: str) -> bytes:
    """A GET request, ready to be sent."""
    return b"GET %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %s\r\n\r\n" % (
        path.encode(),
        port,
        token.encode(),
    )


async def in_turn(
    sent: Mapping[str, tuple[int, bytes]], *, connections: int, seconds: float, rounds: int
) -> dict[str, list[Measured]]:
    """Measure each (port and request, by name) in turn, so that a noisy machine is fair to all.

    Each second round goes the other way, and each waits until the one before has written its rows.
    """
    measured: dict[str, list[Measured]] = {name: [] for name in sent}
    turns = list(sent.items())
    for _ in range(rounds):
        for name, (port, request_) in turns:
            measured[name].append(await measure(port, request_, connections=connections, seconds=seconds))
            await asyncio.sleep(REST_S)
        turns.reverse()
    return measured


def afresh(starts: int, once: Callable[[int], Mapping[str, Sequence[Measured]]]) -> dict[str, list[Measured]]:
    """All rounds of so many starts: one start of the same program is some percent faster than another."""
    measured: dict[str, list[Measured]] = {}
    for start in range(starts):
        for name, each in once(start).items():
            measured.setdefault(name, []).extend(each)
    return measured


def table(measured: Mapping[str, Sequence[Measured]]) -> str:
    """The medians of the rounds, a line for each."""
    lines = [f"{'':<34}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}"]
    lines += [
        f"{name:<34}{median(m.per_s for m in each):>12,.0f}"
        f"{median(m.p50_ms for m in each):>10.2f}{median(m.p99_ms for m in each):>10.2f}"
        for name, each in measured.items()
    ]
    return "\n".join(lines)


def ratio(of: Sequence[Measured], to: Sequence[Measured]) -> float:
    """The median of the rounds' ratios of requests per second."""
    return median(a.per_s / b.per_s for a, b in zip(of, to, strict=True))


async def measure(port: int, sent: bytes, *, connections: int, seconds: float) -> Measured:
    """Send the same request over so many connections for so long; every answer must be a 200."""
    end = time.perf_counter() + seconds
    took = await asyncio.gather(*(_one(port, sent, end) for _ in range(connections)))
    latencies = sorted(latency for one in took for latency in one)
    return Measured(
        per_s=len(latencies) / seconds,
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
    )


async def _one(port: int, sent: bytes, end: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    latencies = []
    begun = time.perf_counter()
    while begun < end:
        writer.write(sent)
        head = (await reader.readuntil(_HEAD_END)).lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"answered {head[:200]!r}")
        at = head.index(_LENGTH) + len(_LENGTH)
        await reader.readexactly(int(head[at:].split(b"\r\n", 1)[0]))
        now = time.perf_counter()
        latencies.append(now - begun)
        begun = now
    writer.close()
    return latencies
