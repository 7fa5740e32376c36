"""The pushers: one task for each destination, so that a bad receiver harms its own tenant only.

Each interval: take the turn (one process has it), read, send, obey the verdict, note how it
went. Metrics are a picture: totals as they are now, so nothing is queued and a newer picture
replaces one that failed. Logs are a log: rows after a cursor that moves only after success, so
each line arrives at least once, in order. Owns pace and verdicts; does not own wire formats.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tollway.domain.clock import US_PER_S, Clock
from tollway.domain.destination import Destination, DestinationKind, Network
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import OrgId
from tollway.push import loki, remote_write
from tollway.push.delivery import SENT, Sender, Verdict
from tollway.push.samples import samples
from tollway.store.database import Database
from tollway.store.integrations import (
    Turn,
    list_destinations,
    note_delivery,
    take_turn,
)
from tollway.store.usage import StoredEntry, read_entries
from tollway.store.vault import Vault, VaultError

LOOK_FOR_DESTINATIONS_S = 1.0
LONGEST_PAUSE_S = 300.0
REFUSED_PAUSE_S = 300.0
"""Wrong credentials or path: somebody has to change something first."""

_BATCHES_PER_TURN = 20
_MOST_DOUBLINGS = 16
_TURN_OUTLASTS_PAUSE = 1.25
"""A process that died is replaced within two intervals: this much, and half of one to notice."""

_log = logging.getLogger(__name__)

Where = tuple[OrgId, DestinationKind, int]
"""A destination as it was last changed; a change makes it another one."""

Run = Callable[[], Awaitable[None]]
StartTask = Callable[[Run, str], asyncio.Task[None]]
"""Runs the function in a supervised task of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pusher:
    """What every destination's task needs. `id` names this process among the pushers."""

    id: str
    database: Database
    vault: Vault
    clock: Clock
    instance: str
    allowed: Sequence[Network]
    interval_s: float
    deadline_s: float

    async def run(self, start_task: StartTask) -> None:
        """Keep one task for each destination there is, for ever."""
        tasks: dict[Where, asyncio.Task[None]] = {}
        try:
            while True:
                await self._match(tasks, start_task)
                await asyncio.sleep(LOOK_FOR_DESTINATIONS_S)
        finally:  # whoever starts it again starts them again
            for task in tasks.values():
                task.cancel()

    async def _match(self, tasks: dict[Where, asyncio.Task[None]], start_task: StartTask) -> None:
        """Stop the tasks of destinations that are gone, and start those of new ones."""
        try:
            wanted = await self.database.read(list_destinations)
        except StoreUnavailable as error:
            _log.warning("destinations cannot be read: %s", error)
            return
        for where in tasks.keys() - wanted:
            tasks.pop(where).cancel()
        for where in wanted - tasks.keys():
            tasks[where] = start_task(partial(self._serve, where), f"push {where[1]} of {where[0]}")

    async def push_once(self) -> None:
        """One turn of every destination, one after the other."""
        for where in sorted(await self.database.read(list_destinations)):
            delivery = Delivery(self, where)
            try:
                await delivery.turn()
            finally:
                await delivery.close()

    async def _serve(self, where: Where) -> None:
        delivery = Delivery(self, where)
        try:
            while True:
                pause_s = await delivery.turn()
                await asyncio.sleep(pause_s)
        finally:
            await delivery.close()


class Delivery:
    """One destination's state between two turns: its connections, and how often it failed."""

    def __init__(self, pusher: Pusher, where: Where) -> None:
        self._pusher = pusher
        self._org, self._kind, _ = where
        self._sender: Sender | None = None
        self._failures = 0

    async def turn(self) -> float:
        """Push what there is; returns the seconds until the next turn."""
        pusher = self._pusher
        try:
            turn = await self._take_turn()
            if turn is None:
                return pusher.interval_s / 2
            sender = await self._connected(turn)
            push = self._push_samples if self._kind == "prom" else self._push_lines
            verdict = await push(sender, turn)
            pause_s = self._pause_s(verdict)
            await self._note(turn, verdict, pause_s=pause_s)
        except StoreUnavailable as error:
            _log.warning("%s of %s is not served: %s", self._kind, self._org, error)
            return self._pause_s(Verdict(outcome="retry"))
        except VaultError as error:
            _log.error("%s of %s: its token does not open: %s", self._kind, self._org, error)
            return REFUSED_PAUSE_S
        return pause_s

    async def close(self) -> None:
        """Close the connections."""
        if self._sender is not None:
            await self._sender.close()
            self._sender = None

    async def _take_turn(self) -> Turn | None:
        pusher = self._pusher
        now_us = pusher.clock.now_us()
        return await pusher.database.write(
            take_turn,
            self._org,
            self._kind,
            pusher.vault,
            pusher=pusher.id,
            now_us=now_us,
            until_us=_after(now_us, max(pusher.interval_s, pusher.deadline_s) * _TURN_OUTLASTS_PAUSE),
        )

    async def _connected(self, turn: Turn) -> Sender:
        if self._sender is None or _identity(self._sender.destination) != _identity(turn.destination):
            await self.close()
            self._sender = Sender(turn.destination, self._pusher.allowed, self._pusher.deadline_s)
        return self._sender

    async def _push_samples(self, sender: Sender, turn: Turn) -> Verdict:
        """The totals as they are now, in as many requests as they need."""
        picture = samples(turn.totals, org=turn.org_name, instance=self._pusher.instance)
        for batch in remote_write.batches(picture):
            body = remote_write.encode(batch, turn.sampled_ms)
            verdict = await sender.post(body, remote_write.HEADERS)
            if verdict is not SENT:
                return verdict
        return SENT

    async def _push_lines(self, sender: Sender, turn: Turn) -> Verdict:
        """The rows after the cursor, batch by batch, up to a bound for one turn."""
        cursor = turn.cursor_seq
        for _ in range(_BATCHES_PER_TURN):
            rows = await self._pusher.database.read(
                read_entries, self._org, after_seq=cursor, limit=loki.MAX_LINES_PER_REQUEST
            )
            if not rows:
                return SENT
            verdict = await self._deliver(sender, turn, rows)
            if verdict is None:
                break  # another process has taken over: the rest is its
            if verdict is not SENT:
                return verdict
            cursor = rows[-1].seq
        return SENT

    async def _deliver(self, sender: Sender, turn: Turn, rows: Sequence[StoredEntry]) -> Verdict | None:
        """Send rows in order; a batch refused for its content is halved until the bad line is found.

        Each part that is done is noted at once: the search may outlast a turn, and whoever takes
        over goes on where it stands. None if somebody has.
        """
        parts = [rows]
        while parts:
            part = parts.pop()
            verdict = await sender.post(loki.encode(part, org=turn.org_name), loki.HEADERS)
            is_bad = verdict.outcome == "bad_content"
            if is_bad and len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
                continue
            if is_bad:
                _log.warning("line %d of %s was refused: %s", part[0].seq, self._org, verdict.reason)
            elif verdict is not SENT:
                return verdict
            pause_s = self._pusher.deadline_s
            noted = await self._note(
                turn, SENT, cursor_seq=part[-1].seq, dropped=int(is_bad), pause_s=pause_s
            )
            if not noted:
                return None
        return SENT

    async def _note(
        self,
        turn: Turn,
        verdict: Verdict,
        *,
        pause_s: float,
        cursor_seq: int | None = None,
        dropped: int = 0,
    ) -> bool:
        """How it went, and that the turn is kept until after the pause; False if it is no longer ours."""
        now_us = self._pusher.clock.now_us()
        return await self._pusher.database.write(
            note_delivery,
            self._org,
            self._kind,
            epoch=turn.epoch,
            now_us=now_us,
            until_us=_after(now_us, max(pause_s, self._pusher.interval_s) * _TURN_OUTLASTS_PAUSE),
            error=verdict.reason,
            cursor_seq=cursor_seq,
            dropped=dropped + int(verdict.outcome == "bad_content"),
        )

    def _pause_s(self, verdict: Verdict) -> float:
        interval_s = self._pusher.interval_s
        match verdict.outcome:
            case "sent" | "bad_content":
                self._failures = 0
                return interval_s
            case "refused":
                return max(interval_s, REFUSED_PAUSE_S)
            case "retry":
                pause_s: float = min(interval_s * 2**self._failures, LONGEST_PAUSE_S)
                self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
                jittered_s = pause_s * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret
                return max(jittered_s, verdict.after_s or 0)


def _identity(destination: Destination) -> tuple[str, str, str]:
    """At one endpoint each user is another tenant, so all three tell receivers apart."""
    return destination.user, destination.token.reveal(), destination.endpoint


def _after(now_us: int, seconds: float) -> int:
    return now_us + int(seconds * US_PER_S)
