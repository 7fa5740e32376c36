"""Doubles of receivers that remember in which order things came, and what they refused.

Owns the memory; does not own what a double takes (`tollway/demo`). Promise: only what was stored is
remembered as such.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import cramjam
import msgspec

from tollway.demo.loki import LokiReceiver
from tollway.demo.prometheus import PrometheusReceiver
from tollway.demo.remote_write import Labels, read_v1, read_v2

_STORED = 204


class SampleWitness(PrometheusReceiver):
    """A Prometheus that takes both protocols. `arrivals_ms`: sample times of each series as they came."""

    def __init__(self, *, user: str, token: str, now: Callable[[], float]) -> None:
        super().__init__(user=user, token=token, now=now, accepts="2.0")
        self.arrivals_ms: defaultdict[Labels, list[int]] = defaultdict(list)
        self.refusals: list[str] = []

    def answer(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str, Mapping[str, str]]:
        """The double's own."""
        status, text, said = super().answer(body, headers)
        if status == _STORED:
            read = read_v2 if said else read_v1
            for series in read(bytes(cramjam.snappy.decompress_raw(body))).series:
                self.arrivals_ms[series.labels] += [at_ms for at_ms, _ in series.samples]
        else:
            self.refusals.append(f"{status} {text}")
        return status, text, said

    def wrong_times(self) -> Iterator[str]:
        """Series whose sample times did not rise strictly, in the order in which they came."""
        for labels, times_ms in self.arrivals_ms.items():
            for before_ms, after_ms in pairwise(times_ms):
                if after_ms <= before_ms:
                    yield f"{dict(labels)} was sent of {after_ms} ms after {before_ms} ms"


class _Text(msgspec.Struct):
    seq: int
    request_id: str
    org: str


class _Streams(msgspec.Struct):
    class Stream(msgspec.Struct):
        stream: dict[str, str]
        values: list[tuple[str, str, dict[str, str]]]

    streams: list[Stream]


class LineWitness(LokiReceiver):
    """A Loki. `pushes`: the numbers of rows in each push that it took whole, by stream."""

    def __init__(self, *, user: str, token: str, now: Callable[[], float]) -> None:
        super().__init__(user=user, token=token, now=now)
        self.pushes: defaultdict[tuple[tuple[str, str], ...], list[set[int]]] = defaultdict(list)
        self.refusals: list[str] = []

    def receive(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """The double's own."""
        status, text = super().receive(body, headers)
        if status == _STORED:
            for stream in msgspec.json.decode(bytes(cramjam.gzip.decompress(body)), type=_Streams).streams:
                seqs = {msgspec.json.decode(line, type=_Text).seq for _, line, _ in stream.values}
                self.pushes[tuple(sorted(stream.stream.items()))].append(seqs)
        else:
            self.refusals.append(f"{status} {text}")
        return status, text

    def wrong_order(self) -> Iterator[str]:
        """Rows that came after later ones of their stream. In one push they are in order of time."""
        for stream, pushes in self.pushes.items():
            newest = 0
            seen: set[int] = set()
            for seqs in pushes:
                late = [seq for seq in sorted(seqs - seen) if seq < newest]
                if late:
                    yield f"{dict(stream)} had row {newest} before {late[:3]}"
                seen |= seqs
                newest = max(newest, *seqs)

    def rows(self) -> dict[int, str]:
        """The request of each row that is stored."""
        texts = [msgspec.json.decode(line.text, type=_Text) for line in self.lines()]
        return {text.seq: text.request_id for text in texts}

    def orgs(self) -> set[str]:
        """All that lines and streams say whose they are."""
        texts = {msgspec.json.decode(line.text, type=_Text).org for line in self.lines()}
        return texts | {line.labels["org"] for line in self.lines()}
