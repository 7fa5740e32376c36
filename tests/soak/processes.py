"""`tollway …` as processes that can be killed at any instant; each is ended by its own id.

Owns starting, signals, and what a process said; does not own what it is started for.
"""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
START_S = 60.0
END_S = 90.0
_KIB = 1024
_RSS = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)
_SHOWN_CHARS = 2_000


class EndedError(Exception):
    """A process ended where it should have run; with the end of what it said."""


class Process:
    """`python -m tollway …`, running."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def greeting(self, pattern: re.Pattern[str]) -> str:
        """The first group of the first line of its output that has the pattern; EndedError."""
        assert self._process.stdout is not None
        async with asyncio.timeout(START_S):
            while line := await self._process.stdout.readline():
                if found := pattern.search(line.decode()):
                    return found[1]
        raise EndedError(f"it ended with {await self._process.wait()}:\n{self.said[-_SHOWN_CHARS:]}")

    @property
    def said(self) -> str:
        """What it, and all that shared its log, said."""
        return self._log.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def rss_bytes(self) -> int:
        """The memory that it has at the moment."""
        found = _RSS.search(Path(f"/proc/{self._process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * _KIB

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing if it has ended."""
        if self.is_running:
            self._process.send_signal(number)

    async def output(self) -> tuple[int, str]:
        """The exit code and the output of one that ends by itself."""
        async with asyncio.timeout(END_S):
            out, _ = await self._process.communicate()
            return await self._process.wait(), out.decode()

    async def kill(self) -> None:
        """`kill -9`, and wait for its end."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.send(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        assert self._process.stdout is not None
        async with asyncio.timeout(END_S):
            await self._process.stdout.read()  # to its end, so that the pipe closes with the process
            return await self._process.wait()


async def start(
    folder: Path, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> Process:
    """Start `python -m tollway ARGUMENTS` in this folder; it sees nothing of who runs the tests."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tollway", *arguments),
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    return Process(process, log)


@asynccontextmanager
async def running(
    folder: Path, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """The same for one block: whatever happens in it, the process ends with it."""
    process = await start(folder, *arguments, log=log, environment=environment)
    try:
        yield process
    finally:
        await process.kill()
