"""Order and time: an event loop on which nothing happens by chance that the seed does not decide.

Each process has a queue of its own that keeps its order; whose turn it is, how long a thread's
work waits and how long it takes are drawn. Time passes only when nobody has anything to do. A
process that is killed never takes another step; what its coroutines do while they are closed
reaches nothing.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar, TypeVarTuple, cast

from tollway.domain.clock import US_PER_S

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LONGEST_WAITS_S = (0.0, 0.002, 0.02, 0.4)
"""For a thread's work to begin, and again for its result to arrive."""


class Killed(BaseException):
    """What a process meets at the operation at which it is killed."""


class Life:
    """One start of one process, as far as time is concerned."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_paused = False
        """Whether it takes no step, and will not know that time has passed."""
        self.at_death: Callable[[], None] = lambda: None
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []


_life: ContextVar[Life] = ContextVar("_life")


class SkewedClock:
    """A process's clock."""

    def __init__(self, loop: "Loop", ahead_us: int) -> None:
        self._loop = loop
        self._ahead_us = ahead_us

    def now_us(self) -> int:
        """Microseconds since the epoch, as this process believes."""
        return self._loop.now_us() + self._ahead_us


class Loop:
    """The event loop of all processes; as much of one as they use."""

    def __init__(self, random: Random, began_us: int) -> None:
        self.random = random
        self.errors: list[str] = []
        self.is_calm = False
        """Whether threads take no time."""
        self.watch: Callable[[], None] = lambda: None
        """Called after each step."""
        self._began_us = began_us
        self._now_s = 0.0
        self._number = 0
        self._timers: list[tuple[float, int, Life, asyncio.Handle]] = []
        self._nature = Life("nature")  # whoever is no process of ours: the weather, the operator
        self._lives = [self._nature]
        self._dying: list[Life] = []
        self._own = cast("asyncio.AbstractEventLoop", self)

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return self._began_us + int(self._now_s * US_PER_S)

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._now_s

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run until `main` has ended, and kill whoever is left."""
        asyncio._set_running_loop(self._own)  # noqa: SLF001 - exported for those who write event loops
        try:
            task = self.create_task(main)
            while not task.done():
                self._step()
            task.result()
        finally:
            for life in self._lives:
                self.kill(life)
            self._bury()
            asyncio._set_running_loop(None)  # noqa: SLF001 - as above

    def spawn(self, life: Life, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task of a process."""
        if life not in self._lives:
            self._lives.append(life)
        context = copy_context()
        context.run(_life.set, life)
        return self.create_task(work, context=context)

    def kill(self, life: Life) -> None:
        """The process is gone, at once, wherever it is."""
        if life.is_alive:
            life.is_alive = False
            life.ready.clear()
            life.at_death()
            self._dying.append(life)

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """A task of the process whose context it is."""
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self._own, name=name, context=context)
        self._life_of(context).tasks.append(task)
        return task

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self._own)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """A step of the process, after those that it has to take already."""
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self._own, context)
        life = self._life_of(context)
        if life.is_alive:
            life.ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """A step in so many seconds."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """A step at a time."""
        context = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self._own, context)
        life = self._life_of(context)
        if life.is_alive:
            self._number += 1
            heapq.heappush(self._timers, (when, self._number, life, handle))
        return handle

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """A thread's work: done at one moment some time later, and known some time after that."""
        del executor
        future: asyncio.Future[T] = self.create_future()

        def tell(set_outcome: Callable[[Any], None], outcome: object) -> None:
            if not future.done():
                set_outcome(outcome)

        def work() -> None:
            try:
                told = (future.set_result, func(*args))
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to whoever waits
                self.call_later(self._wait_s(), tell, future.set_exception, error)
            else:
                self.call_later(self._wait_s(), tell, *told)

        self.call_later(self._wait_s(), work)
        return future

    def get_debug(self) -> bool:
        """Never."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what a callback let through; what else nobody asked for, a process left when it died."""
        error = context.get("exception")
        if "handle" in context and not isinstance(error, Killed):
            self.errors.append(f"{context['message']}: {error!r}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def _wait_s(self) -> float:
        return 0.0 if self.is_calm else self.random.random() * self.random.choice(_LONGEST_WAITS_S)

    def _step(self) -> None:
        timers = self._timers
        while timers and timers[0][0] <= self._now_s:
            _, _, life, handle = heapq.heappop(timers)
            if life.is_alive:
                life.ready.append(handle)
        ready = [life for life in self._lives if life.ready and not life.is_paused]
        if not ready:
            self._now_s = timers[0][0]  # IndexError: everybody waits for somebody else
            return
        life = ready[0] if len(ready) == 1 else self.random.choice(ready)
        handle = life.ready.popleft()
        if not handle.cancelled():
            handle._run()  # noqa: SLF001 - what an event loop does with it
            if self._dying:
                self._bury()
            self.watch()

    def _bury(self) -> None:
        """Close the coroutines of the dead, now rather than whenever memory is tidied up."""
        while self._dying:
            life = self._dying.pop(0)
            if life is not self._nature:
                self._lives.remove(life)
            for task in life.tasks:
                work = task.get_coro()
                if not task.done() and work is not None:
                    work.close()
            life.tasks.clear()

    def _life_of(self, context: Context | None) -> Life:
        return _life.get(self._nature) if context is None else context.get(_life, self._nature)
