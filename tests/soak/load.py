"""Many clients that ask, streaming and not, and hang up at times; and what each of them saw.

Owns the requests and the clients' own records; does not own what should have been seen
(`books.py`). Promise: the same seed asks the same, though not at the same moment.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec

_PATIENCE_S = 120.0
_PAUSE_S = 0.02
_HANG_UP_SHARE = 0.1
_HANG_UP_S = 0.15
_CAP_SHARE = 0.3
_MAX_CAP = 40
_LONG_SHARE = 0.02
_LONG_WORDS = 1_200
_WORDS = 60
_DONE = b"data: [DONE]\n\n"


class Seen(msgspec.Struct, kw_only=True):
    """One request as its client saw it. Without a status: not one byte of an answer."""

    user: str
    is_stream: bool
    request_id: str | None = None
    status: int | None = None
    code: str | None = None
    """Of an error, in the answer or in the midst of a stream."""
    cost_usd: str | None = None
    """What the answer's header said."""
    cap: str | None = None
    """What it was shortened to, by the answer's header."""
    is_complete: bool = False
    """It came to its last byte."""
    is_done: bool = False
    """It came to its last byte, and that was the end of a completion."""
    hung_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many clients, and the longest pause of each between two requests."""

    clients: int = 16
    pause_s: float = 0.08


class Load:
    """The clients. `bases` says which servers accept connections at the moment."""

    def __init__(
        self, app_key: str, models: Sequence[str], bases: Callable[[], Sequence[str]], seed: int, pace: Pace
    ) -> None:
        self.seen: list[Seen] = []
        self._headers = {"Authorization": f"Bearer {app_key}", "Content-Type": "application/json"}
        self._models = models
        self._bases = bases
        self._seed = seed
        self._pace = pace
        self._runs = 0
        self._is_over = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask while the block runs; then each client finishes what it began."""
        self._is_over = False
        self._runs += 1
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as session:
            clients = [
                asyncio.create_task(self._client(session, number)) for number in range(self._pace.clients)
            ]
            try:
                yield
            except BaseException:
                for client in clients:
                    client.cancel()
                raise
            finally:
                self._is_over = True
                await asyncio.gather(*clients, return_exceptions=True)
            for client in clients:
                client.result()

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        chance = random.Random(f"{self._seed} {self._runs} {number}")  # noqa: S311 - it has to be replayed
        while not self._is_over:
            await asyncio.sleep(chance.uniform(0, self._pace.pause_s))
            bases = self._bases()
            if bases:
                await self._ask(session, chance.choice(bases), chance)
            else:
                await asyncio.sleep(_PAUSE_S)

    async def _ask(self, session: aiohttp.ClientSession, base: str, chance: random.Random) -> None:
        seen = Seen(user=f"soak-{self._seed}-{chance.getrandbits(64):016x}", is_stream=chance.random() < 0.5)
        body = msgspec.json.encode(self._body(seen, chance))
        hangs_up = chance.random() < _HANG_UP_SHARE
        patience_s = chance.uniform(0, _HANG_UP_S) if hangs_up else _PATIENCE_S
        try:
            async with asyncio.timeout(patience_s):
                await asked(session, base, body, seen)
        except TimeoutError:
            if not hangs_up:
                raise
            seen.hung_up = True
        except aiohttp.ClientConnectorError:
            return  # nobody was asked
        except aiohttp.ClientError:
            pass  # broken off: a part of the answer, or none
        self.seen.append(seen)

    def _body(self, seen: Seen, chance: random.Random) -> dict[str, object]:
        words = _LONG_WORDS if chance.random() < _LONG_SHARE else chance.randint(1, _WORDS)
        body: dict[str, object] = {
            "model": chance.choice(self._models),
            "user": seen.user,
            "messages": [{"role": "user", "content": "word " * words}],
            "stream": seen.is_stream,
        }
        if chance.random() < _CAP_SHARE:
            body["max_tokens"] = chance.randint(1, _MAX_CAP)
        return body


async def asked(
    session: aiohttp.ClientSession,
    base: str,
    body: bytes,
    seen: Seen,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Ask, and note what comes as it comes. aiohttp.ClientError."""
    async with session.post(f"{base}/v1/chat/completions", data=body, headers=headers) as answer:
        seen.status = answer.status
        seen.cap = answer.headers.get("tollway-max-tokens")
        seen.request_id = answer.headers.get("x-request-id")
        seen.cost_usd = answer.headers.get("tollway-cost-usd")
        data = await answer.read()
    seen.is_complete = True
    seen.code = _error_code(data)
    seen.is_done = seen.status == 200 and seen.code is None and (not seen.is_stream or data.endswith(_DONE))


def _error_code(data: bytes) -> str | None:
    """The code of the error that an answer is, or that a stream ends with."""
    last = data.rstrip().rpartition(b"\n")[2].removeprefix(b"data: ")
    if last == b"[DONE]":
        return None
    try:
        error = msgspec.json.decode(last).get("error")
    except msgspec.DecodeError:  # the broken event that a vendor's stream ended with
        return None
    return None if error is None else str(error["code"])
