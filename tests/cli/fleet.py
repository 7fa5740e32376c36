"""`tollway serve --workers N` as real processes, and a vendor that answers when it is let."""

import asyncio
import os
import re
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from sqlalchemy import Connection, make_url, text

from tests.cli.processes import COMMAND, environment, follow
from tollway.demo.vendor import DemoVendor
from tollway.domain.ids import OrgId
from tollway.domain.ledger import Entry
from tollway.store.database import Database
from tollway.store.usage import read_entries

HELD = "held/small"

_KEY = "key-of-the-held-vendor"
_POLL_S = 0.01
_CONFIGURATION = """
[providers.held]
dialect = "openai"
base_url = "{base_url}"
api_key_env = "HELD_KEY"

[[models]]
name = "held/small"
provider = "held"
upstream = "small"
price = {{ input = "0.40", output = "1.60" }}
"""


class HeldVendor(DemoVendor):
    """The demo vendor, that lets a call wait for the gate which it found at its arrival."""

    def __init__(self) -> None:
        super().__init__(api_key=_KEY)
        self.gate = asyncio.Event()
        self.gate.set()
        self._arrived = asyncio.Semaphore(0)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The demo vendor's answer, when it is let."""
        gate = self.gate
        self._arrived.release()
        await gate.wait()
        return await super().handle(request)

    async def arrival(self) -> None:
        """Wait until another call is here."""
        await self._arrived.acquire()


class Fleet:
    """A parent and its workers, on one database."""

    def __init__(self, process: asyncio.subprocess.Process, database_url: str, greeting: str) -> None:
        assert process.stderr is not None
        self.process = process
        self.greeting = greeting
        self._database_url = database_url
        self.base = self._found(r"http://\S+\d")
        self._app_key = self._found(r"twk_\S+")
        self._user_token = self._found(r"twu_\S+")
        self.log = ""
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read(process.stderr))

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, self.greeting)
        assert found is not None, self.greeting
        return found[0]

    async def _read(self, stderr: asyncio.StreamReader) -> None:
        while line := await stderr.readline():
            async with self._news:
                self.log += line.decode()
                self._news.notify_all()

    async def logged(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until the log has the pattern so many times; what it found."""

        def is_there() -> bool:
            return len(re.findall(pattern, self.log)) >= times

        async with self._news:
            await self._news.wait_for(is_there)
        return re.findall(pattern, self.log)

    async def accepting(self, number: int, times: int = 1) -> int:
        """Wait until so many processes in turn were this worker; the last one's id."""
        return int((await self.logged(rf"\[worker {number}\] \S+ process (\d+) accepts", times))[-1])

    async def ask(self, model: str) -> tuple[int, str | None]:
        """A call on a connection of its own: its status and request id; aiohttp.ClientError."""
        async with (
            aiohttp.ClientSession(self.base) as client,
            client.post(
                "/v1/chat/completions",
                json={"model": model, "messages": [{"role": "user", "content": "Hello!"}]},
                headers={"Authorization": f"Bearer {self._app_key}"},
            ) as answer,
        ):
            await answer.read()
            return answer.status, answer.headers.get("x-request-id")

    async def held(self, vendor: HeldVendor) -> "asyncio.Task[tuple[int, str | None]]":
        """A call that has reached the vendor; AssertionError with its answer if it never does."""
        call = asyncio.create_task(self.ask(HELD))
        arrival = asyncio.create_task(vendor.arrival())
        await asyncio.wait({call, arrival}, return_when=asyncio.FIRST_COMPLETED)
        if not arrival.done():
            arrival.cancel()
            raise AssertionError(f"the vendor was not asked: {call.result()}\n{self.log}")
        return call

    @asynccontextmanager
    async def paused(self, process_id: int) -> AsyncIterator[None]:
        """A worker that does nothing for a block's time, and holds no lock the others would wait for."""
        while True:
            with frozen(process_id):
                if not await self._is_locked():
                    yield
                    return
            await asyncio.sleep(_POLL_S)

    async def _is_locked(self) -> bool:
        url = make_url(self._database_url)
        if url.database is not None and url.get_backend_name() == "sqlite":
            with closing(sqlite3.connect(url.database, timeout=0, isolation_level=None)) as db:
                try:
                    db.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    return True
                return False
        with closing(Database(self._database_url)) as database:
            return await database.read(_is_written)

    async def org(self) -> OrgId:
        """The demo organisation."""
        url, header = f"{self.base}/v1/orgs/current", f"Authorization: Bearer {self._user_token}"
        record: Any = await follow(["curl", url, "-H", header])
        return OrgId(record["id"])

    async def entries(self, org: OrgId, wanted: Callable[[list[Entry]], bool]) -> list[Entry]:
        """What the ledger holds of the organisation, once it is what is wanted."""
        database = Database(self._database_url)
        try:
            while True:
                rows = await database.read(read_entries, org, limit=1_000)
                entries = [row.entry for row in rows]
                if wanted(entries):
                    return entries
                await asyncio.sleep(0.05)
        finally:
            database.close()

    async def refused(self) -> None:
        """Wait until nobody listens."""
        host, _, port = self.base.removeprefix("http://").partition(":")
        with suppress(ConnectionRefusedError):
            while True:
                with suppress(ConnectionResetError), socket.create_connection((host, int(port))):
                    await asyncio.sleep(0.05)

    async def ended(self) -> int:
        """Wait until the parent and every worker have ended; the parent's exit code."""
        await self._reading  # all of them hold the other end
        return await self.process.wait()


def _is_written(db: Connection) -> bool:
    writers = "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid'"
    return bool(db.execute(text(writers)).scalar_one())


@asynccontextmanager
async def fleet(folder: Path, vendor: HeldVendor, database_url: str) -> AsyncIterator[Fleet]:
    """Two workers on a new data folder, with the demo organisation and this vendor."""
    (folder / "tollway.toml").write_text(_CONFIGURATION.format(base_url=vendor.base_url), "utf-8")
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("serve", "--port", "0", "--workers", "2", "--demo", "on"),
        cwd=folder,
        env={**environment(folder, database_url=database_url), "HELD_KEY": _KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        greeting = (await process.stdout.read(4_096)).decode()
        if not greeting:
            raise AssertionError((await process.stderr.read()).decode())
        server = Fleet(process, database_url, greeting)
        yield server
        await server.ended()
    finally:
        if process.returncode is None:
            process.kill()  # its workers notice
            await process.wait()


@contextmanager
def frozen(process_id: int) -> Iterator[None]:
    """A process that does nothing for a block's time."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)
