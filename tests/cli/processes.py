"""`tollway` as a real process."""

import asyncio
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

COMMAND = [sys.executable, "-m", "tollway"]
ROOT = Path(__file__).parent.parent.parent


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """What a process sees: its folder, and nothing of whoever runs the tests."""
    variables = {f"TOLLWAY_{name.upper()}": value for name, value in settings.items()}
    return {"PYTHONPATH": str(ROOT), "TOLLWAY_DATA_DIR": str(folder / "data"), **variables}


@dataclass
class Served:
    """A server: what it printed once it accepted connections, and, once stopped, how it ended."""

    greeting: str
    base: str
    exit_code: int | None = None
    log: str = ""

    def shown(self, what: str) -> str | None:
        """A token of the greeting."""
        found = re.search(rf"^  {what} +(\S+)$", self.greeting, re.MULTILINE)
        return found and found[1]

    def curls(self) -> list[list[str]]:
        """The commands of the greeting, in words."""
        return [shlex.split(line) for line in self.greeting.splitlines() if line.startswith("  curl ")]


@asynccontextmanager
async def served(
    folder: Path, *flags: str, stop: int = signal.SIGTERM, **settings: str
) -> AsyncIterator[Served]:
    """`tollway serve` on a free port, stopped by a signal at the block's end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("serve", "--port", "0", *flags),
        cwd=folder,
        env=environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        # It is printed in one write, which a pipe keeps whole.
        greeting = (await process.stdout.read(4_096)).decode()
        found = re.search(r"http://\S+", greeting)
        if found is None:
            raise AssertionError((await process.communicate())[1].decode())
        server = Served(greeting=greeting, base=found[0])
        yield server
        process.send_signal(stop)
        out, log = await asyncio.wait_for(process.communicate(), 20)
        server.greeting += out.decode()
        server.log = log.decode()
        server.exit_code = process.returncode
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(folder: Path, *arguments: str, **settings: str) -> tuple[int | None, str, str]:
    """A command that ends by itself: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        cwd=folder,
        env=environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, log = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), log.decode()


async def follow(curl: list[str], status: int = 200) -> object:
    """Do what a curl line says, and read the JSON it gets."""
    words = iter(curl[1:])
    url, body, headers = "", None, {}
    for word in words:
        match word:
            case "-s":
                pass
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                body = next(words)
            case _:
                url = word
    method = "GET" if body is None else "POST"
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, url, data=body, headers=headers) as answer,
    ):
        assert answer.status == status, await answer.text()
        return msgspec.json.decode(await answer.read())
