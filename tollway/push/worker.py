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
from dataclasses import dataclass, field
from functools import partial

from tollway.domain.clock import US_PER_MS, US_PER_S, Clock
from tollway.domain.destination import Destination, DestinationKind
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import OrgId
from tollway.push.delivery import Outbound, Outcome, Sender, Verdict
from tollway.push.logs import LogsPush
from tollway.push.metrics import MetricsPush
from tollway.push.together import Together
from tollway.store.database import Database
from tollway.store.integrations import find_integrations, list_destinations
from tollway.store.turns import Asked, Note, State, Turn, note_pushes, take_turns
from tollway.store.vault import Vault, VaultError

LOOK_FOR_DESTINATIONS_S = 1.0
LONGEST_PAUSE_S = 300.0
REFUSED_PAUSE_S = 300.0
"""Wrong credentials or path: somebody has to change something first."""

_MOST_DOUBLINGS = 16
_TURN_OUTLASTS_PAUSE = 1.25
"""A process that died is replaced within two intervals: this much, and half of one to notice."""
_GATHERS_FOR = 1 / 20
"""Of an interval, so that many destinations' turns are one transaction."""
_STATES: dict[Outcome, State | None] = {
    "sent": "ok",
    "idle": None,
    "bad_content": "retrying",
    "retry": "retrying",
    "refused": "refused",
}

_log = logging.getLogger(__name__)

Where = tuple[OrgId, DestinationKind, int]
"""A destination as it was last changed; a change makes it another one."""

Run = Callable[[], Awaitable[None]]
StartTask = Callable[[Run, str], asyncio.Task[None]]
"""Runs the function in a supervised task of this name."""


@dataclass(slots=True, kw_only=True)
class Pusher:
    """What every destination's task needs. `id` names this process among the pushers."""

    id: str
    database: Database
    vault: Vault
    clock: Clock
    outbound: Outbound
    interval_s: float
    turns: Together[Asked, Turn | VaultError | None] = field(init=False)
    notes: Together[Note, bool] = field(init=False)

    def __post_init__(self) -> None:
        self.turns = Together(self._take_turns)
        self.notes = Together(self._note_pushes)

    async def run(self, start_task: StartTask) -> None:
        """Keep one task for each destination there is, for ever."""
        served: dict[Where, tuple[Delivery, asyncio.Task[None]]] = {}
        try:
            while True:
                await self._match(served, start_task)
                await asyncio.sleep(LOOK_FOR_DESTINATIONS_S)
        finally:  # whoever starts it again starts them again
            for _, task in served.values():
                task.cancel()

    async def push_once(self) -> None:
        """One turn of every destination, one after the other."""
        for where in sorted(await self.database.read(list_destinations)):
            delivery = Delivery(self, where)
            try:
                await delivery.turn()
            finally:
                await delivery.close()

    async def _match(
        self, served: "dict[Where, tuple[Delivery, asyncio.Task[None]]]", start_task: StartTask
    ) -> None:
        """End the tasks of destinations that are gone; start those of new ones, spread over an interval."""
        try:
            wanted = await self.database.read(list_destinations)
        except StoreUnavailable as error:
            _log.warning("destinations cannot be read: %s", error)
            return
        for where in served.keys() - wanted:
            served.pop(where)[0].leave()
        added = sorted(wanted - served.keys())
        for number, where in enumerate(added):
            delivery = Delivery(self, where, gather_s=self.interval_s * _GATHERS_FOR)
            wait_s = self.interval_s * number / len(added)
            task = start_task(partial(delivery.serve, wait_s), f"push {where[1]} of {where[0]}")
            served[where] = (delivery, task)

    async def _take_turns(self, asked: Sequence[Asked]) -> Sequence[Turn | VaultError | None]:
        now_us = self.clock.now_us()
        return await self.database.write(take_turns, asked, self.vault, pusher=self.id, now_us=now_us)

    async def _note_pushes(self, notes: Sequence[Note]) -> Sequence[bool]:
        return await self.database.write(note_pushes, notes, self.clock.now_us())


class Delivery:
    """One destination's state between two turns: its connections, and how often it failed."""

    def __init__(self, pusher: Pusher, where: Where, gather_s: float = 0.0) -> None:
        self._pusher = pusher
        self._org, self._kind, _ = where
        self._gather_s = gather_s
        self._sender: Sender | None = None
        self._failures = 0
        self._epoch: int | None = None
        self._metrics = MetricsPush()
        self._logs = LogsPush(pusher.database, self._org, pusher.clock)
        self._stay: asyncio.Timeout | None = None
        self._has_left = False

    async def serve(self, wait_s: float) -> None:
        """Push for ever, or until `leave`; then end the series that the receiver has."""
        try:
            try:
                await self._serve(wait_s)
            except TimeoutError:
                if not self._has_left:
                    raise
            await self._end_series()
        finally:
            await self.close()

    async def _serve(self, pause_s: float) -> None:
        """TimeoutError when it is time to leave, wherever it is then."""
        loop, interval_s = asyncio.get_running_loop(), self._pusher.interval_s
        try:
            async with asyncio.timeout(0 if self._has_left else None) as self._stay:
                while True:
                    await asyncio.sleep(pause_s)
                    began_s = loop.time()
                    pause_s = await self.turn()
                    if pause_s == interval_s:  # in step, however long a turn takes; but never without a rest
                        pause_s = max(interval_s / 2, interval_s - (loop.time() - began_s))
        finally:
            self._stay = None

    def leave(self) -> None:
        """The destination is gone, or changed: whatever `serve` does now, it ends."""
        self._has_left = True
        if self._stay is not None:
            self._stay.reschedule(asyncio.get_running_loop().time())

    async def turn(self) -> float:
        """Push what there is; returns the seconds until the next turn."""
        pusher = self._pusher
        try:
            turn = await self._take_turn()
            if turn is None:
                return pusher.interval_s / 2
            if turn.epoch != self._epoch:  # another process may have pushed since
                self._metrics.forget()
                self._logs.forget()
                self._epoch = turn.epoch
            try:
                sender = await self._connected(turn)
            except ValueError as error:  # stored when the rules for endpoints were others
                verdict: Verdict | None = Verdict(outcome="refused", reason=str(error))
            else:
                verdict = await self._push(sender, turn)
            if verdict is None:  # another process has taken over: the rest is its
                return pusher.interval_s / 2
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
        seconds = max(pusher.interval_s, pusher.outbound.deadline_s) * _TURN_OUTLASTS_PAUSE
        until_us = _after(pusher.clock.now_us(), seconds)
        turn = await pusher.turns.ask(
            Asked(org=self._org, kind=self._kind, until_us=until_us), self._gather_s
        )
        if isinstance(turn, VaultError):
            raise turn
        return turn

    async def _connected(self, turn: Turn) -> Sender:
        if self._sender is None or _identity(self._sender.destination) != _identity(turn.destination):
            await self.close()
            pusher = self._pusher
            self._sender = Sender(turn.destination, pusher.outbound)
        return self._sender

    async def _push(self, sender: Sender, turn: Turn) -> Verdict | None:
        """Send what there is; None if the turn was lost meanwhile."""
        if self._kind == "prom":
            return await self._metrics.push(sender, turn)
        note = partial(self._note, turn, pause_s=self._pusher.outbound.deadline_s)
        return await self._logs.push(sender, turn, note)

    async def _note(
        self,
        turn: Turn,
        verdict: Verdict,
        *,
        pause_s: float,
        cursor_seq: int | None = None,
        refused: int = 0,
        too_old: int = 0,
    ) -> bool:
        """How it went, and that the turn is kept until after the pause; False if it is no longer ours."""
        pusher = self._pusher
        seconds = max(pause_s, pusher.interval_s) * _TURN_OUTLASTS_PAUSE
        note = Note(
            org=self._org,
            kind=self._kind,
            epoch=turn.epoch,
            until_us=_after(pusher.clock.now_us(), seconds),
            state=_STATES[verdict.outcome],
            error=verdict.reason,
            cursor_seq=cursor_seq,
            protocol=self._metrics.protocol,
            refused=refused + (verdict.outcome == "bad_content"),
            too_old=too_old,
        )
        return await pusher.notes.ask(note, self._gather_s)

    async def _end_series(self) -> None:
        """Stale markers for what this process sent, unless the same receiver is still pushed to."""
        if self._sender is None or not self._metrics.has_series:
            return
        destination = self._sender.destination
        try:
            stored = (await self._pusher.database.read(find_integrations, self._org)).get(self._kind)
        except StoreUnavailable:
            return
        if stored and (stored.user, stored.endpoint) == (destination.user, destination.endpoint):
            return
        verdict = await self._metrics.end(self._sender, self._pusher.clock.now_us() // US_PER_MS)
        _log.info("series of %s ended at %s: %s", self._org, destination.endpoint, verdict.outcome)

    def _pause_s(self, verdict: Verdict) -> float:
        interval_s = self._pusher.interval_s
        match verdict.outcome:
            case "sent" | "idle" | "bad_content":
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
