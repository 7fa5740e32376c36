"""A load generator that costs little: prepared bytes over kept connections.

Owns sending and counting; does not own what is measured.
"""

import asyncio
import time
from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


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
