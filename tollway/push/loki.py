"""Loki's push API: lines to bytes on the wire, as gzipped JSON.

Owns the encoding and the headers; does not own what is in a line (`lines.py`), or which lines are sent
when (`streams.py`). JSON and the fastest gzip take less time, and less room, than protobuf and snappy.
"""

from collections import defaultdict
from collections.abc import Iterable

import cramjam
import msgspec

from tollway.push.lines import Line, Stream

HEADERS = {"Content-Encoding": "gzip", "Content-Type": "application/json"}

_NS_PER_US = 1_000
_FASTEST = 1


def knock() -> bytes:
    """A push without a line: Loki answers 422 to those who may push, and to others that they may not."""
    return bytes(cramjam.gzip.compress(b'{"streams":[]}', _FASTEST))


def body(lines: Iterable[Line]) -> bytes:
    """A compressed push of these lines, in order of time in each stream; at least one line."""
    streams: defaultdict[Stream, list[Line]] = defaultdict(list)
    for sent in lines:
        streams[sent.stream].append(sent)
    push = {
        "streams": [
            {
                "stream": stream.labels,
                "values": [
                    (str(sent.at_us * _NS_PER_US), sent.text.decode(), sent.metadata)
                    for sent in sorted(found, key=_at_us)
                ],
            }
            for stream, found in streams.items()
        ]
    }
    return bytes(cramjam.gzip.compress(msgspec.json.encode(push), _FASTEST))


def _at_us(sent: Line) -> int:
    return sent.at_us
