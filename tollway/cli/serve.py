"""`tollway serve`: one process, or a parent and its workers, from the settings to the last folded row.

Owns the listening socket, signals and what is printed at the start; does not own what runs
(`world.py`), what is answered (`web/`) or the keeping of workers (`workers.py`). A parent makes
what is made once and answers nothing; each worker is a whole world of its own.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvicorn
import uvloop

from tollway.cli.configuration import Commands, settings_of
from tollway.cli.first_start import FirstStart, first_start, greeting
from tollway.cli.workers import FLAG, Workers, command, read_briefing, when_parent_ends
from tollway.demo.offer import with_demo
from tollway.demo.vendor import DemoVendor
from tollway.domain.errors import StoreUnavailable
from tollway.settings import Settings, SettingsError, scalars
from tollway.store.database import has_running_threads
from tollway.web.app import App, metrics_alone
from tollway.web.protocol import bounded
from tollway.world import World, open_world

_KEEP_ALIVE_S = 75
"""Longer than a load balancer's usual minute: it should be the one to close."""

_BACKLOG = 2_048

_log = logging.getLogger(__name__)


def add(commands: Commands) -> None:
    """Add `tollway serve`, with a flag for each scalar setting."""
    parser = commands.add_parser("serve", help="run the gateway", description="Run the gateway.")
    for name, description in scalars().items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=name, metavar="VALUE", help=description.replace("%", "%%"))
    parser.add_argument(FLAG, action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    if asked.as_worker:
        return run_worker(sys.stdin.fileno())
    flags = {name: value for name in scalars() if (value := getattr(asked, name)) is not None}
    return run_server(settings_of(flags))


def run_server(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; the exit code."""
    _log_to_stderr("")
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        print(f"tollway: cannot listen on {settings.host}:{settings.port}: {error}", file=sys.stderr)
        return 1
    return _run_to_its_end(_lead if settings.workers > 1 else _serve, settings, listener)


def run_worker(descriptor: int) -> int:
    """Serve as the parent says through this descriptor, and until it ends; the exit code."""
    briefing = read_briefing(descriptor)
    _log_to_stderr(f"[worker {briefing.number}] ")

    async def work(settings: Settings, listener: socket.socket) -> int:
        return await _work(settings, listener, descriptor, briefing.number)

    return _run_to_its_end(work, briefing.settings, socket.socket(fileno=briefing.listener))


def _log_to_stderr(who: str) -> None:
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s {who}%(name)s: %(message)s")
    for noisy in ("uvicorn.error", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _run_to_its_end(
    serve: Callable[[Settings, socket.socket], Coroutine[None, None, int]],
    settings: Settings,
    listener: socket.socket,
) -> int:
    code = 1
    try:
        code = uvloop.run(serve(settings, listener))
    except StoreUnavailable as error:
        print(f"tollway: database_url: {error}", file=sys.stderr)
    finally:
        listener.close()
    if has_running_threads():
        _log.error("the database answers no more: leaving without it")
        logging.shutdown()
        os._exit(1)  # Python itself would wait for the threads for ever
    return code


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; OSError, before anything else was done, if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def serving(world: World, listener: socket.socket, started: Callable[[], None]) -> AsyncIterator[None]:
    """Answer requests until left; then drain. `started` is called once connections are accepted."""
    async with _answering(App(world), world.settings, listener, started):
        yield


@asynccontextmanager
async def serving_metrics(world: World, listener: socket.socket | None) -> AsyncIterator[None]:
    """Answer the operator's own port until left, where there is one."""
    if listener is None:
        yield
        return

    def started() -> None:
        _log.info("metrics of this process: port %d", listener.getsockname()[1])

    async with _answering(metrics_alone(world), world.settings, listener, started):
        yield


@contextlib.contextmanager
def metrics_listener(settings: Settings, number: int = 0) -> Generator[socket.socket | None]:
    """The operator's own port of this process; None where there is none. SettingsError if it is taken."""
    if not settings.metrics_port:
        yield None
        return
    port = settings.metrics_port + number
    try:
        listener = listen(settings.metrics_host, port)
    except OSError as error:
        where = f"{settings.metrics_host}:{port}"
        raise SettingsError(f"metrics_port: cannot listen on {where}: {error}") from None
    with contextlib.closing(listener):
        yield listener


@asynccontextmanager
async def _answering(
    app: Any,  # noqa: ANN401 - any ASGI application
    settings: Settings,
    listener: socket.socket,
    started: Callable[[], None],
) -> AsyncIterator[None]:
    server = _Server(
        uvicorn.Config(
            app,
            http=bounded(settings.client_idle_s),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # anybody may write one, and the audit trail tells whom we are connected to
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=settings.drain_s,
        ),
        started,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve([listener]), name="serve")
        try:
            yield
        finally:
            server.should_exit = True


async def _serve(settings: Settings, listener: socket.socket) -> int:
    """The only process."""
    stop = asyncio.Event()
    _on_signals(stop.set)
    async with AsyncExitStack() as stack:
        metrics = stack.enter_context(metrics_listener(settings))
        offered = await stack.enter_async_context(demo_offered(settings))
        world = await stack.enter_async_context(open_world(offered))
        begun = await first_start(world)
        await stack.enter_async_context(serving_metrics(world, metrics))
        await stack.enter_async_context(serving(world, listener, lambda: _greet(settings, listener, begun)))
        await stop.wait()
    return 0


async def _lead(settings: Settings, listener: socket.socket) -> int:
    """The parent: what is done once, then the keeping of workers."""
    async with demo_offered(settings) as offered:
        workers = Workers(offered, listener, command())
        _on_signals(workers.end)
        # What cannot work is told here, once, before any worker starts.
        async with open_world(offered, runs_tasks=False) as world:
            begun = await first_start(world)
        listener.listen(_BACKLOG)  # callers wait from now on, until a worker takes them
        _greet(settings, listener, begun)
        return await workers.run()


async def _work(settings: Settings, listener: socket.socket, descriptor: int, number: int) -> int:
    """One worker, whose parent is at the other end of the descriptor."""
    stop = asyncio.Event()
    _on_signals(stop.set)
    when_parent_ends(descriptor, stop)

    def started() -> None:
        _log.info("process %d accepts connections", os.getpid())

    with metrics_listener(settings, number) as metrics:
        async with (
            open_world(settings) as world,
            serving_metrics(world, metrics),
            serving(world, listener, started),
        ):
            await stop.wait()
    return 0


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


@asynccontextmanager
async def demo_offered(settings: Settings) -> AsyncIterator[Settings]:
    """The settings, with the demo vendor running beside us where it is wanted."""
    if not settings.has_demo:
        yield settings
        return
    api_key = secrets.token_urlsafe(32)
    async with DemoVendor(api_key=api_key) as vendor:
        yield with_demo(settings, vendor, api_key)


def _greet(settings: Settings, listener: socket.socket, begun: FirstStart) -> None:
    host, port = listener.getsockname()[:2]
    print(greeting(settings, host, port, begun), flush=True)


class _Server(uvicorn.Server):
    """uvicorn's server, with signals left to us: what follows its end must still run."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then say so."""
        await super().startup(sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing: `run_server` handles them."""
        yield
