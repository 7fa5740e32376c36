"""One organisation's samples on their way: which protocol the receiver understands, and which series end.

A receiver is spoken to in remote write 2.0 until it proves, or fails to prove, that it stores that:
older ones answer 204 and store nothing. A series that is no longer in the picture is ended with a
stale marker, once. Owns both memories; does not own the picture (`samples.py`) or bytes
(`remote_write.py`).
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter, is_

from tollway.push.delivery import SENT, Sender, Verdict
from tollway.push.remote_write import HEADERS, STALE, Encoder, Protocol, batches, is_stored
from tollway.push.samples import METADATA, Labels, Metadata, Picture, Sample
from tollway.store.turns import Turn

_UNSUPPORTED = 415
_labels_of = attrgetter("labels")


class MetricsPush:
    """What one process knows of one receiver of samples, between two pushes."""

    def __init__(self, metadata: Mapping[str, Metadata] = METADATA) -> None:
        self.protocol: Protocol | None = None
        self._metadata = metadata
        self._picture: Picture | None = None
        self._encoder = Encoder(Protocol.V2, metadata)
        self._live: dict[Labels, None] = {}
        self._sent_ms = 0

    async def push(self, sender: Sender, turn: Turn) -> Verdict:
        """The totals as they are now, in as many requests as they need."""
        if turn.protocol is not None:
            self.protocol = Protocol(turn.protocol)
        if self._picture is None or self._picture.instance != turn.instance:
            self._picture = Picture(turn.org_name, turn.instance)
        samples = self._picture.samples(turn.totals, turn.gauges)
        return await self.replace(sender, samples, turn.sampled_ms)

    async def replace(self, sender: Sender, samples: Sequence[Sample], at_ms: int) -> Verdict:
        """A newer picture: these samples, and the end of every series that is not among them any more."""
        if len(samples) == len(self._live) and all(map(is_, map(_labels_of, samples), self._live)):
            return await self._send(sender, samples, at_ms, notes=False)  # as nearly always: nothing is new
        return await self.send(sender, [*samples, *self._ended(samples)], at_ms)

    async def end(self, sender: Sender, now_ms: int) -> Verdict:
        """End every series that was sent."""
        ended = [Sample(labels, STALE) for labels in self._live]
        return await self.send(sender, ended, max(now_ms, self._sent_ms + 1))

    @property
    def has_series(self) -> bool:
        """Whether the receiver has series of this process that did not end."""
        return bool(self._live)

    def forget(self) -> None:
        """Another process pushes now: the series are its."""
        self._live = {}

    def _ended(self, samples: Sequence[Sample]) -> list[Sample]:
        """Stale markers for what was sent, and is not among these."""
        now = {sample.labels for sample in samples}
        return [Sample(labels, STALE) for labels in self._live if labels not in now]

    async def send(self, sender: Sender, samples: Sequence[Sample], at_ms: int) -> Verdict:
        """These samples, in as many requests as they need; the verdict on the first that failed, if any."""
        return await self._send(sender, samples, at_ms, notes=True)

    async def _send(self, sender: Sender, samples: Sequence[Sample], at_ms: int, *, notes: bool) -> Verdict:
        self._sent_ms = at_ms
        refused, verdict = None, SENT
        for batch in batches(samples):
            verdict = await self._post(sender, batch, at_ms)
            if verdict.outcome == "bad_content":
                refused = verdict
            elif verdict.outcome != "sent":
                return verdict
            elif notes:
                self._note(batch)
        return refused or verdict

    def _note(self, batch: Sequence[Sample]) -> None:
        for sample in batch:
            if sample.value is STALE:
                self._live.pop(sample.labels, None)
            else:
                self._live[sample.labels] = None

    async def _post(self, sender: Sender, batch: Sequence[Sample], at_ms: int) -> Verdict:
        if self.protocol is Protocol.V1:
            return await self._post_as(Protocol.V1, sender, batch, at_ms)
        verdict = await self._post_as(Protocol.V2, sender, batch, at_ms)
        if is_stored(verdict.headers):  # whatever else it says, it has understood
            self.protocol = Protocol.V2
            return verdict
        is_not_understood = verdict.outcome == "sent" or verdict.status == _UNSUPPORTED
        if is_not_understood or (verdict.outcome == "bad_content" and self.protocol is None):
            verdict = await self._post_as(Protocol.V1, sender, batch, at_ms)
            if verdict.outcome == "sent":
                self.protocol = Protocol.V1
        return verdict

    async def _post_as(
        self, protocol: Protocol, sender: Sender, batch: Sequence[Sample], at_ms: int
    ) -> Verdict:
        if self._encoder.protocol is not protocol:
            self._encoder = Encoder(protocol, self._metadata)
        return await sender.post(self._encoder.encode(batch, at_ms), HEADERS[protocol])
