"""Many clients of one organisation that ask again and again, and what each of them saw.

Owns when a client asks again, leaves in the midst, and stops; does not own what a single request
looks like to its client (`load.py`), or what should have come of it (`limits.py`).
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec

from tests.soak.load import Seen, asked

PATIENCE_S = 60.0
_REFUSED = frozenset({402, 429})
_NEW_CONNECTION_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How its clients behave."""

    clients: int = 64
    model: str
    words: tuple[int, int]
    """Of a prompt, at least and at most; the demo vendor's answer is a little longer."""
    stream_share: float = 0.2
    refusals: int | None = None
    """In a row, after which a client stops; None: it never does by itself."""
    back_off_s: tuple[float, float]
    """After a refusal."""
    stays_s: tuple[float, float] | None = None
    """How long each client waits for an answer before it leaves; None: for ever."""


class Crowd:
    """The clients. `seen` grows while they ask."""

    def __init__(self, base: str, app_key: str, habit: Habit, seed: int) -> None:
        self.seen: list[Seen] = []
        self._base = base
        self._headers = {"Authorization": f"Bearer {app_key}", "Content-Type": "application/json"}
        self._habit = habit
        self._seed = seed
        self._is_over = False
        self._leaves: int | None = None

    @property
    def counts(self) -> Counter[str]:
        """How many there were of each sort: `answered`, an error's code …; and of all, `shortened`."""
        counts = Counter(_sort_of(one) for one in self.seen)
        counts["shortened"] = sum(one.cap is not None for one in self.seen)
        return +counts

    async def until_refused(self) -> None:
        """Ask until each client stops."""
        await self._run(None)

    async def until_left(self, times: int) -> None:
        """Ask until clients have left so often."""
        await self._run(times)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask while the block runs; then each client finishes what it began."""
        clients = asyncio.create_task(self._run(None))
        try:
            yield
        finally:
            self._is_over = True
            await clients

    async def _run(self, leaves: int | None) -> None:
        self._is_over = False
        self._leaves = leaves
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connector, headers=self._headers) as session,
            asyncio.TaskGroup() as group,
        ):
            for number in range(self._habit.clients):
                group.create_task(self._client(session, number))

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")  # noqa: S311 - it has to be replayed
        habit, refused = self._habit, 0
        while not self._is_over and refused != habit.refusals:
            seen = await self._ask(session, chance)
            if seen.status in _REFUSED:
                refused += 1
                await asyncio.sleep(chance.uniform(*habit.back_off_s))
            else:
                refused = 0

    async def _ask(self, session: aiohttp.ClientSession, chance: random.Random) -> Seen:
        habit = self._habit
        seen = Seen(
            user=f"crowd-{self._seed}-{chance.getrandbits(64):016x}",
            is_stream=chance.random() < habit.stream_share,
        )
        body = msgspec.json.encode(body_of(seen, habit.model, chance.randint(*habit.words)))
        headers = {"Connection": "close"} if chance.random() < _NEW_CONNECTION_SHARE else {}
        stays_s = PATIENCE_S if habit.stays_s is None else chance.uniform(*habit.stays_s)
        try:
            async with asyncio.timeout(stays_s):
                await asked(session, self._base, body, seen, headers)
        except TimeoutError:
            if habit.stays_s is None:
                raise
            seen.hung_up = True
            if self._leaves is not None:
                self._leaves -= 1
                self._is_over |= self._leaves <= 0
        except aiohttp.ClientError:
            pass  # broken off: a worker was killed
        self.seen.append(seen)
        return seen


def _sort_of(seen: Seen) -> str:
    if seen.code is not None:
        return seen.code
    if seen.hung_up:
        return "left"
    return "answered" if seen.is_done else "broken_off"


def body_of(seen: Seen, model: str, words: int) -> dict[str, object]:
    """A chat request that states no cap."""
    return {
        "model": model,
        "user": seen.user,
        "messages": [{"role": "user", "content": "a " * words}],
        "stream": seen.is_stream,
    }


@asynccontextmanager
async def connection(base: str, app_key: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with one connection, which is open: whoever accepted it answers all that is asked."""
    headers = {"Authorization": f"Bearer {app_key}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), headers=headers) as session:
        async with session.get(f"{base}/healthz") as answer:
            await answer.read()
        yield session
