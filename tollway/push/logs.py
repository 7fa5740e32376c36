"""One organisation's log lines on their way: rows after the cursor, push by push, in order.

Each push that is done is noted at once: it may outlast a turn, and whoever takes over goes on where
the cursor stands. Owns the pace, and the search for a line that is refused; does not own what is
sent together (`streams.py`), the line (`lines.py`) or the cursor (`store/turns.py`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Protocol

from tollway.domain.body import KEEPS_BODIES
from tollway.domain.clock import Clock
from tollway.domain.ids import OrgId
from tollway.push import loki
from tollway.push.delivery import IDLE, SENT, Sender, Verdict
from tollway.push.streams import MAX_LINES_PER_PUSH, Push, Streams
from tollway.store.bodies import read_bodies
from tollway.store.database import Database
from tollway.store.turns import Turn
from tollway.store.usage import StoredEntry, read_entries

ROUNDS_PER_TURN = 20
"""So that a backlog of days is caught up at a bounded rate: 20,000 rows each interval."""
BYTES_PER_S = 2_000_000
"""Half of what Loki takes by default, before compression."""
ROWS_WITH_BODIES = 32
"""Read at once where prompts and answers are pushed, which may be half a megabyte each."""

_log = logging.getLogger(__name__)


class NotePart(Protocol):
    """Moves the cursor; False if the turn is another process's now."""

    def __call__(
        self, verdict: Verdict, /, *, cursor_seq: int, refused: int = 0, too_old: int = 0
    ) -> Awaitable[bool]:
        """Rows up to this one are done; so many of them were refused, or not sent."""
        ...


class LogsPush:
    """What one process knows of one receiver of lines, between two turns."""

    def __init__(self, database: Database, org: OrgId, clock: Clock) -> None:
        self._database = database
        self._org = org
        self._clock = clock
        self._streams: Streams | None = None
        self._has_posted = False

    def forget(self) -> None:
        """Another process pushes now: what is in the streams is not known any more."""
        self._streams = None

    async def push(self, sender: Sender, turn: Turn, note: NotePart) -> Verdict | None:
        """The rows after the cursor, up to a bound for one turn; None if the turn was lost."""
        cursor = turn.cursor_seq
        self._has_posted = False
        for _ in range(ROUNDS_PER_TURN):
            rows = await self._rows(cursor, ROWS_WITH_BODIES if _shows_bodies(turn) else MAX_LINES_PER_PUSH)
            if not rows:
                break
            verdict = await self._push_rows(sender, turn, rows, note)
            if verdict is not SENT:
                return verdict
            cursor = rows[-1].seq
        if self._has_posted:
            return SENT
        return IDLE if turn.state == "ok" else await self._knock(sender)

    async def _knock(self, sender: Sender) -> Verdict:
        """Whether the receiver would take lines, where there are none yet."""
        verdict = await sender.post(loki.knock(), loki.HEADERS)
        return SENT if verdict.outcome == "bad_content" else verdict

    async def _push_rows(
        self, sender: Sender, turn: Turn, rows: Sequence[StoredEntry], note: NotePart
    ) -> Verdict | None:
        streams = await self._known(turn)
        bodies = (
            await self._database.read(read_bodies, self._org, {row.entry.request_id for row in rows})
            if _shows_bodies(turn)
            else {}
        )
        pushes = streams.pushes(
            rows,
            now_us=self._clock.now_us(),
            privacy_level=turn.privacy_level,
            app_levels=turn.app_levels,
            bodies=bodies,
        )
        # Made one by one, each in a thread: a thousand lines take long enough to hold up requests.
        while (push := await asyncio.to_thread(next, pushes, None)) is not None:
            verdict = await self._deliver(sender, streams, push, note)
            if verdict is not SENT:
                return verdict
            await asyncio.sleep(push.size_bytes / BYTES_PER_S)
        return SENT

    async def _known(self, turn: Turn) -> Streams:
        """The streams as the receiver has them: at first, what the rows before the cursor say of that."""
        if self._streams is None:
            self._streams = Streams(org=turn.org_name)
            before = await self._rows(turn.cursor_seq - MAX_LINES_PER_PUSH, MAX_LINES_PER_PUSH)
            sent = [row for row in before if row.seq <= turn.cursor_seq]
            self._streams.recall(sent, now_us=self._clock.now_us())
        return self._streams

    async def _rows(self, after_seq: int, limit: int) -> Sequence[StoredEntry]:
        return await self._database.read(read_entries, self._org, after_seq=after_seq, limit=limit)

    async def _deliver(self, sender: Sender, streams: Streams, whole: Push, note: NotePart) -> Verdict | None:
        """Send a push; what is refused for its content is halved until the bad line is found.

        That line gets another chance, with the time of sending: it may be only too far behind.
        """
        parts = [whole]
        while parts:
            push = streams.refit(parts.pop())
            verdict = await self._post(sender, push)
            if verdict.outcome == "bad_content" and len(push.lines) > 1:
                parts += reversed(push.halves())
                continue
            if verdict.outcome == "bad_content":
                _log.info("line %d of %s was refused: %s", push.upto_seq, self._org, verdict.reason)
                push = push.retimed(self._clock.now_us())
                verdict = await self._post(sender, push)
            is_bad = verdict.outcome == "bad_content"
            if is_bad:
                _log.warning("line %d of %s is left out: %s", push.upto_seq, self._org, verdict.reason)
            elif verdict.outcome not in ("sent", "idle"):
                return verdict
            else:
                streams.sent(push)
            done = IDLE if verdict is IDLE else SENT
            counted = {"refused": int(is_bad), "too_old": len(push.too_old)}
            if not await note(done, cursor_seq=push.upto_seq, **counted):
                return None
        return SENT

    async def _post(self, sender: Sender, push: Push) -> Verdict:
        if not push.lines:
            return IDLE
        self._has_posted = True
        return await sender.post(await asyncio.to_thread(push.encode), loki.HEADERS)


def _shows_bodies(turn: Turn) -> bool:
    return KEEPS_BODIES in (turn.privacy_level, *turn.app_levels.values())
