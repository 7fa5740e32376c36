"""What an operator has: a vendor, a data folder, a database, a configuration, an organisation that calls.

Owns making them, starting and stopping servers on them, and reading back bill, ledger and record;
does not own what befalls them (`scenarios.py`) or what must agree (`books.py`).
"""

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.soak.books import Record, Row
from tests.soak.load import Load, Pace, Seen
from tests.soak.processes import Process, running, start
from tests.world.waiting import until
from tollway.demo.bill import Line
from tollway.demo.offer import PRICES
from tollway.store.database import Database
from tollway.store.journals import JournalState, list_journals

ORG = "soaked"
PROVIDER = "faulty"
MODELS = tuple(f"{PROVIDER}/{name}" for name in PRICES)

MAX_RATE = 10**9
"""Calls per minute that nobody comes near."""

_OPERATOR_TOKEN = "operator-of-the-soak"
_SEGMENT_BYTES = 256 * 1024
_SETTLED_S = 60.0
_LISTENS = re.compile(r"listens on (http://\S+)")
_VENDOR_IS_AT = re.compile(r"^Vendor at (http://\S+)")


class Server:
    """One place where `tollway serve` is started, again and again."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._process: Process | None = None
        self._greeting: asyncio.Task[None] | None = None
        self.base: str | None = None
        """Where it accepts connections; None while it does not."""

    @property
    def process(self) -> Process:
        """The one that was started last."""
        assert self._process is not None
        return self._process

    async def begin(self, *flags: str) -> None:
        """Start it, without waiting until it accepts connections."""
        self._process = await start(
            self._folder,
            *("serve", "--port", "0", *flags),
            log=self._folder / "log",
            environment=self._environment,
        )
        self._greeting = asyncio.create_task(self._greeted())

    async def ready(self) -> str:
        """Wait until it accepts connections; where. EndedError."""
        assert self._greeting is not None
        await self._greeting
        assert self.base is not None
        return self.base

    async def start(self, *flags: str) -> str:
        """Both."""
        await self.begin(*flags)
        return await self.ready()

    async def kill(self) -> None:
        """`kill -9`, whatever it is doing."""
        self.base = None
        if self._process is not None:
            self.process.send(signal.SIGKILL)
            await self._forget_greeting()
            await self.process.ended()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.base = None
        await self._forget_greeting()
        return await self.process.stop()

    async def _greeted(self) -> None:
        self.base = await self.process.greeting(_LISTENS)

    async def _forget_greeting(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            await asyncio.wait([self._greeting])
        self._greeting = None
        self.base = None


@dataclass(kw_only=True)
class Installation:
    """All of it. `servers` share the folder and the database."""

    folder: Path
    vendor: Process
    sql_url: str
    servers: list[Server]
    environment: dict[str, str]
    app_key: str = ""
    user_token: str = ""
    org_id: str = ""
    start_s: float = 0.0
    """What the first start took."""
    loads: list[Load] = field(default_factory=list)

    @property
    def server(self) -> Server:
        """The first one."""
        return self.servers[0]

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def said(self) -> str:
        """What all servers and commands said."""
        return (self.folder / "log").read_text(errors="replace")

    def bases(self) -> Sequence[str]:
        """Servers that accept connections."""
        return [server.base for server in self.servers if server.base is not None]

    @property
    def calls(self) -> list[Seen]:
        """What clients have seen up to now."""
        return [seen for load in self.loads for seen in load.seen]

    def load(self, seed: int, pace: Pace) -> Load:
        """Clients of the organisation's app."""
        load = Load(self.app_key, MODELS, self.bases, seed, pace)
        self.loads.append(load)
        return load

    async def found(self) -> None:
        """Make the organisation and its app, by the API of a running server."""
        who = {"email": "soak@example.com", "name": "Soak"}
        self.user_token = (await self.ask("POST", "/v1/users", _OPERATOR_TOKEN, who))["token"]
        self.org_id = (await self.ask("POST", "/v1/orgs", self.user_token, {"org_name": ORG}))["id"]
        await self.change_org(rate_limit=MAX_RATE)
        app = {"name": "Soaked app", "benchmark_model": MODELS[-1]}
        self.app_key = (await self.ask("POST", "/v1/apps/create", self.user_token, app))["created_key"]

    async def change_org(self, **changes: object) -> None:
        """What only the operator sets."""
        await self.ask("PATCH", f"/v1/operator/orgs/{self.org_id}", _OPERATOR_TOKEN, changes)

    async def ask(self, method: str, path: str, token: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """The JSON of an answer of the control plane that is a success; its amounts are text."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(self.bases()[0]) as client,
            client.request(method, path, json=body, headers=headers) as answer,
        ):
            data = await answer.read()
            assert answer.ok, data
            return msgspec.json.decode(data)

    async def record(self) -> Record:
        """`GET /v1/orgs/current`."""
        async with (
            aiohttp.ClientSession(self.bases()[0]) as client,
            client.get("/v1/orgs/current", headers={"Authorization": f"Bearer {self.user_token}"}) as answer,
        ):
            return msgspec.json.decode(await answer.read(), type=Record)

    async def readiness(self) -> tuple[int, Any]:
        """`GET /readyz`: status and checks."""
        async with aiohttp.ClientSession(self.bases()[0]) as client, client.get("/readyz") as answer:
            return answer.status, (await answer.json())["checks"]

    async def command(self, *arguments: str) -> tuple[int, str]:
        """A command that ends by itself, beside the servers or without them: exit code and output."""
        log = self.folder / "log"
        process = await start(self.folder, *arguments, log=log, environment=self.environment)
        try:
            return await process.output()
        finally:
            await process.kill()

    async def rows(self) -> list[Row]:
        """Every ledger row of the organisation, by `tollway ledger export`."""
        target = self.folder / "rows.jsonl"
        code, said = await self.command(
            "ledger", "export", "--org", ORG, "--format", "jsonl", "--output", str(target)
        )
        assert code == 0, said or self.said
        return msgspec.json.Decoder(Row).decode_lines(target.read_bytes())

    async def bill(self) -> list[Line]:
        """The vendor's bill, once it has ended: what was under way is on it."""
        assert await self.vendor.stop() == 0
        return msgspec.json.Decoder(Line).decode_lines((self.folder / "bill.jsonl").read_bytes())

    async def journals(self) -> list[JournalState]:
        """What the database knows of journals."""
        with closing(Database(self.sql_url)) as database:
            return await database.read(list_journals)

    async def adopted(self, alive: int) -> None:
        """Wait until all journals but those of the `alive` servers are folded to their ends."""
        with closing(Database(self.sql_url)) as database:

            async def are_folded() -> bool:
                states = await database.read(list_journals)
                return sum(state.closed_us is None for state in states) <= alive

            await until(are_folded, "journals are not adopted", within_s=_SETTLED_S)


@asynccontextmanager
async def installation(
    folder: Path,
    *,
    seed: int,
    database_url: str = "",
    servers: int = 1,
    vendor_flags: Sequence[str] = (),
    journal_disk_bytes: int | None = None,
    **settings: str,
) -> AsyncIterator[Installation]:
    """A vendor and a first server that run, and an organisation.

    `journal_disk_bytes`: journals lie on a disk of their own, which is so small.
    """
    data = folder / "data"
    environment = _laid_out(folder, {"data_dir": str(data), "database_url": database_url, **settings})
    disk = nullcontext() if journal_disk_bytes is None else small_disk(data / "journal", journal_disk_bytes)
    flags = ("demo", "vendor", "--seed", str(seed), "--ledger", str(folder / "bill.jsonl"), *vendor_flags)
    with disk:
        async with running(folder, *flags, log=folder / "vendor.log") as vendor:
            (folder / "tollway.toml").write_text(_configuration(await vendor.greeting(_VENDOR_IS_AT)))
            places = [Server(folder, environment) for _ in range(servers)]
            made = Installation(
                folder=folder,
                vendor=vendor,
                sql_url=database_url or f"sqlite:///{data / 'tollway.db'}",
                servers=places,
                environment=environment,
            )
            try:
                begun = asyncio.get_running_loop().time()
                await made.server.start()
                made.start_s = asyncio.get_running_loop().time() - begun
                await made.found()
                yield made
            finally:
                for server in places:
                    await server.kill()


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[None]:
    """A disk of its own in memory for one block; only root may mount it."""
    folder.mkdir(0o700, parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def _laid_out(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """A new folder with an empty log; the environment that these settings make."""
    folder.mkdir()
    (folder / "log").touch()
    # The least that there is: there are many new ones, and each killed server leaves one behind.
    made = {"operator_token": _OPERATOR_TOKEN, "journal_segment_bytes": str(_SEGMENT_BYTES), **settings}
    return {f"TOLLWAY_{name.upper()}": value for name, value in made.items()}


def _configuration(vendor_url: str) -> str:
    """`tollway.toml`: the vendor as a provider, at the vendor's own prices."""
    parts = [f'[providers.{PROVIDER}]\ndialect = "openai"\nbase_url = "{vendor_url}"\nmodels_only = true']
    for name, price in PRICES.items():
        parts.append(
            f'[[models]]\nname = "{PROVIDER}/{name}"\nprovider = "{PROVIDER}"\nupstream = "{name}"\n'
            f'price = {{ input = "{price.input}", cached_input = "{price.cached_input}", '
            f'output = "{price.output}" }}'
        )
    return "\n\n".join(parts) + "\n"
