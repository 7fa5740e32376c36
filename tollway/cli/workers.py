"""Several processes that answer on one port: started, kept alive and stopped by a parent.

Owns the processes, what a worker is told when it starts (through its standard input: the
settings hold secrets) and how it notices that its parent is gone (that input ends). Does not own
what a worker does (`serve.py`). A worker that ends is followed by another, until the parent stops.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec

from tollway.domain.token import Secret
from tollway.settings import Settings, SettingsError

WRONG_CONFIGURATION = 2
"""The exit code of a process that cannot work with its settings."""

FLAG = "--as-worker"

_LEAST_PAUSE_S = 1.0
_MOST_PAUSE_S = 30.0
_SETTLED_S = 60.0
_TWICE_S = 1.0
"""`timeout`, for one, signals a process and then its group: what comes twice at once is one wish."""
_READ_BYTES = 65_536

_log = logging.getLogger(__name__)


class Briefing(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told: its number from 1, its parent's listening socket, and all settings."""

    number: int
    listener: int
    settings: Settings

    def encoded(self) -> bytes:
        """One line of JSON, with the secrets in plain: for a pipe only."""
        return msgspec.json.encode(self, enc_hook=_revealed) + b"\n"


def read_briefing(descriptor: int) -> Briefing:
    """What the parent wrote to this descriptor; SettingsError if it is no briefing."""
    parts = []
    while part := os.read(descriptor, _READ_BYTES):
        parts.append(part)
        if part.endswith(b"\n"):
            break
    try:
        return msgspec.json.decode(b"".join(parts), type=Briefing, dec_hook=_secret)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SettingsError(f"{FLAG} is for the processes that `tollway serve --workers` starts") from None


def when_parent_ends(descriptor: int, stop: asyncio.Event) -> None:
    """Set `stop` once the parent is gone, however it went: nobody holds the other end then."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(descriptor)
        stop.set()

    loop.add_reader(descriptor, ended)


def command() -> list[str]:
    """This interpreter, running a worker of the same Tollway."""
    # `-m` looks in the current folder first: only where this process was found that way too.
    isolated = [] if str(Path.cwd()) in sys.path else ["-P"]
    return [sys.executable, *isolated, "-m", "tollway", "serve", FLAG]


def pause_s(lived_s: float, last_s: float) -> float:
    """Seconds until the next start, after a worker that lived so long and the pause before it."""
    return _LEAST_PAUSE_S if lived_s >= _SETTLED_S else min(max(2 * last_s, _LEAST_PAUSE_S), _MOST_PAUSE_S)


class Workers:
    """`settings.workers` processes of `command`, each with the listener and the settings."""

    def __init__(self, settings: Settings, listener: socket.socket, command: Sequence[str]) -> None:
        self._settings = settings
        self._listener = listener
        self._command = command
        self._code = 0
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._ended_s = 0.0

    def end(self) -> None:
        """Ask them to end (SIGTERM); asked again a second later or more: kill them."""
        now_s = asyncio.get_running_loop().time()
        if not self._stop.is_set():
            self._stop.set()
            self._ended_s = now_s
        elif now_s - self._ended_s >= _TWICE_S:
            self._kill.set()

    async def run(self) -> int:
        """Keep them until `end`; the exit code: 0 if all ended well, 2 for a wrong configuration."""
        async with asyncio.TaskGroup() as group:
            for number in range(1, self._settings.workers + 1):
                group.create_task(self._keep(number), name=f"worker {number}")
            await self._stop.wait()
            self._listener.close()  # once the workers have closed theirs too, callers are refused
        return self._code

    async def _keep(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        is_first, wait_s = True, 0.0
        while not self._stop.is_set():
            began_s = loop.time()
            try:
                code = await self._run_one(number)
            except OSError as error:
                _log.error("worker %d cannot be started: %s", number, error)
            else:
                if self._stop.is_set():
                    self._code = self._code or int(code not in (0, -signal.SIGTERM))
                    return
                _log.error("worker %d ended with %s", number, _said(code))
                if is_first and code == WRONG_CONFIGURATION:
                    self._code = code
                    self._stop.set()
            is_first = False
            wait_s = pause_s(loop.time() - began_s, wait_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait_s)

    async def _run_one(self, number: int) -> int:
        """One process from its start to its end; its exit code, negative for a signal. OSError."""
        briefing = Briefing(number=number, listener=self._listener.fileno(), settings=self._settings)
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(briefing.listener,),
            start_new_session=True,  # a terminal's Ctrl-C is for the parent alone
        )
        _log.info("worker %d is process %d", number, process.pid)
        told = cast("asyncio.StreamWriter", process.stdin)  # a pipe, as asked for
        told.write(briefing.encoded())  # and it stays open: when it ends, so have we
        ended = asyncio.create_task(process.wait())
        for event, end in ((self._stop, process.terminate), (self._kill, process.kill)):
            await _either(ended, event)
            if not ended.done():
                end()
        return await ended


async def _either(ended: asyncio.Task[int], event: asyncio.Event) -> None:
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({ended, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _said(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is no setting")


def _secret(_type: type, value: object) -> Secret:
    return Secret(str(value))
