"""Remote-write messages made by hand, faulty ones too, for the tests of the Prometheus double."""

import struct
from collections.abc import Sequence

import cramjam

from tollway.demo.prometheus import PrometheusReceiver
from tollway.demo.remote_write import Labels

NOW_S = 1_790_000_000.0
NOW_MS = 1_790_000_000_000
STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
HEADERS = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
V2_HEADERS = HEADERS | {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
UP: Labels = (("__name__", "up"), ("job", "tollway"))

COUNTER, GAUGE, HISTOGRAM = 1, 2, 3


def a_receiver(window_s: float = 0.0, now_s: float = NOW_S) -> PrometheusReceiver:
    return PrometheusReceiver(
        user="123456", token="secret", now=lambda: now_s, out_of_order_window_s=window_s
    )


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def chunk(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def a_sample(timestamp_ms: int, value: float) -> bytes:
    return b"\x09" + struct.pack("<d", value) + b"\x10" + varint(timestamp_ms & (1 << 64) - 1)


def a_series(labels: Labels, *samples: tuple[int, float]) -> bytes:
    """A series of a 1.0 message."""
    return chunk(
        1,
        b"".join(chunk(1, chunk(1, name.encode()) + chunk(2, value.encode())) for name, value in labels)
        + b"".join(chunk(2, a_sample(*sample)) for sample in samples),
    )


def v1_metadata(kind: int, family: str, help_text: str, unit: str) -> bytes:
    return chunk(
        3,
        number(1, kind) + chunk(2, family.encode()) + chunk(4, help_text.encode()) + chunk(5, unit.encode()),
    )


def symbols(*texts: str) -> bytes:
    return b"".join(chunk(4, text.encode()) for text in texts)


def v2_series(refs: Sequence[int], *samples: tuple[int, float], more: bytes = b"") -> bytes:
    """A series of a 2.0 message; `more` are further fields of it."""
    encoded = b"".join(chunk(2, a_sample(*sample)) for sample in samples)
    return chunk(5, chunk(1, b"".join(map(varint, refs))) + encoded + more)


def v2_metadata(kind: int, help_ref: int, unit_ref: int) -> bytes:
    return chunk(5, number(1, kind) + number(3, help_ref) + number(4, unit_ref))


def v2_request(*series: tuple[Labels, tuple[int, float]]) -> bytes:
    """A whole 2.0 message, not compressed."""
    texts = ["", *dict.fromkeys(text for labels, _ in series for pair in labels for text in pair if text)]
    return symbols(*texts) + b"".join(
        v2_series([texts.index(text) for pair in labels for text in pair], sample)
        for labels, sample in series
    )


def packed(*parts: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(b"".join(parts)))


def push(receiver: PrometheusReceiver, *series: bytes) -> tuple[int, str]:
    """The answer to a 1.0 message."""
    return receiver.receive(packed(*series), HEADERS)
